// The lesson: labels that are held or marked afterwards, a countdown over the live image, the examples, what was learned.

import { addToTrail, drawTrail, fillView, makePredictions, makeView, usualAspect } from "./cameras.js";
import { ask, colourOf, h, setText } from "./dom.js";

const TAP = 500; // ms: a key or button that is let go earlier was not held
const NOTHING = "nothing";
const SPOKEN = { ready: (cue) => `Get ready: ${cue.label}`, go: (cue) => `Now: ${cue.label}`, nothing: (cue) => `Nothing, for ${Math.round(cue.lasts)} seconds` };

const button = (keys) => h("button", { type: "button", class: "button", ...keys });

/** A button that is held: with the pointer, with Space or Enter, or switched on and off by a screen reader. */
function holdButton(keys, begin, end) {
  let since = null;
  const start = (event) => {
    event.preventDefault();
    if (since !== null) return;
    since = performance.now();
    made.setAttribute("aria-pressed", "true");
    begin();
  };
  const stop = () => {
    if (since === null) return;
    const held = performance.now() - since;
    since = null;
    made.setAttribute("aria-pressed", "false");
    end(held);
  };
  const made = button({
    ...keys, "aria-pressed": "false",
    onpointerdown: (event) => { if (event.button === 0) { made.setPointerCapture(event.pointerId); start(event); } },
    onpointerup: stop, onpointercancel: stop,
    onkeydown: (event) => { if (event.key === " " || event.key === "Enter") start(event); },
    onkeyup: (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); stop(); } },
    onblur: stop,
    onclick: (event) => { if (event.detail === 0 && !event.pointerType) { if (since === null) start(event); else stop(); } },
    oncontextmenu: (event) => event.preventDefault(), // a long touch
  });
  return made;
}

export async function teachView(page, main) {
  let lesson = await ask("/api/v1/teach"), received = performance.now(), asking = false, left = false;
  const name = lesson.camera;

  // -- the live image
  const view = makeView(name), predictions = makePredictions(3);
  const count = h("div", { class: "count", hidden: true, "aria-hidden": "true" }, h("b"), h("span"), h("i"));
  view.element.append(count);
  const trail = h("canvas", { class: "trail", "aria-hidden": "true" });
  const asks = h("p", { class: "asks" });
  const message = h("p", { class: "message", role: "status" });
  const stop = button({ text: "Stop", hidden: true, onclick: () => send("DELETE", "countdown") });

  // -- labels
  const rows = new Map();
  const labels = h("div", { class: "labels" });
  const field = h("input", { id: "new-label", maxlength: 40, autocomplete: "off", placeholder: "wave" });
  const add = h("form", { class: "add" },
    h("label", { class: "field", for: "new-label" }, "New label", field), h("button", { type: "submit", class: "button", text: "Add" }));
  add.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!field.value.trim()) { field.focus(); return; }
    const label = field.value;
    if (await send("POST", "label", { label })) { field.value = ""; rows.get(label.trim().replace(/\s+/g, " "))?.last.focus(); }
  });
  const nothing = h("div", { class: "taught" },
    h("div", { class: "what" }, h("strong", { text: "Nothing" }), h("span", { class: "soft" })),
    h("div", { class: "row" },
      button({ class: "button", text: `Count down ${Math.round(lesson.nothing_seconds)} s`, onclick: () => send("POST", "countdown", { label: NOTHING }) }),
      button({ text: "The last 10 s", "aria-label": "The last 10 s were nothing", onclick: () => send("POST", "example", { label: NOTHING, seconds: 10 }) })));

  // -- examples and report
  const list = h("ul", { class: "examples" }), listed = new Map();
  const none = h("p", { class: "soft", text: "No example yet." });
  const undo = button({ text: "Undo", onclick: () => send("POST", "undo") });
  const figures = h("dl", { class: "facts" }), advice = h("ul", { class: "advice" });
  const state = h("p", { class: "soft" });
  const fit = button({ text: "Learn now", onclick: () => send("POST", "fit") });

  main.append(
    h("div", { class: "head" }, h("h1", { text: "Teach" }), h("p", { class: "soft" }, h("bdi", { text: name }), ` · ${lesson.out} is written at the end`)),
    h("div", { class: "focus teach" },
      h("div", { class: "stack" }, h("div", {}, view.element, trail), h("div", { class: "row talk" }, h("div", {}, asks, message), stop), h("section", { class: "panel", "aria-labelledby": "sees" }, h("h2", { id: "sees", text: "What it sees" }), predictions.element)),
      h("div", { class: "stack" },
        h("section", { class: "panel", "aria-labelledby": "labels" }, h("h2", { id: "labels", text: "What was that?" }), labels, nothing, add),
        h("section", { class: "panel", "aria-labelledby": "learned" }, h("h2", { id: "learned", text: "What it learned" }), state, figures, advice, h("div", { class: "row" }, fit)),
        h("section", { class: "panel", "aria-labelledby": "examples" }, h("div", { class: "row" }, h("h2", { id: "examples", text: "Examples" }), h("span", { class: "right" }, undo)), none, list))));
  page.live.painters.set(name, view.canvas);

  // -- requests
  async function send(method, path, body = {}) {
    try {
      take(await ask(`/api/v1/teach/${path}`, { method, body }));
      return true;
    } catch (error) {
      setText(message, error.message);
      message.dataset.wrong = "";
      return false;
    }
  }

  async function poll() {
    if (asking || left) return;
    asking = true;
    try { take(await ask("/api/v1/teach")); } catch { /* the banner says that the connection is lost */ } finally { asking = false; }
  }

  let spoken = lesson.cue?.kind ?? "", version = -1;
  function take(answer) {
    lesson = answer;
    received = performance.now();
    const kind = lesson.cue?.kind ?? "";
    if (kind && kind !== spoken) page.announce(SPOKEN[kind](lesson.cue));
    spoken = kind;
    if (left) return;
    if (lesson.version !== version || lesson.message !== message.textContent) {
      version = lesson.version;
      if (lesson.message) { setText(message, lesson.message); delete message.dataset.wrong; }
      fillLabels();
      fillExamples();
    }
    fillReport();
    fillCue();
  }

  // -- parts
  function wishes() {
    if (lesson.cue?.kind === "nothing") return "Stay in the picture and do anything else.";
    if (lesson.cue) return `${lesson.cue.label}: ${lesson.cue.kind === "go" ? "now!" : "get ready"}`;
    if (!lesson.labels.length) return "Name what you want to teach.";
    if (lesson.wants_nothing) return `Now ${Math.round(lesson.nothing_seconds)} seconds of nothing: they keep false alarms away.`;
    const lacking = lesson.labels.find((one) => one.examples < lesson.enough);
    if (lacking) return `${lacking.label}: ${lesson.enough - lacking.examples} more. Do it, then press "It was this".`;
    return lesson.fitting ? "Learning …" : "Do it again: does it see it?";
  }

  function fillCue() {
    setText(asks, wishes());
    const cue = lesson.cue;
    count.hidden = cue === null;
    stop.hidden = cue === null;
    if (cue === null) return;
    const now = Math.max(0, cue.left - (performance.now() - received) / 1000);
    count.dataset.kind = cue.kind;
    setText(count.children[0], String(Math.max(1, Math.ceil(now))));
    setText(count.children[1], cue.kind === "nothing" ? "nothing" : cue.label);
    count.style.setProperty("--part", cue.lasts ? 1 - now / cue.lasts : 1);
  }

  function makeRow(label) {
    const example = (seconds) => send("POST", "example", { label, seconds });
    const counted = h("span", { class: "soft" });
    const last = button({ class: "primary", text: "It was this", "aria-label": `The last ${lesson.seconds} s were ${label}`, onclick: () => example(lesson.seconds) });
    const hold = holdButton({ text: "Hold", "aria-label": `${label}: hold while it happens` },
      () => { element.dataset.held = ""; setText(asks, `${label} … let go when it is over`); },
      (ms) => { delete element.dataset.held; example(ms < TAP ? lesson.seconds : Math.round(ms / 100) / 10); });
    const begin = button({ text: "Countdown", "aria-label": `Countdown for ${label}`, onclick: () => send("POST", "countdown", { label }) });
    const key = h("kbd", { "aria-hidden": "true" });
    const element = h("div", { class: "taught", role: "group", "aria-label": label },
      h("div", { class: "what" }, key, h("strong", {}, h("bdi", { text: label })), counted), h("div", { class: "row" }, last, hold, begin));
    return { element, counted, key, last };
  }

  function fillLabels() {
    lesson.labels.forEach((one, place) => {
      let row = rows.get(one.label);
      if (!row) { rows.set(one.label, row = makeRow(one.label)); labels.append(row.element); }
      row.key.hidden = place > 8;
      setText(row.key, String(place + 1));
      row.element.style.setProperty("--now", colourOf(one.label));
      setText(row.counted, one.examples >= lesson.enough ? `${one.examples} examples` : `${one.examples} of ${lesson.enough}`);
    });
    setText(nothing.querySelector("span"), lesson.nothing ? `${Math.round(lesson.nothing)} s` : "none yet");
  }

  function makeExample(one) {
    const choice = h("select", { "aria-label": `Label of example ${one.id}`, onchange: () => choice.value !== listed.get(one.id)?.label && send("PUT", "example", { id: one.id, label: choice.value }) });
    const image = one.pictures ? h("img", { src: `/api/v1/teach/picture?id=${one.id}&number=${Math.floor(one.pictures / 2)}`, alt: `Example ${one.id}`, width: 76, loading: "lazy" }) : null;
    const remove = button({ class: "button", text: "Remove", "aria-label": `Remove example ${one.id}`, onclick: async () => { if (await send("DELETE", "example", { id: one.id })) undo.focus(); } });
    const element = h("li", {}, image, h("span", { class: "number", text: `${one.id}` }), choice, h("span", { class: "soft", text: `${one.seconds.toFixed(1)} s` }), remove);
    return { element, choice };
  }

  function fillExamples() {
    const there = new Set(lesson.examples.map((one) => one.id));
    for (const [id, row] of listed) if (!there.has(id)) { row.element.remove(); listed.delete(id); }
    const names = [...lesson.labels.map((one) => one.label), NOTHING];
    lesson.examples.forEach((one, place) => {
      let row = listed.get(one.id);
      if (!row) listed.set(one.id, row = makeExample(one));
      row.label = one.label;
      if (row.choice.length !== names.length) row.choice.replaceChildren(...names.map((label) => h("option", { value: label, text: label })));
      if (document.activeElement !== row.choice) row.choice.value = one.label;
      if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
    });
    none.hidden = lesson.examples.length > 0;
    undo.disabled = lesson.undoes === null;
    undo.title = lesson.undoes ? `Takes back: ${lesson.undoes}` : "";
  }

  function fillReport() {
    const report = lesson.report;
    fit.disabled = lesson.fitting || !lesson.examples.length;
    setText(state, lesson.fitting ? "Learning …" : report ? `Learned in ${report.seconds.toFixed(1)} s.` : `It learns by itself, from the third example of a label on.`);
    const facts = [];
    if (report?.judged) facts.push(["Examples right, each judged by the others", `${report.right} of ${report.judged}`]);
    if (report?.false_interval) {
      const [low, high] = report.false_interval.map(Math.round);
      const rate = report.false_events ? `${report.false_events}: ${Math.round(report.false_per_hour)} an hour (${low} to ${high})` : `none: at most ${high} an hour`;
      facts.push([`False alarms in ${Math.round(report.nothing_seconds)} s of nothing`, rate]);
    }
    const sentences = report?.advice ?? [];
    const shown = JSON.stringify([facts, sentences]);
    if (figures.dataset.shown === shown) return;
    figures.dataset.shown = shown;
    figures.replaceChildren(...facts.flatMap(([key, value]) => [h("dt", { text: key }), h("dd", { text: value })]));
    advice.replaceChildren(...sentences.map((text) => h("li", { text })));
  }

  // -- keys: 1 to 9 are the labels, held or not
  const held = new Map();
  const isTyping = (event) => event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog");
  function down(event) {
    if (isTyping(event)) return;
    const one = /^[1-9]$/.test(event.key) ? lesson.labels[Number(event.key) - 1] : null;
    if (one) {
      if (!held.has(event.key)) held.set(event.key, performance.now());
      setText(asks, `${one.label} … let go when it is over`);
    } else if (event.key === "0") { if (!event.repeat) send(lesson.cue ? "DELETE" : "POST", "countdown", { label: NOTHING }); }
    else if (event.key === "n") field.focus();
    else if (event.key === "u") send("POST", "undo");
    else if (event.key === "Escape" && lesson.cue) send("DELETE", "countdown");
    else return;
    event.preventDefault();
    event.stopImmediatePropagation(); // on this view they do not change the camera
  }
  function up(event) {
    const since = held.get(event.key), one = lesson.labels[Number(event.key) - 1];
    if (since === undefined || !one) return;
    held.delete(event.key);
    const ms = performance.now() - since;
    send("POST", "example", { label: one.label, seconds: ms < TAP ? lesson.seconds : Math.round(ms / 100) / 10 });
  }
  addEventListener("keydown", down, true);
  addEventListener("keyup", up, true);

  function want() { page.live.want(new Map([[name, Math.max(1, Math.round(view.element.clientWidth * Math.min(2, devicePixelRatio || 1)))]])); }
  function update() {
    for (const camera of page.live.cameras) addToTrail(camera);
    const camera = page.live.cameras.find((one) => one.name === name);
    if (!camera) return;
    view.element.parentElement.parentElement.parentElement.dataset.state = camera.state;
    view.element.style.setProperty("--aspect", usualAspect([camera]));
    fillView(view, camera);
    predictions.fill(camera);
    drawTrail(trail, name);
  }
  addEventListener("resize", want);
  want();
  update();
  take(lesson);
  const ticking = setInterval(() => lesson.cue && fillCue(), 100);
  return {
    update,
    tick() { poll(); update(); },
    leave() {
      left = true;
      clearInterval(ticking);
      removeEventListener("keydown", down, true);
      removeEventListener("keyup", up, true);
      removeEventListener("resize", want);
      page.live.want(new Map());
    },
  };
}
