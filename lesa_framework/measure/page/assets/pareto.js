// The methods that no other beats in both: those that are closer than everything that is as cheap.

/** The points ({x, y}) that are Pareto-optimal for small x and large y, from left to right. */
function paretoOf(points) {
  let best = -Infinity;
  return [...points]
    .sort((a, b) => a.x - b.x || b.y - a.y)
    .filter(point => point.y > best && ((best = point.y), true));
}
