// The Live tab's camera. Runs with `element`, the component, and `server`, its Python functions.
const stage = element.querySelector(".live-stage");
const video = stage.querySelector("video");
const box = stage.querySelector(".live-face");
const rate = stage.querySelector(".live-rate");
const button = stage.querySelector("button");
const texts = JSON.parse(stage.dataset.texts);
const [startLabel, stopLabel] = JSON.parse(stage.dataset.labels);
const canvas = document.createElement("canvas");
const SMALLEST_GAP_MS = 100; // at most ten frames a second, so that one visitor leaves room
const RETRIES = 3;
const REFUSALS = {
  NotAllowedError: "denied",
  NotFoundError: "no_camera",
  OverconstrainedError: "no_camera",
  NotReadableError: "in_use",
  AbortError: "in_use",
};
let settings = JSON.parse(stage.dataset.settings);
let run = 0; // counts starts and stops: what belongs to an older number is out of date
let stream = null;
let key = null;
let lastFace = ""; // the newest frame with a face, to draw as a figure
let table = ""; // the last seconds as CSV, once the camera is off; a promise of it at first

const place = (selector) => document.querySelector(selector);
const choice = () => place("#live-choice :is(input, textarea)")?.value ?? "";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function say([kind, text], announced = true) {
  const line = place("#live-line .fer-notice");
  line.setAttribute("aria-live", announced ? "polite" : "off");
  line.className = `fer-notice fer-${kind}`;
  if (line.textContent !== text) line.textContent = text; // said once
}

function hideUnchosen(cards) {
  for (const card of cards) card.hidden = !settings.networks.includes(card.dataset.network);
}

function capture() {
  // The video element is mirrored by its style alone; its pixels are as the camera saw them.
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.toDataURL("image/jpeg", 0.85);
}

async function show(answer, isCurrent) {
  const cards = document.createElement("div");
  cards.innerHTML = answer.cards;
  hideUnchosen(cards.children);
  await Promise.all([...cards.querySelectorAll("img")].map((image) => image.decode())); // no flicker
  if (!isCurrent()) return;
  place(".live-cards").replaceChildren(...cards.children);
  place(".live-strip").innerHTML = answer.strip;
  say([answer.kind, answer.line], answer.box === null);
  rate.textContent = answer.rate;
  box.hidden = answer.box === null;
  ["left", "top", "width", "height"].forEach((side, i) => {
    box.style[side] = answer.box ? `${answer.box[i]}%` : "0";
  });
}

function stop(state) {
  run += 1;
  stream?.getTracks().forEach((track) => track.stop());
  if (key !== null) table = server.leave(key);
  stream = key = video.srcObject = null;
  box.hidden = true;
  rate.textContent = "";
  button.textContent = startLabel;
  stage.classList.remove("live-on");
  if (element.isConnected) say(texts[state]);
}

async function start() {
  const mine = ++run;
  const isCurrent = () => mine === run;
  button.textContent = stopLabel;
  if (!navigator.mediaDevices?.getUserMedia) return stop("insecure");
  say(texts.asking);
  let opened;
  try {
    const size = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    opened = await navigator.mediaDevices.getUserMedia({ audio: false, video: size });
  } catch (error) {
    if (isCurrent()) stop(REFUSALS[error.name] ?? "no_camera");
    return;
  }
  if (!isCurrent()) return opened.getTracks().forEach((track) => track.stop());
  stream = opened;
  stream.getVideoTracks()[0].onended = () => isCurrent() && stop("lost");
  video.srcObject = stream;
  await new Promise((resolve) => (video.onloadeddata = resolve));
  if (!isCurrent()) return;
  stage.classList.add("live-on");
  say(texts.starting);
  key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
  watchLeaving(isCurrent);
  await streamFrames(isCurrent);
}

async function streamFrames(isCurrent) {
  let failures = 0;
  while (isCurrent()) {
    const began = performance.now();
    const frame = capture();
    const answer = await server.look({ key, frame, ...settings, choice: choice() });
    if (!isCurrent()) return;
    if (answer?.box) lastFace = frame;
    failures = answer ? 0 : failures + 1;
    if (answer?.state || failures === RETRIES) return stop(answer?.state ?? "failed");
    if (answer) await show(answer, isCurrent);
    const gap = answer ? SMALLEST_GAP_MS : 1000;
    await wait(Math.max(0, gap - (performance.now() - began)));
  }
}

async function watchLeaving(isCurrent) {
  while (isCurrent()) {
    if (document.hidden || !element.isConnected || stage.offsetParent === null) stop("left");
    await wait(250);
  }
}

async function save() {
  const text = await (key === null ? table : server.table(key));
  if (!text) return say(texts.nothing);
  download(new Blob([text], { type: "text/csv" }), "live.csv");
}

async function draw() {
  if (!lastFace) return say(texts.nothing);
  say(texts.drawing);
  const asked = { key: "figure", frame: lastFace, ...settings, choice: choice() };
  const picture = await server.picture(asked);
  if (picture === null) return say(texts.crowded);
  if (!picture) return say(texts.undrawn);
  download(await (await fetch(picture)).blob(), "live.png");
  say(texts.drawn);
}

function download(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

button.addEventListener("click", () => (button.textContent === stopLabel ? stop("stopped") : start()));
button.disabled = false; // until here a press would have been lost
stage.addEventListener("save", save);
stage.addEventListener("draw", draw);
stage.addEventListener("settings", ({ detail }) => {
  settings = detail;
  hideUnchosen(document.querySelectorAll(".live-cards > *"));
});
