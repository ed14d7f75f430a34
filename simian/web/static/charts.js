/* Charts of a run, drawn from /api/v1/runs/RUN/series. */
"use strict";
window.simian = (() => {
  const COLOURS = ["#1f77d0", "#d9822b", "#2a9d6f", "#9b59b6", "#c2399b", "#7f8c2d"];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const two = (number) => String(number).padStart(2, "0");
  const clock = (at) => {
    const when = new Date(at * 1000);
    return `${two(when.getUTCHours())}:${two(when.getUTCMinutes())}:${two(when.getUTCSeconds())}`;
  };
  const SHADES = { baseline: "#88888818", inject: "#d9822b30", observe: "#a8161618", recover: "#1f77d028", verify: "#2a9d6f20" };

  /* Bands behind the curves for phases, bars along the foot for faults. */
  function marks(series, tall) {
    const span = (plot, from, to) => {
      const left = Math.max(plot.bbox.left, plot.valToPos(from, "x", true));
      const right = Math.min(plot.bbox.left + plot.bbox.width, plot.valToPos(to, "x", true));
      return [left, Math.max(2, right - left)];
    };
    return {
      hooks: {
        drawClear: [(plot) => {
          const pen = plot.ctx, end = plot.scales.x.max;
          pen.save();
          pen.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
          pen.textBaseline = "top";
          for (const phase of series.phases || []) {
            const [left, width] = span(plot, phase.from, phase.to ?? end);
            pen.fillStyle = SHADES[phase.name] || "#88888810";
            pen.fillRect(left, plot.bbox.top, width, plot.bbox.height);
            pen.fillStyle = colour("--faint");
            if (width > pen.measureText(phase.name).width + 6) pen.fillText(phase.name, left + 4, plot.bbox.top + 3);
          }
          pen.restore();
        }],
        draw: [(plot) => {
          const pen = plot.ctx, end = plot.scales.x.max, faults = series.faults || [];
          const high = (tall ? Math.max(1, Math.min(5, 30 / Math.max(1, faults.length))) : 1.5) * devicePixelRatio;
          pen.save();
          pen.fillStyle = colour("--bad");
          faults.slice(0, tall ? 30 : 1).forEach((fault, row) => {
            const [left, width] = span(plot, fault.from, fault.to ?? end);
            pen.fillRect(left, plot.bbox.top + plot.bbox.height - (row + 1) * (high + 1), width, high);
          });
          pen.restore();
        }],
      },
    };
  }

  /* A scale on which ten times as much is as far up everywhere: 4 ms and the 1 s that is allowed fit on it. */
  const tens = (to, value) => 10 ** to(Math.log10(value));
  const TENS = { distr: 3, range: (plot, low, high) => [tens(Math.floor, Math.max(low || 1, 0.01)), tens(Math.ceil, (high || 10) * 1.01)] };

  function options(box, lines, more = {}) {
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 } };
    return {
      width: Math.max(200, box.clientWidth),
      height: box.classList.contains("low") ? 160 : 220,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: true }, y: more.tens ? TENS : { range: more.range || ((plot, low, high) => [0, (high || 1) * 1.15]) } },
      axes: [{ ...axis, values: (plot, ticks) => ticks.map(clock) }, { ...axis, size: 66, values: more.values }],
      series: [{ label: "at", value: (plot, at) => (at == null ? "-" : clock(at)) }, ...lines],
      bands: more.bands,
      plugins: more.plugins || [],
    };
  }

  const line = (label, stroke, more = {}) => ({ label, stroke, width: 2, points: { show: false }, ...more });
  const flat = (at, value) => at.map(() => value);
  const percent = (plot, value) => (value == null ? "-" : `${(value * 100).toFixed(2)} %`);
  const number = (plot, value) => (value == null ? "-" : value.toFixed(1));

  /* What was usual before the first blow, and what must be kept, as level lines. */
  function beside(curves, at, baseline, limit, value) {
    if (baseline != null) curves.push([line("baseline", colour("--faint"), { dash: [6, 4], width: 1, value }), flat(at, baseline)]);
    if (limit) curves.push([line(`must be ${limit.text}`, colour("--bad"), { dash: [2, 3], width: 1.5, value }), flat(at, limit.value)]);
  }
  const plotted = (box, at, curves, more) =>
    new uPlot(options(box, curves.map(([look]) => look), more), [at, ...curves.map(([, numbers]) => numbers)], box);

  const drawings = {
    served(box, series, plugins) {
      const regions = Object.keys(series.served);
      const lines = regions.map((name, index) => line(name, COLOURS[index % COLOURS.length], { value: number }));
      const data = [series.at, ...regions.map((name) => series.served[name]), series.failed];
      return new uPlot(options(box, [...lines, line("failed", colour("--bad"), { value: number, dash: [4, 3] })], { plugins }), data, box);
    },
    success(box, series, plugins) {
      const curves = [[line("answered", COLOURS[2], { value: percent }), series.success]];
      beside(curves, series.at, series.baseline.success, series.limits.success, percent);
      const range = (plot, low, high) => [Math.min(low ?? 1, 0.98) - 0.01, 1.005];
      const values = (plot, ticks) => ticks.map((tick) => `${(tick * 100).toFixed(1)} %`);
      return plotted(box, series.at, curves, { range, values, plugins });
    },
    latency(box, series, plugins) {
      const ms = (plot, value) => (value == null ? "-" : `${value.toFixed(1)} ms`);
      const curves = [[line("slowest 1 %", COLOURS[1], { value: ms }), series.p99], [line("median", COLOURS[0], { value: ms }), series.p50]];
      beside(curves, series.at, series.baseline.p99, series.limits.latency, ms);
      const values = (plot, ticks) => ticks.map((tick) => (tick == null ? "" : tick < 1000 ? `${tick} ms` : `${tick / 1000} s`));
      return plotted(box, series.at, curves, { tens: true, bands: [{ series: [1, 2], fill: "#d9822b30" }], values, plugins });
    },
    drain(box, series, plugins) {
      const names = ["arrived", "redirected", "proxied", "served", "failed"];
      const lines = names.map((name, index) => line(name, name === "failed" ? colour("--bad") : COLOURS[index], { value: number }));
      return new uPlot(options(box, lines, { plugins }), [series.at, ...names.map((name) => series.drain[name])], box);
    },
  };

  function drawAll(place, series) {
    const plots = [];
    const draw = () => {
      plots.splice(0).forEach((plot) => plot.destroy());
      for (const box of place.querySelectorAll("[data-chart]")) {
        const name = box.dataset.chart;
        if (name === "drain" && !series.drain) continue;
        if (name === "drain") box.closest("[data-chart-drain]").hidden = false;
        plots.push(drawings[name](box, series, [marks(series, name === "served")]));
      }
    };
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    let waiting;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 200); });
    place.dataset.drawn = "yes";
  }

  document.addEventListener("DOMContentLoaded", async () => {
    for (const place of document.querySelectorAll("[data-series]")) {
      const answer = await fetch(place.dataset.series);
      const series = answer.ok ? await answer.json() : { at: [] };
      if (series.at.length) drawAll(place, series);
    }
  });
  return { COLOURS, colour, clock, options, line, number };
})();
