// Filters, theme and links, and the first drawing.
const dark = matchMedia("(prefers-color-scheme: dark)");

$("#filters").addEventListener("change", refresh);
$("#filters").addEventListener("submit", event => event.preventDefault());
for (const button of $$("[data-all-families]")) {
  button.addEventListener("click", () => {
    for (const box of $$("[name=family]")) box.checked = button.dataset.allFamilies === "true";
    refresh();
  });
}
// The list of methods lies over the page, so it closes as soon as the reader turns to something else.
addEventListener("pointerdown", event => event.target.closest("#methods") || ($("#methods").open = false));
addEventListener("keydown", event => event.key === "Escape" && ($("#methods").open = false));
for (const button of $$("[data-show-model]")) {
  button.addEventListener("click", () => {
    $(`[name=model][value="${button.dataset.showModel}"]`).checked = true;
    fitChoices();
    $(`[name=nfe][value="${button.dataset.showNfe}"]`).checked = true;
    refresh();
    $("#measured").scrollIntoView();
  });
}

$("#theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  refresh();
});
dark.addEventListener("change", refresh);

/** Show a row that the filters hide. */
function reveal(number) {
  const {model, family} = data.rows[number];
  $(`[name=model][value="${model}"]`).checked = true;
  $("[name=nfe][value='']").checked = true;
  for (const box of $$("[name=family]")) box.checked ||= box.value === family;
  refresh();
}

function openLinked() {
  const linked = location.hash.startsWith("#how-") && document.getElementById(location.hash.slice(1));
  if (!linked) return;
  if (!linked.checkVisibility()) reveal(linked.dataset.row);
  linked.open = true;
  linked.scrollIntoView();
}
addEventListener("hashchange", openLinked);
// The same link clicked twice changes no hash.
for (const link of $$("a[href^='#how-']")) link.addEventListener("click", () => setTimeout(openLinked));

onView(() => {
  const offered = $$("[data-family-choice]:not([hidden]) input"), chosen = offered.filter(box => box.checked);
  const all = chosen.length === offered.length;
  $("#methods-shown").textContent = all ? `all ${offered.length}` : `${chosen.length} of ${offered.length}`;
  $("#methods").classList.toggle("some", !all);
});

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return; // a phone's address bar comes and goes
  width = innerWidth;
  refresh();
});
refresh();
openLinked();
