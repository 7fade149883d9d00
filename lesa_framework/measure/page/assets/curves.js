// The error step by step, one plot for each number of computed steps.
const DASHES = ["solid", "dash", "dot", "dashdot"];
const NARROW = 560;
/** This many curves of the closest methods stand out at first, and the best of LESA and of peers. */
const CLOSEST = 5;
/** Row number -> whether the reader wants its curve to stand out. */
const wanted = new Map();

/** The rows with `faint`, those that stand out last, and of these the closest last: on top of the others. */
function inDrawingOrder(rows) {
  const best = [...rows].sort((a, b) => a.over - b.over || b.psnr - a.psnr);
  const named = [...best.slice(0, CLOSEST), best.find(row => row.family === "lesa"), best.find(row => row.peer && !row.over)];
  return best.reverse()
    .map(row => ({...row, faint: !(wanted.get(row.number) ?? named.some(one => one?.number === row.number))}))
    .sort((a, b) => b.faint - a.faint);
}

function curveTraces(rows) {
  const seen = {};
  return [...rows].reverse().map(row => {
    const nth = row.faint ? 0 : (seen[row.family] = (seen[row.family] ?? -1) + 1);
    return {
      x: row.curve.map((_, step) => step), y: row.curve.map(value => (value > 0 ? value : null)), name: row.name,
      mode: "lines+markers", connectgaps: true, opacity: row.faint ? 0.22 : 1,
      line: {color: familyColour(row.family), width: 2, dash: DASHES[nth % DASHES.length]},
      marker: {size: row.curve.map((_, step) => (row.plan[step] === "F" ? 7 : 0)), line: {width: 0}, opacity: 1},
      hovertemplate: `<b>${row.name}</b><br>step %{x}: %{y:.3g}<extra></extra>`,
    };
  }).reverse();
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
  const named = figure.clientWidth > NARROW ? rows.filter(row => !row.faint) : [];
  const margin = {...EDGE, l: 62, r: Math.max(EDGE.r, ...named.map(row => widthOf(row.label) + 12))};
  const size = {height: figure.clientHeight - margin.t - margin.b};
  Plotly.react(figure, curveTraces(rows), baseLayout({
    margin,
    xaxis: axis({title: {text: "step", standoff: 8}, range: [-0.5, Math.max(...rows.map(row => row.curve.length)) - 0.5]}),
    yaxis: axis({title: {text: "relative error", standoff: 4}, type: "log", range, dtick: range[1] - range[0] > 2 ? 1 : "D2", exponentformat: "power"}),
    annotations: endLabels(named, range, size),
  }), CONFIG);
}

function point(plot, rows, index, at) {
  Plotly.restyle(plot, {opacity: at || !rows[index].faint ? 1 : 0.22, "line.width": at ? 4 : 2}, [index]);
}

/** Draw a plot, and the buttons below it that bring curves to the front. */
function showCurves(figure, shown) {
  const plot = $(".plot", figure), rows = inDrawingOrder(shown);
  drawCurves(plot, rows);
  plot.removeAllListeners("plotly_hover").removeAllListeners("plotly_unhover");
  plot.on("plotly_hover", event => point(plot, rows, event.points[0].curveNumber, true));
  plot.on("plotly_unhover", event => point(plot, rows, event.points[0].curveNumber, false));
  for (const button of $$(".pick", figure)) {
    const index = rows.findIndex(row => String(row.number) === button.dataset.number), row = rows[index];
    button.setAttribute("aria-pressed", String(!row.faint));
    button.onpointerenter = () => point(plot, rows, index, true);
    button.onpointerleave = () => point(plot, rows, index, false);
    button.onclick = () => {
      wanted.set(row.number, row.faint);
      showCurves(figure, shown);
    };
  }
}

function pickOf(row) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pick";
  button.dataset.number = row.number;
  button.append(markOf(row.family), row.label);
  return button;
}

function curveFigure(nfe, rows, steps) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const plot = document.createElement("div"), picks = document.createElement("div");
  figure.className = "card wide";
  caption.textContent = `${nfe} of ${steps} steps computed`;
  plot.className = "plot";
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `Error at each step, ${caption.textContent}`);
  picks.className = "picks";
  picks.append(...rows.map(pickOf));
  figure.append(caption, plot, picks);
  return figure;
}

onView(view => {
  const rows = view.rows.filter(row => !row.uncached && row.curve.some(value => value > 0));
  const nfes = [...new Set(rows.map(row => row.nfe))].sort((a, b) => b - a);
  $("#curves").hidden = nfes.length === 0;
  $$("#curve-plots .plot").forEach(Plotly.purge);
  $("#curve-plots").replaceChildren();
  for (const nfe of nfes) {
    const shown = rows.filter(row => row.nfe === nfe).sort((a, b) => a.over - b.over || b.psnr - a.psnr);
    const figure = curveFigure(nfe, shown, data.models[view.model].steps);
    $("#curve-plots").append(figure);
    showCurves(figure, shown);
  }
});
