// PSNR against what it costs. Ranges are set here, not by plotly, so that it is known where each mark lies.
const CONFIG = {displayModeBar: false, responsive: false};
const EDGE = {l: 52, r: 16, t: 10, b: 46};
const SYMBOLS = {circle: "circle", square: "square", diamond: "diamond", triangle: "triangle-up"};
const COSTS = {
  nfe: {title: "work, in uncached steps", log: false, say: value => `${+value.toFixed(1)} steps of work`},
  seconds: {title: "seconds a sample", log: false, say: value => `${value.toPrecision(3)} s`},
  cache: {title: "memory of the cache, MiB", log: true, say: value => `${(value / 2 ** 20).toFixed(2)} MiB`},
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

/** Memory on a logarithmic axis; nothing at all gets a place of its own at its left end. */
function memoryScale(values) {
  const some = values.filter(value => value > 0).map(value => Math.log10(value / 2 ** 20));
  const low = some.length ? Math.min(...some) : 0, high = some.length ? Math.max(...some) : 1;
  const nothing = low - Math.max(0.35, (high - low) * 0.25);
  const place = value => (value > 0 ? Math.log10(value / 2 ** 20) : nothing);
  const ticks = [];
  for (let power = Math.floor(low) - 1; power <= Math.ceil(high); power += 1) {
    for (const step of high - low > 2.5 ? [1] : [1, 2, 5]) ticks.push(step * 10 ** power);
  }
  const kept = ticks.filter(tick => Math.log10(tick) >= low - 0.1 && Math.log10(tick) <= high + 0.1);
  return {place, tickvals: [nothing, ...kept.map(Math.log10)], ticktext: ["none", ...kept.map(tick => +tick.toPrecision(2))]};
}

function drawPareto(figure, view) {
  const cost = COSTS[figure.dataset.x];
  const rows = view.rows.filter(row => row.psnr !== null && row[figure.dataset.x] !== null)
    .sort((a, b) => a.psnr - b.psnr); // the closest are drawn last, on top of what they touch
  figure.parentElement.hidden = rows.length === 0;
  if (!rows.length) return;
  const scale = cost.log ? memoryScale(rows.map(row => row.cache)) : {place: value => value};
  const points = rows.map(row => ({row, label: row.label, x: scale.place(row[figure.dataset.x]), y: row.psnr}));
  const xRange = span(points.map(point => point.x), 0.08), yRange = span(points.map(point => point.y), 0.14);
  const size = {width: figure.clientWidth - EDGE.l - EDGE.r, height: figure.clientHeight - EDGE.t - EDGE.b};
  for (const point of points) {
    point.px = (point.x - xRange[0]) / (xRange[1] - xRange[0]) * size.width;
    point.py = (yRange[1] - point.y) / (yRange[1] - yRange[0]) * size.height;
  }
  const front = paretoOf(points);
  const first = [...points].sort((a, b) => front.includes(b) - front.includes(a) || b.row.best - a.row.best || b.y - a.y);
  const labels = placeLabels(first, size, front);
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
        size: 11, line: {width: 1, color: colourOf("--card")},
        color: points.map(({row}) => familyColour(row.family)),
        symbol: points.map(({row}) => SYMBOLS[data.families[row.family].shape]),
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

function drawLegend(view) {
  const names = [...new Set(view.rows.filter(row => !row.uncached).map(row => row.family))];
  $("#legend").replaceChildren(...names.map(name => {
    const entry = document.createElement("span"), mark = document.createElement("i");
    mark.className = `mark ${data.families[name].shape}`;
    mark.style.setProperty("--colour", `var(--family-${data.families[name].colour})`);
    entry.append(mark, data.families[name].label);
    return entry;
  }));
}

onView(view => {
  drawLegend(view);
  for (const figure of $$("#plots .plot")) drawPareto(figure, view);
});
