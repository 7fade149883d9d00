// Pictures and videos are shown the same way: a video's frames stand side by side in one picture, and one is visible.
const FRAME_MS = 80;
const SMALL = 128; // pixels
const playhead = {frame: 0, frames: 1, timer: null, listeners: []};

/** Show one frame of a picture in an element. */
function showFrame(element, picture, frames, frame) {
  const source = `url("${picture.src}")`;
  if (element.dataset.showing !== picture.dataset.picture + "/" + picture.dataset.example) {
    element.dataset.showing = picture.dataset.picture + "/" + picture.dataset.example;
    element.style.backgroundImage = source;
  }
  element.style.backgroundSize = `${100 * frames}% 100%`;
  element.style.backgroundPosition = frames > 1 ? `${100 * frame / (frames - 1)}% 0` : "0 0";
}

/** Small pictures show their pixels; large ones are made to fit. */
function smoothen(element, picture) {
  element.classList.toggle("smooth", picture.naturalHeight > SMALL);
}

/** Give an element the proportions of one frame. */
async function takeShape(element, picture, frames) {
  await picture.decode();
  smoothen(element, picture);
  element.style.aspectRatio = `${picture.naturalWidth / frames} / ${picture.naturalHeight}`;
}

function goTo(frame) {
  playhead.frame = frame % playhead.frames;
  for (const listener of playhead.listeners) listener();
}

function play(wanted) {
  clearInterval(playhead.timer);
  playhead.timer = wanted && playhead.frames > 1 ? setInterval(() => goTo(playhead.frame + 1), FRAME_MS) : null;
  $("#play").textContent = playhead.timer ? "pause" : "play";
  $("#play").setAttribute("aria-pressed", String(playhead.timer !== null));
}

$("#play").addEventListener("click", () => play(playhead.timer === null));
$("#frame").addEventListener("input", event => {
  play(false);
  goTo(Number(event.target.value));
});
playhead.listeners.push(() => {
  $("#frame").value = playhead.frame;
  $("#frame-number").textContent = `${playhead.frame + 1} of ${playhead.frames}`;
});
