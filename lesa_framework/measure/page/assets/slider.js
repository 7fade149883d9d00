// The uncached picture on the left, the chosen method's on the right.
const picturesOf = example => $$(`[data-model]:not([hidden]) img[data-example="${example}"]`);
const rowOf = picture => data.rows[picture.dataset.picture];
let pictured = {};

function offer(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([text, value]) => new Option(text, value)));
  if (options.some(([, value]) => String(value) === before)) select.value = before;
}

function drawStage() {
  if (!pictured.chosen) return;
  showFrame($("#under"), pictured.uncached, playhead.frames, playhead.frame);
  showFrame($("#over"), pictured.chosen, playhead.frames, playhead.frame);
}

function choosePictures() {
  const all = picturesOf($("#prompt").value);
  const chosen = all.find(picture => picture.dataset.picture === $("#method").value);
  const uncached = all.find(picture => rowOf(picture).uncached);
  if (!chosen || !uncached) return;
  pictured = {chosen, uncached};
  takeShape($(".stage"), uncached, playhead.frames);
  $("#under").setAttribute("aria-label", uncached.alt);
  $("#over").setAttribute("aria-label", chosen.alt);
  $("#right").textContent = rowOf(chosen).label;
  const below = chosen.dataset.below;
  $("#reading").textContent = below === "identical" ? "identical to the uncached one" : below && `PSNR against the uncached one: ${below}`;
  drawStage();
}

function slide() {
  const share = `${$("#slide").value}%`;
  $("#over").style.clipPath = `inset(0 0 0 ${share})`;
  $("#bar").style.left = share;
}

playhead.listeners.push(drawStage);
$("#slide").addEventListener("input", slide);
$("#method").addEventListener("change", choosePictures);
$("#prompt").addEventListener("change", choosePictures);

let shownModel = null;
onView(view => {
  const numbers = new Set(view.rows.filter(row => !row.uncached).map(row => String(row.number)));
  const first = picturesOf(0).filter(picture => numbers.has(picture.dataset.picture));
  $("#side").hidden = first.length === 0;
  $("#images").hidden = picturesOf(0).length === 0;
  if (!first.length) return play(false);
  playhead.frames = data.models[view.model].frames;
  const best = first.find(picture => rowOf(picture).best) ?? first[0];
  const kept = first.some(picture => picture.dataset.picture === $("#method").value);
  offer($("#method"), first.map(picture => [rowOf(picture).name, picture.dataset.picture]));
  if (!kept) $("#method").value = best.dataset.picture;
  const prompts = $$("[data-model]:not([hidden]) .example h3").map((heading, index) => [heading.textContent, index]);
  offer($("#prompt"), prompts);
  if (shownModel !== view.model) {
    $("#player").hidden = playhead.frames < 2;
    $("#frame").max = playhead.frames - 1;
    goTo(0);
    play(!still.matches);
    shownModel = view.model;
  }
  choosePictures();
});
slide();
