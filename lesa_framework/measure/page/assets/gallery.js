// A picture in large, the uncached one beside it.
const dialog = $("#enlarged");
let enlarged = [];

function largeFigure(picture) {
  const figure = document.createElement("figure"), clip = document.createElement("div"), caption = document.createElement("figcaption");
  clip.className = "clip";
  clip.setAttribute("role", "img");
  clip.setAttribute("aria-label", picture.alt);
  caption.textContent = [rowOf(picture).name, picture.dataset.below].filter(Boolean).join(", ");
  figure.append(clip, caption);
  takeShape(clip, picture, playhead.frames);
  return {figure, clip, picture};
}

function drawEnlarged() {
  for (const {clip, picture} of enlarged) showFrame(clip, picture, playhead.frames, playhead.frame);
}

for (const button of $$(".enlarge")) {
  const shown = $("img", button);
  shown.decode().then(() => smoothen(shown, shown));
  button.addEventListener("click", () => {
    const uncached = picturesOf(shown.dataset.example).find(each => rowOf(each).uncached);
    const pair = uncached && uncached !== shown ? [uncached, shown] : [shown];
    enlarged = pair.map(largeFigure);
    $(".pair", dialog).replaceChildren(...enlarged.map(each => each.figure));
    drawEnlarged();
    dialog.showModal();
  });
}
playhead.listeners.push(drawEnlarged);
dialog.addEventListener("close", () => (enlarged = []));
dialog.addEventListener("click", event => event.target === dialog && dialog.close());
