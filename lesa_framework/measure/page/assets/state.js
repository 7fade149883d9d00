// What the reader has chosen, and who is notified when that changes.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const data = JSON.parse($("#payload").textContent);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const listeners = [];

/** Call `listener(view)` now and at every change; a view has `model`, `nfe` ("" for all) and the shown `rows`. */
function onView(listener) {
  listeners.push(listener);
}

function currentView() {
  const form = new FormData($("#filters"));
  const model = Number(form.get("model"));
  const families = new Set(form.getAll("family"));
  const nfe = form.get("nfe");
  const rows = Object.entries(data.rows)
    .map(([number, row]) => ({number: Number(number), ...row}))
    .filter(row => row.model === model)
    .filter(row => row.uncached || (families.has(row.family) && (nfe === "" || row.nfe === Number(nfe))));
  return {model, nfe, rows};
}

/** Offer only what the chosen model has. */
function fitChoices() {
  const model = Number(new FormData($("#filters")).get("model"));
  const rows = Object.values(data.rows).filter(row => row.model === model);
  for (const label of $$("[data-nfe-choice]")) {
    label.hidden = !data.models[model].nfes.includes(Number(label.dataset.nfeChoice));
    if (label.hidden && $("input", label).checked) $("[name=nfe][value='']").checked = true;
  }
  $("#nfes").hidden = data.models[model].nfes.length < 2;
  for (const label of $$("[data-family-choice]")) {
    label.hidden = !rows.some(row => row.family === label.dataset.familyChoice);
  }
}

function refresh() {
  fitChoices();
  const view = currentView();
  const shown = new Set(view.rows.map(row => String(row.number)));
  for (const element of $$("[data-model]")) element.hidden = Number(element.dataset.model) !== view.model;
  for (const element of $$("[data-row]")) element.hidden = !shown.has(element.dataset.row);
  for (const section of $$("[data-optional]")) {
    section.hidden = !$$("[data-row]:not([hidden])", section).some(element => !element.closest("[data-model][hidden]"));
  }
  for (const listener of listeners) listener(view);
}
