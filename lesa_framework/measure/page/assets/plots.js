// PSNR against cost. Ranges are set here, not by plotly, so that labels know where each mark lies.
const CONFIG = {displayModeBar: false, responsive: false};
const NARROW_PLOT = 720;
const EDGE = {l: 52, r: 16, t: 10, b: 46};
const COSTS = {
  work: {title: "work, in uncached steps", unit: 1, say: value => `${+value.toFixed(1)} steps of work`},
  seconds: {title: "seconds a sample", unit: 1, say: value => `${value.toPrecision(3)} s`},
  cache: {title: "memory of the cache, MiB", unit: 2 ** 20, say: value => `${(value / 2 ** 20).toFixed(2)} MiB`},
};

/** A colour of the style sheet as it is now, light or dark. */
function colourOf(variable) {
  const probe = $("#theme");
  const before = probe.style.color;
  probe.style.color = `var(${variable})`;
  const found = getComputedStyle(probe).color;
  probe.style.color = before;
  return found;
}

const familyColour = family => colourOf(`--family-${data.families[family].colour}`);

function axis(more) {
  const line = colourOf("--line");
  return {gridcolor: line, linecolor: line, zeroline: false, fixedrange: true, ...more};
}

function baseLayout(more) {
  return {
    margin: EDGE, showlegend: false, dragmode: false, hovermode: "closest", autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: "system-ui, sans-serif", size: 12, color: colourOf("--soft")},
    hoverlabel: {bgcolor: colourOf("--card"), bordercolor: colourOf("--line"), font: {color: colourOf("--ink")}, align: "left"},
    ...more,
  };
}

function span(values, share) {
  const low = Math.min(...values), high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low - room, high + room];
}

/** Three or more round numbers between two; fewer where they differ only by rounding. */
function roundBetween(low, high) {
  const third = (high - low) / 3, power = 10 ** Math.floor(Math.log10(third));
  const step = [5, 2, 1].find(factor => factor * power <= third) * power;
  const first = Math.ceil(low / step), count = Math.floor(high / step) - first + 1;
  return [...new Set(Array.from({length: count}, (_, index) => +((first + index) * step).toPrecision(6)))];
}

/** Costs on a logarithmic axis: some methods do several times the work of others. A cost of 0 has a place at the left end. */
function costScale(values, unit) {
  const some = values.filter(value => value > 0).map(value => Math.log10(value / unit));
  const low = some.length ? Math.min(...some) : 0, high = some.length ? Math.max(...some) : 1;
  const nothing = low - Math.max(0.35, (high - low) * 0.25);
  const place = value => (value > 0 ? Math.log10(value / unit) : nothing);
  const marks = high - low > 2.5 ? [1] : high - low > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const ticks = [];
  for (let power = Math.floor(low) - 1; power <= Math.ceil(high); power += 1) ticks.push(...marks.map(mark => mark * 10 ** power));
  const near = room => ticks.filter(tick => Math.log10(tick) >= low - room && Math.log10(tick) <= high + room);
  const room = (high - low || 0.1) * 0.08;
  const none = some.length < values.length ? [{at: nothing, text: "none"}] : [];
  // Costs that are close together need finer marks, unless a cost of 0 makes the axis wide.
  const fine = !none.length && near(room).length < 3;
  const kept = fine ? roundBetween(10 ** (low - room), 10 ** (high + room)) : near(0.1).map(tick => +tick.toPrecision(2));
  const shown = [...none, ...kept.map(tick => ({at: Math.log10(tick), text: String(tick)}))];
  return {place, tickvals: shown.map(tick => tick.at), ticktext: shown.map(tick => tick.text)};
}

/** Later ones lie on top: excluded methods, then peers, then plain runs, then this framework's. */
const layerOf = row => (row.over ? 0 : row.peer ? 1 : row.ours ? 3 : 2);

/** The points in the order in which they get labels: the front, the best of each family, then the others. */
function mostTelling(points, front) {
  const best = new Map([...points].sort((a, b) => a.y - b.y).map(point => [point.row.family, point]));
  const rank = point => 4 * front.includes(point) + 2 * point.row.best + (best.get(point.row.family) === point);
  return [...points].sort((a, b) => rank(b) - rank(a) || layerOf(b.row) - layerOf(a.row) || b.y - a.y);
}

function drawPareto(figure, view) {
  const cost = COSTS[figure.dataset.x];
  const rows = view.rows.filter(row => row.psnr !== null && row[figure.dataset.x] !== null)
    .sort((a, b) => layerOf(a) - layerOf(b) || a.psnr - b.psnr); // in each layer the closest are on top
  const costs = new Set(rows.map(row => row[figure.dataset.x].toPrecision(3)));
  // Work is counted, so methods of one NFE can have the same: a stack of marks tells no more than the table.
  const isStack = figure.dataset.x === "work" && rows.length > 1 && costs.size === 1;
  figure.parentElement.hidden = !rows.length || isStack;
  if (figure.parentElement.hidden) return;
  const scale = costScale(rows.map(row => row[figure.dataset.x]), cost.unit);
  const points = rows.map(row => ({row, label: row.label, x: scale.place(row[figure.dataset.x]), y: row.psnr}));
  const xRange = span(points.map(point => point.x), 0.08), yRange = span(points.map(point => point.y), 0.14);
  const size = {width: figure.clientWidth - EDGE.l - EDGE.r, height: figure.clientHeight - EDGE.t - EDGE.b};
  for (const point of points) {
    point.px = (point.x - xRange[0]) / (xRange[1] - xRange[0]) * size.width;
    point.py = (yRange[1] - point.y) / (yRange[1] - yRange[0]) * size.height;
  }
  const front = paretoOf(points);
  const labels = placeLabels(mostTelling(points, front), size, front, figure.clientWidth < NARROW_PLOT ? 9 : 16);
  Plotly.react(figure, [
    {
      x: front.map(point => point.x), y: front.map(point => point.y), mode: "lines", hoverinfo: "skip",
      line: {color: colourOf("--soft"), width: 1.5, dash: "dash"},
    },
    {
      x: points.map(point => point.x), y: points.map(point => point.y), mode: "markers", cliponaxis: false,
      text: points.map(({row}) => `<b>${row.name}</b><br>${row.psnr.toFixed(2)} dB<br>${cost.say(row[figure.dataset.x])}`),
      hovertemplate: "%{text}<extra></extra>",
      marker: {
        size: points.map(({row}) => (row.peer ? 9 : 11)),
        line: {width: points.map(({row}) => (data.families[row.family].hollow ? 2 : 1)), color: colourOf("--card")},
        opacity: points.map(({row}) => (row.over ? 0.45 : 1)),
        color: points.map(({row}) => familyColour(row.family)),
        symbol: points.map(({row}) => data.families[row.family].shape + (data.families[row.family].hollow ? "-open" : "")),
      },
    },
  ], baseLayout({
    xaxis: axis({title: {text: cost.title, standoff: 8}, range: xRange, tickvals: scale.tickvals, ticktext: scale.ticktext}),
    yaxis: axis({title: {text: "PSNR, dB", standoff: 4}, range: yRange}),
    annotations: labels.map(({spot, x, y}) => ({
      xref: "paper", yref: "paper", x: x / size.width, y: 1 - y / size.height, xanchor: "center", yanchor: "middle",
      text: spot.label, showarrow: false, font: {size: 12, color: familyColour(spot.row.family)}, borderpad: 0,
    })),
  }), CONFIG);
}

function markOf(family) {
  const mark = document.createElement("i");
  mark.className = `mark ${data.families[family].shape}${data.families[family].hollow ? " hollow" : ""}`;
  mark.style.setProperty("--colour", `var(--family-${data.families[family].colour})`);
  return mark;
}

function drawLegend(view) {
  const names = [...new Set(view.rows.filter(row => !row.uncached).map(row => row.family))];
  $("#legend").replaceChildren(...names.map(name => {
    const entry = document.createElement("span");
    entry.append(markOf(name), data.families[name].label);
    return entry;
  }));
}

onView(view => {
  drawLegend(view);
  for (const figure of $$("#plots .plot")) drawPareto(figure, view);
  $("#plots").hidden = $$("#plots .plot").every(figure => figure.parentElement.hidden);
});
