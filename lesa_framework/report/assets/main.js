// Filters, theme and links, and the first drawing.
const dark = matchMedia("(prefers-color-scheme: dark)");

$("#filters").addEventListener("change", refresh);
$("#filters").addEventListener("submit", event => event.preventDefault());
$("#all-families").addEventListener("click", () => {
  for (const box of $$("[name=family]")) box.checked = true;
  refresh();
});
for (const button of $$("[data-show-model]")) {
  button.addEventListener("click", () => {
    $(`[name=model][value="${button.dataset.showModel}"]`).checked = true;
    fitChoices();
    $(`[name=target][value="${button.dataset.showTarget}"]`).checked = true;
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

function openLinked() {
  const linked = location.hash.startsWith("#how-") && document.getElementById(location.hash.slice(1));
  if (!linked) return;
  linked.open = true;
  linked.scrollIntoView();
}
addEventListener("hashchange", openLinked);
// The same link clicked twice changes no hash.
for (const link of $$("a[href^='#how-']")) link.addEventListener("click", () => setTimeout(openLinked));

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return; // a phone's address bar comes and goes
  width = innerWidth;
  refresh();
});
refresh();
openLinked();
