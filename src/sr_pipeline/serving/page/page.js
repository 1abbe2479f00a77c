"use strict";
const $ = (id) => document.getElementById(id);
const [form, drop, file, model, match, message, progress, result] =
  ["form", "drop", "file", "model", "match", "message", "progress", "result"].map($);
const [view, before, after, line, split, zoom] = ["view", "before", "after", "line", "split", "zoom"].map($);

let chosen = null;  // the picture, to enlarge it again with other settings
let job = null;  // number of the one that is shown or worked on; a symbol of its own as long as it has none
let place = { scale: 1, x: 0, y: 0, fit: 1 };  // of the enlarged picture in the view, in its pixels

const GONE = "The program behind this page does not answer; is it still running?";

function say(text, isError = false) {
  message.textContent = text;
  message.classList.toggle("error", isError);
}

async function answer(response) {
  if (response.ok) return response.json();
  let detail = "This did not work; try again.";
  try { detail = (await response.json()).detail || detail; } catch { /* no JSON: keep the sentence */ }
  throw new Error(detail);
}

async function ask(address, options) {
  let response;
  try { response = await fetch(address, options); } catch { throw new Error(GONE); }
  return answer(response);
}

function leave(number) {
  if (typeof number === "string") fetch(`api/jobs/${number}`, { method: "DELETE", keepalive: true });
}

async function enlarge(picture) {
  chosen = picture;
  leave(job);
  const mine = job = Symbol("not known yet");
  result.hidden = true;
  progress.hidden = false;
  progress.removeAttribute("value");
  say(`Sending ${picture.name || "the picture"} …`);
  let number = null;
  try {
    const query = new URLSearchParams({ name: picture.name || "picture.png", model: model.value, match: match.checked });
    const reported = await ask(`api/jobs?${query}`, { method: "POST", body: picture });
    if (job !== mine) { leave(reported.id); return; }
    job = number = reported.id;
    await follow(reported);
  } catch (error) {
    if (job !== mine && job !== number) return;  // another picture has taken its place
    progress.hidden = true;
    say(error.message, true);
  }
}

async function follow(reported) {
  while (reported.state === "waiting" || reported.state === "running") {
    if (reported.state === "waiting") say(reported.position ? `Waiting; ${reported.position} before this one` : "Starting …");
    else say(`Enlarging … ${Math.round(100 * reported.progress)} %`);
    if (reported.progress) progress.value = reported.progress;
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (job !== reported.id) return;
    reported = await ask(`api/jobs/${reported.id}`);
    if (job !== reported.id) return;
  }
  progress.hidden = true;
  if (reported.state === "failed") throw new Error(reported.error);
  await show(reported);
}

async function show(reported) {
  const address = `api/jobs/${reported.id}`;
  before.src = `${address}/before`;
  after.src = `${address}/result`;
  let shown = true;
  try { await Promise.all([before.decode(), after.decode()]); } catch {
    shown = false;  // what the server says of it comes first: it may be gone, or the result
    await ask(address);
  }
  if (job !== reported.id) return;
  const [width, height] = reported.size;
  for (const image of [before, after]) { image.style.width = `${width}px`; image.style.height = `${height}px`; }
  $("download").href = `${address}/result`;
  $("download").download = reported.name;
  $("facts").textContent = `${reported.before.join(" × ")} → ${width} × ${height} pixels in ${reported.seconds.toFixed(1)} s, ` +
    (reported.bytes < 1e6 ? `${Math.ceil(reported.bytes / 1e3)} kB` : `${(reported.bytes / 1e6).toFixed(1)} MB`);
  say(shown ? "Done." : "Done. This browser does not show the result, perhaps because of its size; download it.");
  result.hidden = false;
  fit();
  result.scrollIntoView({ block: "nearest" });
}

function draw() {
  const moved = `translate(${place.x}px, ${place.y}px) scale(${place.scale})`;
  before.style.transform = after.style.transform = moved;
  const at = view.clientWidth * split.value / 100;
  line.style.left = `${at - 1.5}px`;
  const edge = (at - place.x) / place.scale;  // in pixels of the picture
  before.style.clipPath = `inset(0 ${after.offsetWidth - edge}px 0 0)`;
  zoom.value = `${Math.round(100 * place.scale)} %`;
  after.style.imageRendering = before.style.imageRendering = place.scale >= 3 ? "pixelated" : "auto";
}

function fit() {
  view.style.height = `${Math.min(0.7 * innerHeight, view.clientWidth * after.offsetHeight / after.offsetWidth)}px`;
  const scale = Math.min(view.clientWidth / after.offsetWidth, view.clientHeight / after.offsetHeight);
  place = { scale, fit: scale, x: (view.clientWidth - scale * after.offsetWidth) / 2,
    y: (view.clientHeight - scale * after.offsetHeight) / 2 };
  draw();
}

function zoomBy(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
  const scale = Math.min(Math.max(place.scale * factor, Math.min(place.fit, 1) / 2), 16);
  place.x = x - (x - place.x) * scale / place.scale;
  place.y = y - (y - place.y) * scale / place.scale;
  place.scale = scale;
  draw();
}

function keepDragging() {
  const fingers = new Map();
  let sliding = false;
  view.addEventListener("pointerdown", (event) => {
    const box = view.getBoundingClientRect();
    sliding = fingers.size === 0 && Math.abs(event.clientX - box.left - box.width * split.value / 100) < 24;
    fingers.set(event.pointerId, event);
    view.setPointerCapture(event.pointerId);
    view.classList.add("dragging");
  });
  view.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const box = view.getBoundingClientRect();
    if (sliding) {
      split.value = 100 * (event.clientX - box.left) / box.width;
    } else if (fingers.size === 1) {
      place.x += event.clientX - last.clientX;
      place.y += event.clientY - last.clientY;
    } else {
      const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      zoomBy(apart(event) / Math.max(apart(last), 1), (event.clientX + other.clientX) / 2 - box.left,
        (event.clientY + other.clientY) / 2 - box.top);
    }
    fingers.set(event.pointerId, event);
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => {
    fingers.delete(event.pointerId);
    if (!fingers.size) { sliding = false; view.classList.remove("dragging"); }
  });
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = view.getBoundingClientRect();
    zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  view.addEventListener("dblclick", fit);
}

async function start() {
  try {
    for (const { name, label } of await ask("api/models")) model.add(new Option(label, name));
  } catch (error) { say(error.message, true); }
  if (!model.options.length) say("There is no model yet; see the terminal.", true);
}

file.addEventListener("change", () => { if (file.files[0]) enlarge(file.files[0]); file.value = ""; });
form.addEventListener("submit", (event) => event.preventDefault());
for (const setting of [model, match]) setting.addEventListener("change", () => { if (chosen) enlarge(chosen); });
for (const kind of ["dragover", "drop", "dragleave"]) document.addEventListener(kind, (event) => {
  event.preventDefault();
  drop.classList.toggle("over", kind === "dragover");
  if (kind === "drop" && event.dataTransfer.files[0]) enlarge(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => { if (event.clipboardData.files[0]) enlarge(event.clipboardData.files[0]); });
split.addEventListener("input", draw);
$("in").addEventListener("click", () => zoomBy(1.5));
$("out").addEventListener("click", () => zoomBy(1 / 1.5));
$("fit").addEventListener("click", fit);
window.addEventListener("resize", () => { if (!result.hidden) fit(); });
window.addEventListener("pagehide", () => leave(job));
keepDragging();
start();
