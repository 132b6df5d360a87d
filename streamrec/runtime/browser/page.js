// The page: camera or file in, label, probabilities and events out. All happens in this browser.

import { EventDetector } from "./detector.js";
import * as ort from "./ort/ort.wasm.min.mjs";
import { Recognizer, isDue } from "./recognizer.js";
import { pictureOf } from "./resize.js";

const $ = (id) => document.getElementById(id);
const video = $("video"), canvas = document.createElement("canvas"), pixels = canvas.getContext("2d", { willReadFrequently: true });
const MOST_EVENTS = 50;
let recognizer = null, detector = null, running = 0;

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").toggleAttribute("data-bad", bad);
}

const WHY = {
  NotAllowedError: "The browser may not use the camera: allow it for this page, beside its address.",
  NotFoundError: "There is no camera. Open a video instead.",
  NotReadableError: "The camera is in use by another program: close that, and try again.",
  OverconstrainedError: "This camera is gone: choose another one.",
};

async function useCamera() {
  stop();
  if (!navigator.mediaDevices) { say("A browser gives the camera to pages at https:// or at localhost alone.", true); return; }
  try {
    const chosen = $("cameras").value;
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: chosen ? { deviceId: { exact: chosen } } : { width: { ideal: 640 } } });
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    $("cameras").replaceChildren(...found.map((one, n) => new Option(one.label || `camera ${n + 1}`, one.deviceId, false, one.deviceId === video.srcObject.getVideoTracks()[0].getSettings().deviceId)));
    video.srcObject.getVideoTracks()[0].onended = () => { stop(); say("The camera was taken away.", true); };
    await begin("Watching the camera.");
  } catch (error) {
    say(WHY[error.name] ?? `The camera cannot be used: ${error.message}`, true);
  }
}

async function openFile(file) {
  stop();
  if (!file) return;
  video.src = URL.createObjectURL(file);
  try {
    await begin(`Watching ${file.name}.`);
  } catch {
    say(`${file.name} is no video that this browser plays: try MP4 (H.264) or WebM.`, true);
  }
}

async function begin(text) {
  await video.play();
  say(text);
  $("stop").disabled = false;
  watch(++running).catch((error) => { stop(); say(`The model cannot go on: ${error.message}`, true); });
}

function stop() {
  running++;
  for (const track of video.srcObject?.getTracks() ?? []) { track.onended = null; track.stop(); }
  if (video.src) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute("src");
  video.load();
  $("stop").disabled = true;
  $("label").textContent = "";
  say("Stopped.");
}

const nextFrame = () => new Promise((done) => {
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((now, { mediaTime }) => done(mediaTime));
  else requestAnimationFrame(() => done(video.currentTime));
});

async function watch(mine) {
  let state = recognizer.initialState(), events = detector.initialState();
  const taken = [], { labels, fps } = recognizer.about;
  video.onended = () => { if (mine === running) { show(detector.finish(events.timestamp ?? 0, events)[0]); stop(); say("The video is over."); } };
  while (mine === running) {
    const timestamp = await Promise.race([nextFrame(), new Promise((done) => { setTimeout(done, 500, null); })]);
    if (mine !== running) return;
    if (timestamp === null || !video.videoWidth || !isDue(timestamp, state.clock, fps)) continue;
    const began = performance.now();
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    pixels.drawImage(video, 0, 0);
    const picture = pictureOf(pixels.getImageData(0, 0, canvas.width, canvas.height));
    let prediction, found;
    [prediction, state] = await recognizer.step(picture, timestamp, state);
    if (mine !== running) return;
    [found, events] = detector.step(prediction.probabilities, timestamp, events);
    taken.push([performance.now(), performance.now() - began]);
    if (taken.length > 20) taken.shift();
    const rate = taken.length > 1 ? (1000 * (taken.length - 1)) / (taken.at(-1)[0] - taken[0][0]) : 0;
    const cost = taken.map((one) => one[1]).sort((a, b) => a - b)[taken.length >> 1];
    $("speed").textContent = `${rate.toFixed(1)} frames a second of ${fps} · ${cost.toFixed(0)} ms a frame · ${ort.env.wasm.numThreads === 1 ? "1 thread" : `${ort.env.wasm.numThreads} threads`}`;
    showScores(labels, prediction);
    show(found);
  }
}

function showScores(labels, { label, probabilities }) {
  const doing = probabilities[labels.indexOf(label)];
  $("label").textContent = `${label} ${Math.round(100 * doing)} %`;
  if ($("scores").childElementCount !== labels.length) {
    $("scores").replaceChildren(...labels.map((one) => {
      const row = document.createElement("li"), name = document.createElement("span"), meter = document.createElement("meter"), share = document.createElement("span");
      name.textContent = one;
      meter.setAttribute("aria-label", one);
      row.append(name, meter, share);
      return row;
    }));
  }
  [...$("scores").children].forEach((row, n) => {
    row.classList.toggle("best", labels[n] === label);
    row.children[1].value = probabilities[n];
    row.children[2].textContent = `${Math.round(100 * probabilities[n])} %`;
  });
}

function show(events) {
  for (const event of events) {
    const row = document.createElement("li"), what = document.createElement("span"), when = document.createElement("span");
    what.textContent = event.kind === "started" ? `${event.label} started` : `${event.label} ended`;
    when.textContent = event.kind === "started" ? `at ${event.timestamp.toFixed(1)} s` : `after ${(event.timestamp - event.started).toFixed(1)} s`;
    when.className = "time";
    row.append(what, when);
    $("events").prepend(row);
  }
  while ($("events").childElementCount > MOST_EVENTS) $("events").lastChild.remove();
}

async function load() {
  if (typeof WebAssembly !== "object") { say("This browser has no WebAssembly, which the model needs.", true); return; }
  // A thread more needs memory that is shared, which a browser gives to cross-origin isolated pages alone.
  const wanted = Number(new URLSearchParams(location.search).get("threads")) || 2;
  const threads = globalThis.crossOriginIsolated ? Math.min(wanted, navigator.hardwareConcurrency || 1, 8) : 1;
  try {
    recognizer = await Recognizer.load(ort, new URL("./", location.href), { threads });
  } catch (error) {
    say(`The model cannot be loaded: ${error.message}`, true);
    return;
  }
  detector = new EventDetector(recognizer.about.labels, recognizer.about.events);
  $("about").textContent = `${recognizer.about.name}: ${recognizer.about.labels.join(", ")}`;
  for (const id of ["cameras", "camera", "file"]) $(id).disabled = false;
  say("Ready. Use the camera, or open a video.");
}

$("camera").addEventListener("click", useCamera);
$("cameras").addEventListener("change", useCamera);
$("file").addEventListener("change", () => openFile($("file").files[0]));
$("stop").addEventListener("click", stop);
load();
