// Names beside marks, where they fit: never over another name, another mark or the edge.
const pen = document.createElement("canvas").getContext("2d");
const LABEL_FONT = "12px system-ui, sans-serif";
const MARK = 8;
const APART = 8;

function widthOf(text) {
  pen.font = LABEL_FONT;
  return pen.measureText(text).width + 4;
}

const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

function boxes(spot, text) {
  const width = widthOf(text), height = 15, gap = 9;
  const at = (left, top) => ({left: spot.px + left, right: spot.px + left + width, top: spot.py + top, bottom: spot.py + top + height});
  return [
    at(gap, -height / 2), at(-gap - width, -height / 2), at(-width / 2, -gap - height), at(-width / 2, gap),
    at(gap, -gap - height + 4), at(gap, gap - 4), at(-gap - width, -gap - height + 4), at(-gap - width, gap - 4),
  ];
}

/** Small boxes along a line. */
function alongLine(line) {
  return line.slice(1).flatMap((end, index) => {
    const start = line[index], count = Math.ceil(Math.hypot(end.px - start.px, end.py - start.py) / 5);
    return Array.from({length: count + 1}, (_, step) => {
      const x = start.px + (end.px - start.px) * step / (count || 1), y = start.py + (end.py - start.py) * step / (count || 1);
      return {left: x - 1, right: x + 1, top: y - 1, bottom: y + 1};
    });
  });
}

/**
 * Where names go.
 *
 * @param spots What has a mark: px, py (pixels in the plot), label; the most important first.
 * @param size Width and height of the plot in pixels.
 * @param line A line that only the names of its own points may cross, where nothing else is free: points with px, py.
 * @param most How many names there are at most: more say less.
 * @returns For each name that fits {spot, x, y}: the middle of its box.
 */
function placeLabels(spots, size, line, most) {
  const crossed = alongLine(line);
  const taken = spots.map(spot => ({left: spot.px - MARK, right: spot.px + MARK, top: spot.py - MARK, bottom: spot.py + MARK}));
  const placed = [];
  for (const spot of spots) {
    if (placed.length === most) break;
    const possible = boxes(spot, spot.label).filter(box =>
      box.left >= 0 && box.right <= size.width && box.top >= 0 && box.bottom <= size.height
      && !taken.some(other => meet(box, other)));
    const free = possible.find(box => !crossed.some(other => meet(box, other))) ?? (line.includes(spot) ? possible[0] : undefined);
    if (!free) continue;
    taken.push({...free, left: free.left - APART, right: free.right + APART});
    placed.push({spot, x: (free.left + free.right) / 2, y: (free.top + free.bottom) / 2});
  }
  return placed;
}

/** Heights pushed apart so that neighbours are `gap` pixels from each other, in the order of their wishes. */
function pushApart(wishes, gap, lowest) {
  const order = wishes.map((y, index) => ({y, index})).sort((a, b) => a.y - b.y);
  let last = -Infinity;
  for (const one of order) last = one.y = Math.max(one.y, last + gap);
  let limit = lowest;
  for (const one of order.reverse()) limit = (one.y = Math.min(one.y, limit)) - gap;
  return order.sort((a, b) => a.index - b.index).map(one => one.y);
}
