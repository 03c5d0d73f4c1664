// Draws every figure of the page with Plotly. A figure is data with roles, never colours: the server writes
//   <script type="application/json" data-figure="errors">{"kind", "y", "series", "limits", "marks", "window"}</script>
// beside a <div class="plot" data-plot="errors">. Colours come from the tokens, so a change of theme is a redraw.
(() => {
  const drawn = new Map();
  const probe = document.createElement("span");
  probe.hidden = true;

  const token = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const faded = (colour, alpha) => colour.replace(/rgba?\(([^)]+)\)/, (_, c) => `rgba(${c.split(/[ ,/]+/).slice(0, 3).join(",")},${alpha})`);
  const two = (n) => String(n).padStart(2, "0");
  const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  // Plotly knows no time zones: it is given local wall time as text, and UTC for the hover.
  const local = (t) => { const d = new Date(t * 1000); return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(d)}`; };
  const utc = (t) => new Date(t * 1000).toISOString().slice(11, 19);
  const shown = (v, unit) => (v === null || v === undefined ? "–" : `${Math.abs(v) >= 100 ? Math.round(v) : Number(v.toPrecision(3))}${unit ? " " + unit : ""}`);

  function empty(box, why) {
    if (drawn.has(box)) { window.Plotly?.purge(box); drawn.delete(box); }
    if (box.nextElementSibling?.matches(".values") && window.Plotly) box.nextElementSibling.remove();
    if (box.textContent === why) return;
    box.replaceChildren();
    const wrap = document.createElement("div");
    wrap.className = "empty-plot";
    wrap.append(Object.assign(document.createElement("p"), { textContent: why }));
    box.append(wrap);
  }

  function traces(figure) {
    const unit = figure.y.unit, widest = figure.series.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    const utcRow = { x: widest.x.map(local), y: widest.y, mode: "lines", line: { width: 0, color: "rgba(0,0,0,0)" }, customdata: widest.x.map(utc), hovertemplate: "%{customdata}<extra>UTC</extra>" };
    // The wider band lies below everything, then the thin lines.
    const depth = (s) => (s.lo && s.role === "candidate" ? 0 : s.thin ? 1 : 2);
    const order = [...figure.series].sort((a, b) => depth(a) - depth(b));
    const ceiling = figure.y.range[1];
    return [...order.flatMap((s) => {
      const colour = token(s.role);
      const x = s.x.map(local);
      const out = [];
      if (s.lo) {
        const quiet = { x, mode: "lines", line: { width: s.faint ? 0 : 0.75, color: faded(colour, 0.55) }, hoverinfo: "skip", connectgaps: false };
        const hi = s.hi.map((v, i) => v ?? (s.lo[i] === null ? null : ceiling)); // without an upper edge: to the top
        out.push({ ...quiet, y: s.lo }, { ...quiet, y: hi, fill: "tonexty", fillcolor: faded(colour, s.faint ? 0.1 : s.role === "candidate" ? 0.12 : 0.2) });
      }
      const tail = s.lo ? s.y.map((_, i) => (s.lo[i] === null ? "" : s.hi[i] === null ? `  (${shown(s.lo[i], unit)} or more)` : `  (${shown(s.lo[i], "")} to ${shown(s.hi[i], unit)})`)) : s.y.map(() => "");
      const line = {
        x, y: s.y, name: s.name, mode: "lines", customdata: s.x.map((t, i) => [utc(t), tail[i], shown(s.y[i], unit)]),
        line: { color: colour, width: s.faint || s.thin ? 1.25 : s.role === "stable" ? 1.5 : 2, dash: s.dash || "solid", shape: figure.kind === "stack" ? "hv" : "linear" },
        opacity: s.dash && s.dash !== "solid" && figure.y.unit === "ms" ? 0.75 : 1,
        hovertemplate: "%{customdata[2]}%{customdata[1]}<extra>" + s.name + "</extra>",
      };
      if (figure.kind === "stack") Object.assign(line, { line: { ...line.line, width: s.role === "stable" ? 1.5 : 0 }, stackgroup: "one", fillcolor: faded(colour, s.role === "stable" ? 0.25 : 0.6) });
      out.push(line);
      if (s.faint || s.thin) return out; // the future has no newest sample to mark, and thin lines stay in the background
      const last = s.y.findLastIndex((v) => v !== null);
      if (figure.kind !== "stack" && last >= 0)
        out.push({ x: [x[last]], y: [s.y[last]], mode: "markers", hoverinfo: "skip", marker: { color: colour, size: 7, symbol: s.role === "candidate" ? "diamond" : s.role === "danger" ? "square" : "circle", line: { color: token("surface"), width: 1.5 } } });
      return out;
    }), utcRow];
  }

  // The same figures in words: built when opened, at most 12 rows and the newest sample.
  function values(box, figure) {
    if (box.nextElementSibling?.matches(".values")) return;
    const fold = document.createElement("details"), table = document.createElement("table");
    fold.className = "values";
    fold.append(Object.assign(document.createElement("summary"), { textContent: "Values as a table" }), table);
    fold.addEventListener("toggle", () => {
      const now = JSON.parse(document.querySelector(`script[data-figure="${box.dataset.plot}"]`).textContent);
      now.series = now.series.filter((s) => !s.faint);
      const times = [...new Set(now.series.flatMap((s) => s.x))].sort((a, b) => a - b), every = Math.ceil(times.length / 12);
      const at = times.filter((_, i) => (times.length - 1 - i) % every === 0);
      const row = (cells, tag) => { const tr = document.createElement("tr"); for (const text of cells) tr.append(Object.assign(document.createElement(tag), { textContent: text })); return tr; };
      table.replaceChildren(row(["UTC", ...now.series.map((s) => s.name)], "th"), ...at.map((t) => row([utc(t), ...now.series.map((s) => { const i = s.x.findLastIndex((x) => x <= t); return i < 0 ? "–" : shown(s.y[i], now.y.unit); })], "td")));
    });
    box.after(fold);
  }

  const ticks = ([from, to]) => (to - from > 2 * 86400 ? "%-d %b" : to - from > 7200 ? "%H:%M" : "%H:%M:%S");

  function layout(figure) {
    const ink = token("ink-3"), line = token("line"), log = Boolean(figure.y.log);
    const small = { color: ink, size: 11, family: getComputedStyle(document.body).fontFamily };
    const shapes = [], notes = [];
    const [from, to] = figure.window, marks = figure.marks || [];
    for (const [i, mark] of marks.entries()) {
      const future = mark.role === "future", colour = future ? ink : token(mark.role);
      const room = ((marks[i + 1]?.t ?? to) - mark.t) / (to - from); // the label stands right of its line where there is room
      const gap = i ? (mark.t - marks[i - 1].t) / (to - from) : 1;
      if (mark.label && room < 0.25 && gap >= 0.25 && gap < 0.4) notes.at(-1).text = ""; // two labels would meet between the lines
      shapes.push({ type: "line", x0: local(mark.t), x1: local(mark.t), yref: "paper", y0: 0, y1: 1, line: { color: colour, width: 1, dash: future ? "dot" : "solid" } });
      notes.push({ x: local(mark.t), yref: "paper", y: 1, yanchor: "bottom", xanchor: room < 0.25 ? "right" : "left", showarrow: false, text: mark.label, font: { ...small, color: future ? ink : token(mark.role + "-ink") }, borderpad: 0 });
    }
    const top = figure.y.range[1];
    for (const limit of figure.limits || []) {
      const beyond = limit.y > top; // said, not drawn: it would squeeze all else
      if (!beyond) shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: limit.y, y1: limit.y, line: { color: token(limit.role), width: 1.25, dash: "dash" } });
      notes.push({ xref: "paper", x: 0, xanchor: "left", y: log ? Math.log10(limit.y) : Math.min(limit.y, top), yanchor: beyond ? "top" : "bottom", yshift: beyond ? -2 : 2, showarrow: false, text: beyond ? `↑ ${limit.label}` : limit.label, font: { ...small, color: token(limit.role + "-ink") }, bgcolor: faded(token("surface"), 0.75), borderpad: 0 });
    }
    for (const s of figure.series) {
      const last = s.label ? s.y.findLastIndex((v) => v !== null) : -1;
      if (last < 0) continue;
      const y = Math.min(s.y[last], top), high = y > top / (log ? 5 : 1.2);
      const after = (to - s.x[last]) / (to - from) > 0.25; // beside the newest value where there is room
      notes.push({ x: local(s.x[last]), xanchor: after ? "left" : "right", y: log ? Math.log10(y) : y, yanchor: after ? "middle" : high ? "top" : "bottom", yshift: after ? 0 : high ? -2 : 2, xshift: after ? 8 : -8, showarrow: false, text: s.label, font: { ...small, color: token(s.role + "-ink") }, bgcolor: faded(token("surface"), 0.75), borderpad: 0 });
    }
    const [lo, hi] = figure.y.range;
    return {
      autosize: true, margin: { l: 44, r: 8, t: 20, b: 24 }, showlegend: false, hovermode: "x unified", dragmode: "zoom", uirevision: "kept", font: small,
      paper_bgcolor: token("surface"), plot_bgcolor: token("surface"), shapes, annotations: notes,
      hoverlabel: { bgcolor: token("raised"), bordercolor: token("line-strong"), font: { ...small, color: token("ink"), size: 12 }, namelength: -1 },
      xaxis: { type: "date", range: figure.window.map(local), tickformat: ticks(figure.window), hoverformat: "%H:%M:%S", nticks: 6, ticks: "outside", ticklen: 4, tickcolor: line, linecolor: token("line-strong"), showgrid: false, zeroline: false, fixedrange: false, spikemode: "across", spikethickness: 1, spikedash: "solid", spikecolor: token("control") },
      yaxis: { type: log ? "log" : "linear", range: log ? [lo, hi].map(Math.log10) : hi === null ? undefined : [lo, hi], rangemode: "tozero", gridcolor: line, zeroline: false, ticksuffix: figure.y.unit ? (figure.y.unit === "%" ? " %" : ` ${figure.y.unit}`) : "", nticks: 5, dtick: log ? 1 : undefined, fixedrange: true },
    };
  }

  const config = { displaylogo: false, responsive: true, modeBarButtons: [["zoom2d", "resetScale2d", "toImage"]], toImageButtonOptions: { format: "svg", filename: "release-chart" }, locale: document.documentElement.lang };

  function draw(box) {
    const source = document.querySelector(`script[data-figure="${box.dataset.plot}"]`);
    const figure = source && JSON.parse(source.textContent);
    if (!figure || figure.empty) return empty(box, figure ? figure.empty : "No samples were stored for this release.");
    if (!window.Plotly) { values(box, figure); return empty(box, "The chart library did not load. The values are in the table below."); }
    if (!drawn.has(box)) box.replaceChildren();
    Plotly.react(box, traces(figure), layout(figure), config).then(() => box.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true")));
    drawn.set(box, figure);
    values(box, figure);
  }

  function drawAll(root = document) { root.querySelectorAll("[data-plot]").forEach(draw); }
  // A fragment brings several blocks; they are drawn once, when the last of them is in.
  let waiting = false;
  function redraw() {
    for (const box of drawn.keys()) if (!box.isConnected) drawn.delete(box);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawAll(); });
  }

  document.addEventListener("DOMContentLoaded", () => { document.body.append(probe); drawAll(); });
  document.addEventListener("htmx:oobAfterSwap", redraw); // the JSON block was replaced: same chart, new points, zoom kept by react
  document.addEventListener("portal:theme", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
