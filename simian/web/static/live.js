/* What happens now: one stream of events a page, for its chart, its clocks, and to tell htmx when to ask anew. */
"use strict";
(() => {
  const KEPT_S = 180;
  const QUIET = new Set(["slice", "reading", "check"]);  // these come each second; the page is asked anew less often
  const seconds = new Map();

  const told = (name) => document.body.dispatchEvent(new CustomEvent(name));
  let due = 0, last = 0;
  function changed(soon) {
    const wait = Math.max(soon ? 150 : 1000, last + (soon ? 300 : 1000) - Date.now());
    if (due && !soon) return;
    clearTimeout(due);
    due = setTimeout(() => { due = 0; last = Date.now(); told("simian:changed"); }, wait);
  }

  function span(s) {
    s = Math.max(0, Math.round(s));
    return s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${s % 60} s`;
  }
  /* How much the server's clock is ahead of ours, seconds: it says what it shows in each part of the page. */
  let server = 0, ours = 0;
  const ahead = () => (server ? server - ours : 0);
  function read() {
    const shown = Number(document.querySelector("[data-now]")?.dataset.now || 0);
    if (shown && shown !== server) { server = shown; ours = Date.now() / 1000; }
  }
  function tick() {
    read();
    const now = Date.now() / 1000 + ahead();
    for (const each of document.querySelectorAll("[data-until]")) {
      const until = Number(each.dataset.until), since = Number(each.dataset.since);
      each.textContent = until ? `${span(until - now)} left` : since ? `${span(now - since)} so far` : "";
    }
  }

  function fold(at, served, failed) {
    const second = Math.floor(at);
    const sums = seconds.get(second) || { served: {}, failed: 0 };
    for (const [region, number] of Object.entries(served)) sums.served[region] = (sums.served[region] || 0) + number;
    sums.failed += failed;
    seconds.set(second, sums);
    for (const old of seconds.keys()) if (old <= second - KEPT_S) seconds.delete(old);
  }

  let plot, drawn = "", box, pending = false;
  function draw() {
    pending = false;
    if (!box || seconds.size < 2) return;
    const { COLOURS, colour, options, line, number } = window.simian;
    const newest = Math.max(...seconds.keys()), first = Math.max(newest - KEPT_S, Math.min(...seconds.keys()));
    const at = [];
    for (let second = first; second < newest; second++) at.push(second);  // the newest is still being filled
    const regions = [...new Set([...seconds.values()].flatMap((sums) => Object.keys(sums.served)))].sort();
    const of = (second) => seconds.get(second);
    const columns = regions.map((region) => at.map((second) => (of(second) ? of(second).served[region] || 0 : null)));
    const data = [at, ...columns, at.map((second) => (of(second) ? of(second).failed : null))];
    if (drawn !== regions.join(" ")) {
      if (plot) plot.destroy();
      const lines = regions.map((region, index) => line(region, COLOURS[index % COLOURS.length], { value: number }));
      plot = new uPlot(options(box, [...lines, line("failed", colour("--bad"), { value: number, dash: [4, 3] })]), data, box);
      drawn = regions.join(" ");
    } else plot.setData(data);
    const words = document.querySelector("[data-live-words]"), before = of(newest - 1);
    if (words && before) {
      words.textContent = regions.map((region) => `${region} ${before.served[region] || 0} a second`).join(", ") + `; ${before.failed} failed`;
    }
  }
  function redraw() { if (!pending) { pending = true; requestAnimationFrame(draw); } }

  const moment = (at) => (typeof at === "string" ? Date.parse(at) / 1000 : at);
  function take(event) {
    if (event.event === "slice") {
      for (const row of event.rows || []) fold(moment(event.start ?? event.at), row.served || {}, row.failed || 0);
      redraw();
    }
    if (event.event !== "slice") changed(!QUIET.has(event.event));
  }

  document.addEventListener("DOMContentLoaded", async () => {
    tick();
    setInterval(tick, 250);
    box = document.querySelector("[data-live-traffic]");
    if (!box && !document.querySelector("[hx-trigger*='simian:changed']")) return;
    if (box) {
      const answer = await fetch("/api/v1/traffic/lately");
      if (answer.ok) for (const each of (await answer.json()).traffic) fold(each.at, each.served, each.failed);
      redraw();
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawn = ""; redraw(); });
    }
    const stream = new EventSource("/api/v1/events");
    stream.onmessage = (message) => take(JSON.parse(message.data));
    stream.onopen = () => { document.documentElement.dataset.live = "yes"; changed(true); };
    stream.onerror = () => { document.documentElement.dataset.live = "no"; };
    addEventListener("pagehide", () => stream.close());
  });
  document.addEventListener("htmx:after:swap", () => {
    tick();
    if (document.querySelector("[data-reload]")) location.reload();
  });
})();
