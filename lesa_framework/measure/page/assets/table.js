// Sorting: the first click on a heading puts the best on top, the next one the worst.
function compareValues(a, b) {
  if (a === "" || b === "") return (a === "") - (b === ""); // unmeasured values come last in both directions
  return null;
}

function sortBy(heading) {
  const table = heading.closest("table"), button = $("button", heading);
  const column = heading.cellIndex, better = button.dataset.better;
  const natural = better === "up" ? "descending" : "ascending";
  const other = natural === "ascending" ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === natural ? other : natural;
  for (const each of $$("thead th", table)) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const key = row => row.cells[column]?.dataset.value ?? "";
  const sorted = [...table.tBodies[0].rows].sort((one, two) => {
    const [a, b] = [key(one), key(two)];
    return compareValues(a, b) ?? sign * (better === "text" ? a.localeCompare(b, "en", {numeric: true}) : a - b);
  });
  table.tBodies[0].append(...sorted);
}

for (const button of $$(".measured thead button")) button.addEventListener("click", () => sortBy(button.closest("th")));

/** How much of the window's top the filters cover. */
function pinnedHeight() {
  return getComputedStyle($("#filters")).position === "sticky" ? $("#filters").offsetHeight : 0;
}

onView(() => {
  document.documentElement.style.setProperty("--pinned", `${pinnedHeight()}px`);
  for (const card of $$("#measured .card:not([hidden])")) {
    card.classList.remove("fits");
    card.classList.toggle("fits", card.scrollWidth <= card.clientWidth);
  }
});
