// Plots are drawn when they are opened: the page itself needs no script.
(function () {
  "use strict";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  // On white in the dark too: Optuna's colours, the darkest for the best, are made for that.
  const look = { paper_bgcolor: "#ffffff", plot_bgcolor: "#f5f6f8", title: { text: "" }, autosize: true,
    font: { color: "#1b1f24", family: "system-ui, sans-serif", size: 12 }, margin: { t: 30, r: 20 } };
  function draw(place) {
    const plot = plots[place.dataset.plot];
    const layout = Object.assign({}, plot.layout, look, { height: plot.height });
    delete layout.width;
    window.Plotly.react(place, plot.data, layout, { responsive: true, displayModeBar: false });
  }
  document.querySelectorAll("details.interactive").forEach(function (details) {
    details.addEventListener("toggle", function () { if (details.open) draw(details.querySelector(".plot")); });
  });
})();
