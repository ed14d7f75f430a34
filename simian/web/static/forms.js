/* Of the options of all monkeys only those of the one that is chosen are shown, and sent. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const chosen = document.querySelector("select[data-options]");
  if (!chosen) return;
  const show = () => {
    for (const each of document.querySelectorAll("[data-options-of]")) {
      const wanted = each.dataset.optionsOf === chosen.value;
      each.hidden = !wanted;
      each.open = wanted;
      each.querySelector("fieldset").disabled = !wanted;
    }
  };
  chosen.addEventListener("change", show);
  addEventListener("pageshow", show);  // a browser that goes back puts what was chosen back without saying so
  show();
});
