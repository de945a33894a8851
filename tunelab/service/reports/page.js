// Plots are drawn when they are opened: the page itself needs no script.
(function () {
  "use strict";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function draw(place) {
    const plot = plots[place.dataset.plot];
    const look = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: colour("--raised"), title: { text: "" },
      font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 12 }, autosize: true, height: plot.height, margin: { t: 30, r: 20 } };
    const layout = Object.assign({}, plot.layout, look);
    delete layout.width;
    plot.data.forEach(function (trace) {
      if (trace.type !== "parcoords") return;
      ["labelfont", "tickfont", "rangefont"].forEach(function (font) { trace[font] = { color: colour("--ink") }; });
    });
    window.Plotly.react(place, plot.data, layout, { responsive: true, displayModeBar: false });
  }
  document.querySelectorAll("details.interactive").forEach(function (details) {
    details.addEventListener("toggle", function () { if (details.open) draw(details.querySelector(".plot")); });
  });
  dark.addEventListener("change", function () {
    document.querySelectorAll("details.interactive[open] .plot").forEach(draw);
  });
})();
