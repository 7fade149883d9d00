// The error step by step, one plot for each number of computed steps.
const DASHES = ["solid", "dash", "dot", "dashdot"];
const NARROW = 560;

function curveTraces(rows) {
  const seen = {};
  return rows.map(row => {
    const colour = familyColour(row.family);
    const nth = (seen[colour] = (seen[colour] ?? -1) + 1);
    return {
      x: row.curve.map((_, step) => step), y: row.curve.map(value => (value > 0 ? value : null)), name: row.name,
      mode: "lines+markers", connectgaps: true,
      line: {color: colour, width: 2, dash: DASHES[nth % DASHES.length]},
      marker: {size: row.curve.map((_, step) => (row.plan[step] === "F" ? 7 : 0)), line: {width: 0}, opacity: 1},
      hovertemplate: `<b>${row.name}</b><br>step %{x}: %{y:.3g}<extra></extra>`,
    };
  });
}

/** Names at the right ends of the lines, where there is room for them. */
function endLabels(rows, range, size) {
  const last = row => row.curve.findLast(value => value > 0);
  const wishes = rows.map(row => (range[1] - Math.log10(last(row))) / (range[1] - range[0]) * size.height);
  const heights = pushApart(wishes, 14, size.height);
  return rows.map((row, index) => ({
    xref: "paper", yref: "paper", x: 1, xshift: 6, y: 1 - heights[index] / size.height, xanchor: "left", yanchor: "middle",
    text: row.label, showarrow: false, font: {size: 12, color: familyColour(row.family)},
  }));
}

function drawCurves(figure, rows) {
  const levels = rows.flatMap(row => row.curve).filter(value => value > 0).map(Math.log10);
  const range = span(levels, 0.06);
  const wide = figure.clientWidth > NARROW;
  const margin = {...EDGE, l: 62, r: wide ? Math.max(...rows.map(row => widthOf(row.label))) + 12 : EDGE.r};
  const size = {height: figure.clientHeight - margin.t - margin.b};
  Plotly.react(figure, curveTraces(rows), baseLayout({
    margin,
    xaxis: axis({title: {text: "step", standoff: 8}, range: [-0.5, Math.max(...rows.map(row => row.curve.length)) - 0.5]}),
    yaxis: axis({title: {text: "relative error", standoff: 4}, type: "log", range, dtick: range[1] - range[0] > 2 ? 1 : "D2", exponentformat: "power"}),
    annotations: wide ? endLabels(rows, range, size) : [],
  }), CONFIG);
}

onView(view => {
  const rows = view.rows.filter(row => !row.uncached && row.curve.some(value => value > 0));
  const targets = [...new Set(rows.map(row => row.target))].sort((a, b) => b - a);
  $("#curves").hidden = targets.length === 0;
  $$("#curve-plots .plot").forEach(Plotly.purge);
  $("#curve-plots").replaceChildren(...targets.map(target => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption"), plot = document.createElement("div");
    figure.className = "card wide";
    plot.className = "plot";
    plot.dataset.target = target;
    plot.setAttribute("role", "img");
    caption.textContent = `${target} of ${data.models[view.model].steps} steps computed`;
    plot.setAttribute("aria-label", `Error at each step, ${caption.textContent}`);
    figure.append(caption, plot);
    return figure;
  }));
  for (const plot of $$("#curve-plots .plot")) drawCurves(plot, rows.filter(row => row.target === Number(plot.dataset.target)));
});
