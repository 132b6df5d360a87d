// The grid of cameras, and the view of one camera.

import { colourOf, colourOfPerson, h, isQuiet, duration, named, percent, secondsSince, setText } from "./dom.js";
import { eventList } from "./events.js";
import { makePlaces } from "./places.js";
import { mayChoose, showSnooze, snoozeButton } from "./arming.js";

const TRAIL_SECONDS = 60;
const STATES = { connecting: "connecting", live: "live", stalled: "no frames", reconnecting: "reconnecting", ended: "ended", failed: "failed" };
const trails = new Map(); // camera -> [ms, [label, confidence] of each model]; kept when the view changes

const UNKNOWN = "unknown", OUT_OF_DISTRIBUTION = "Out of distribution: the image is unlike the training data";
const stateOf = (camera) => STATES[camera.state] ?? camera.state;
/** The prediction of each model: several that watch together, or the only one, whose fields are the camera's own. */
const predictionsOf = (camera) => camera.models ?? [camera];
/** The rows of the bars: an out-of-distribution frame has "unknown" first, and its labels below. */
const rowsOf = (prediction) => (prediction.unknown ? [[UNKNOWN, null], ...prediction.top] : prediction.top);

export function addToTrail(camera) {
  let trail = trails.get(camera.name);
  if (!trail) trails.set(camera.name, trail = []);
  const now = Date.now();
  if (now - (trail.at(-1)?.[0] ?? 0) < 180) return;
  trail.push([now, predictionsOf(camera).map((prediction) => (prediction.unknown ? [UNKNOWN, 0] : [prediction.label, prediction.confidence ?? 0]))]);
  while (trail.length && now - trail[0][0] > 1000 * TRAIL_SECONDS) trail.shift();
}

/** Draws the last minute as a strip, in a row for each model: the colour is the label, the opacity its probability. */
export function drawTrail(canvas, name) {
  canvas.style.setProperty("--rows", trails.get(name)?.at(-1)?.[1].length ?? 1);
  const ratio = Math.min(2, devicePixelRatio || 1);
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext("2d"), trail = trails.get(name) ?? [], now = Date.now(), style = getComputedStyle(canvas);
  pen.clearRect(0, 0, width, height);
  const colours = new Map();
  const colour = (label) => {
    if (!colours.has(label)) colours.set(label, style.getPropertyValue(colourOf(label).slice(4, -1)));
    return colours.get(label);
  };
  const x = (time) => width * (1 - (now - time) / (1000 * TRAIL_SECONDS));
  trail.forEach(([time, predictions], n) => {
    const ends = Math.min(trail[n + 1]?.[0] ?? now, time + 1500), row = height / predictions.length;
    predictions.forEach(([label, confidence], place) => {
      if (!label) return;
      pen.globalAlpha = isQuiet(label) ? 0.25 : 0.25 + 0.75 * confidence;
      pen.fillStyle = colour(label);
      pen.fillRect(x(time), place * row, Math.max(1, x(ends) - x(time) + 0.5), row);
    });
  });
  pen.globalAlpha = 1;
}

function makeBars(count) {
  const rows = Array.from({ length: count }, () => h("div", { class: "bar" }, h("span"), h("b"), h("i")));
  return { rows, element: h("div", { class: "bars", role: "group", "aria-label": "Predictions" }, rows) };
}

function fillBars(bars, prediction) {
  const shown = rowsOf(prediction);
  bars.rows.forEach((row, n) => {
    const [label, part] = shown[n] ?? [null, null];
    const isUnknown = prediction.unknown && n === 0;
    row.hidden = label === null;
    row.title = isUnknown ? OUT_OF_DISTRIBUTION : "";
    if (isUnknown) row.dataset.unknown = ""; else delete row.dataset.unknown;
    if (label === null) return;
    setText(row.children[0], label);
    setText(row.children[1], percent(part));
    row.style.setProperty("--now", isUnknown ? "var(--quiet)" : colourOf(label));
    row.style.setProperty("--part", part ?? 0);
  });
}

/** The bars of each model, under its name where there are several; ``most``: rows of the only one. */
export function makePredictions(most) {
  const element = h("div", { class: "predictions" });
  let parts = [];
  return {
    element,
    fill(camera) {
      const predictions = predictionsOf(camera);
      if (parts.length !== predictions.length) {
        parts = predictions.map(() => ({ title: h("h3", { class: "model" }), bars: makeBars(predictions.length > 1 ? 2 : most) }));
        element.replaceChildren(...parts.flatMap((part) => [part.title, part.bars.element]));
      }
      predictions.forEach((prediction, n) => {
        parts[n].title.hidden = !prediction.model;
        setText(parts[n].title, prediction.model ?? "");
        if (prediction.model) parts[n].bars.element.setAttribute("aria-label", `Predictions of ${prediction.model}`);
        fillBars(parts[n].bars, prediction);
      });
    },
  };
}

export function makeView(name) {
  const canvas = h("canvas", { role: "img", "aria-label": `${name}, live image`, width: 320, height: 180 });
  const why = h("div", { class: "why" }, h("strong"), h("span"));
  const now = h("div", { class: "now" }), places = makePlaces();
  return { canvas, why, now, places, element: h("div", { class: "view" }, canvas, places.element, why, now) };
}

/** How often a person has repeated what they do, by a model that counts or of any motion; 0: not at all. */
const countOf = (person) => person?.repetitions || person?.count || 0;

export function fillView(view, camera) {
  const dead = camera.state !== "live";
  view.why.hidden = !dead;
  view.places.element.classList.toggle("dead", dead);
  view.places.fill(camera);
  if (dead) {
    setText(view.why.children[0], STATES[camera.state] ? STATES[camera.state][0].toUpperCase() + STATES[camera.state].slice(1) : camera.state);
    setText(view.why.children[1], camera.reason);
  }
  view.canvas.setAttribute("aria-label", dead ? `${camera.name}, no live image` : `${camera.name}, live image`);
  const running = dead ? [] : camera.running, shown = running.map((one) => one.person);
  const counted = dead ? [] : (camera.people ?? []).filter((one) => countOf(one) && !shown.includes(one.person));
  while (view.now.childElementCount > running.length + counted.length) view.now.lastChild.remove();
  const chipAt = (n) => view.now.children[n] ?? view.now.appendChild(h("span", { class: "chip" }));
  running.forEach((one, n) => {
    const chip = chipAt(n);
    const prediction = camera.models?.find((prediction) => prediction.model === one.model) ?? camera;
    const who = one.person ? ` · person ${one.person}` : "";
    chip.style.setProperty("--now", one.person ? colourOfPerson(one.person) : colourOf(one.label));
    const repetitions = one.person ? countOf(camera.people?.find((person) => person.person === one.person)) : one.label === "repeating" ? camera.count : prediction.repetitions;
    const count = repetitions ? ` × ${repetitions}` : "";
    setText(chip, `${named(one.model, one.label)}${who}${count} · ${duration(secondsSince(one.started))}`);
  });
  counted.forEach((one, n) => {
    const chip = chipAt(running.length + n);
    chip.style.setProperty("--now", colourOfPerson(one.person));
    setText(chip, `person ${one.person} × ${countOf(one)}`);
  });
  return running;
}

const ms = (seconds) => (seconds === null ? "–" : `${Math.max(1, Math.round(1000 * seconds))} ms`);

function makeFigures(page) {
  const figure = (name, title) => h("div", { title }, h("dt", { text: `${name} ` }), h("dd"));
  const all = [figure("rate", "Processed frames per second"), figure("latency", "Median time from capture to prediction, over five seconds"), figure("dropped", "Frames dropped because the machine was too slow")];
  if (page.session.fleet) all.push(figure("on", "The machine that recognizes it"));
  return { all, element: h("dl", { class: "figures" }, all) };
}

function fillFigures(figures, camera) {
  setText(figures.all[0].children[1], `${camera.fps.toFixed(1)} fps`);
  setText(figures.all[1].children[1], ms(camera.latency));
  setText(figures.all[2].children[1], String(camera.dropped));
  if (figures.all[3]) setText(figures.all[3].children[1], camera.machine || "no machine yet");
}

function makeCard(page, name) {
  const view = makeView(name), predictions = makePredictions(3), figures = makeFigures(page);
  const dot = h("span", { class: "dot" }), state = h("span", { class: "state" });
  const trail = h("canvas", { class: "trail", "aria-hidden": "true" }), snooze = snoozeButton(page, name);
  const element = h("article", { class: "card", "aria-label": name, dataset: { camera: name } },
    view.element, trail,
    h("div", { class: "under" },
      h("div", { class: "title" }, dot, h("h2", { title: name }, h("a", { href: `#/camera/${encodeURIComponent(name)}` }, h("bdi", { text: name }))), state, snooze.element),
      predictions.element, figures.element));
  return {
    element, view, name,
    update(camera) {
      element.dataset.state = camera.state;
      dot.dataset.state = camera.state;
      setText(state, stateOf(camera));
      snooze.update();
      const running = fillView(view, camera);
      if (running.length) {
        element.dataset.acting = "";
        element.style.setProperty("--now", colourOf(running[0].label));
      } else delete element.dataset.acting;
      predictions.fill(camera);
      fillFigures(figures, camera);
      drawTrail(trail, name);
    },
  };
}

/** The most frequent aspect ratio: one for all cameras, so that the grid is even. */
export function usualAspect(cameras) {
  const counts = new Map();
  for (const { width, height } of cameras) if (width) counts.set(width / height, (counts.get(width / height) ?? 0) + 1);
  const [usual] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [16 / 9];
  return Math.min(2, Math.max(1, usual));
}

export function camerasView(page, main) {
  const cards = new Map(), seen = new Set();
  const grid = h("section", { class: "grid", "aria-label": "Cameras" });
  const empty = h("p", { class: "empty", text: "No cameras yet. Add one under Manage, or in cameras.toml." });
  const list = eventList(page, { limit: 40 });
  const side = h("aside", { class: "side", "aria-labelledby": "latest" },
    h("h2", { id: "latest", text: "Latest events" }), list.element);
  main.append(h("h1", { class: "unseen", text: "Cameras" }), h("div", { class: "desk" }, h("div", {}, grid, empty), side));

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.dataset.camera) : seen.delete(entry.target.dataset.camera);
    want();
  }, { rootMargin: "80px" });

  function want() {
    const ratio = Math.min(2, devicePixelRatio || 1), wanted = new Map();
    for (const name of seen) {
      const card = cards.get(name);
      if (card) wanted.set(name, Math.max(1, Math.round(card.element.clientWidth * ratio)));
    }
    page.live.want(wanted);
  }

  function update() {
    const names = page.live.cameras.map((camera) => camera.name);
    for (const [name, card] of cards) {
      if (names.includes(name)) continue;
      observer.unobserve(card.element);
      card.element.remove();
      cards.delete(name);
      seen.delete(name);
      page.live.painters.delete(name);
    }
    grid.dataset.many = names.length > 12 ? "many" : names.length > 6 ? "some" : "few";
    grid.style.setProperty("--aspect", usualAspect(page.live.cameras));
    empty.hidden = names.length > 0 || !page.live.connected;
    page.live.cameras.forEach((camera, n) => {
      try {
        addToTrail(camera);
        let card = cards.get(camera.name);
        if (!card) {
          card = makeCard(page, camera.name);
          cards.set(camera.name, card);
          page.live.painters.set(camera.name, card.view.canvas);
          observer.observe(card.element);
        }
        if (grid.children[n] !== card.element) grid.insertBefore(card.element, grid.children[n] ?? null);
        card.update(camera);
      } catch (error) { console.error(error); } // one camera's error must not break the others
    });
  }

  addEventListener("resize", want);
  update();
  list.fill();
  return {
    update,
    events: () => list.fill(),
    tick: () => { list.tick(); update(); },
    leave() { observer.disconnect(); removeEventListener("resize", want); page.live.want(new Map()); },
  };
}

export function cameraView(page, main, name) {
  const view = makeView(name), predictions = makePredictions(5);
  const trail = h("canvas", { class: "trail", role: "img", "aria-label": "Predictions of the last minute" });
  const facts = h("dl", { class: "facts" });
  const list = eventList(page, { limit: 30, camera: name });
  const state = h("p", { class: "soft" });
  const element = h("div", { class: "focus" },
    h("div", {}, view.element, trail, h("div", { class: "scale", "aria-hidden": "true" }, h("span", { text: "a minute ago" }), h("span", { text: "now" }))),
    h("div", { class: "stack" },
      h("section", { class: "panel", "aria-labelledby": "prediction" }, h("h2", { id: "prediction", text: "Prediction" }), predictions.element),
      h("section", { class: "panel", "aria-labelledby": "health" }, h("h2", { id: "health", text: "Health" }), facts),
      h("aside", { class: "panel side-list", "aria-labelledby": "its-events" }, h("h2", { id: "its-events", text: "Events" }), list.element)));
  const snooze = mayChoose(page) ? h("button", { type: "button", class: "button", text: "Snooze", onclick: () => showSnooze(page, name) }) : null;
  const edit = page.session.editable ? h("a", { class: "button", href: `#/manage/${encodeURIComponent(name)}`, text: "Settings" }) : null;
  main.append(h("div", { class: "head" }, h("h1", {}, h("bdi", { text: name })), state, h("div", { class: "right row" }, snooze, edit, h("a", { class: "button", href: "#/", text: "All cameras" }))), element);
  page.live.painters.set(name, view.canvas);

  function want() { page.live.want(new Map([[name, Math.max(1, Math.round(view.element.clientWidth * Math.min(2, devicePixelRatio || 1)))]])); }
  function fact(key, value) { return [h("dt", { text: key }), h("dd", { text: value })]; }

  function update() {
    for (const camera of page.live.cameras) addToTrail(camera);
    const camera = page.live.cameras.find((one) => one.name === name);
    if (!camera) {
      setText(state, page.live.connected ? "There is no camera of this name." : "");
      return;
    }
    element.dataset.state = camera.state;
    element.style.setProperty("--aspect", usualAspect([camera]));
    setText(state, predictionsOf(camera).some((prediction) => prediction.unknown) ? `${stateOf(camera)}. ${OUT_OF_DISTRIBUTION}.` : `${stateOf(camera)}${camera.reason ? `: ${camera.reason}` : ""}`);
    fillView(view, camera);
    predictions.fill(camera);
    drawTrail(trail, name);
    const rows = [
      ["Frame rate", `${camera.fps.toFixed(1)} fps`], ["Latency", ms(camera.latency)], ["Dropped frames", String(camera.dropped)],
      ["Torn or frozen frames", String(camera.refused)], ["Reconnects", String(camera.reconnects)],
      ["Resolution", camera.width ? `${camera.width} × ${camera.height}` : "–"],
      ...(camera.sound ? [["Sound", `${camera.sound.model}: ${camera.sound.reason || camera.sound.state}`]] : []),
      ...(page.session.fleet ? [["Machine", camera.machine || "none yet"], ["Runs there for", camera.machine && camera.machine_since ? duration(secondsSince(camera.machine_since)) : "–"]] : []),
      [camera.state === "live" ? "Live for" : `${stateOf(camera)} for`, camera.seconds === null ? "–" : duration(camera.seconds)],
    ];
    rows.forEach(([key, value], n) => {
      if (!facts.children[2 * n]) facts.append(...fact(key, value));
      setText(facts.children[2 * n], key);
      setText(facts.children[2 * n + 1], value);
    });
  }

  addEventListener("resize", want);
  want();
  update();
  list.fill();
  return {
    update,
    events: () => list.fill(),
    tick: () => { list.tick(); update(); },
    leave() { removeEventListener("resize", want); page.live.want(new Map()); },
  };
}
