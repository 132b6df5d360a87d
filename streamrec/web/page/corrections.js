// Corrections of events: right, wrong, something else, missed; what follows from it; and how to take it back.

import { ask, closeButton, dayOf, duration, h, isQuiet, named, openDialog, percent, setText, timeOf } from "./dom.js";

export const VERDICTS = { right: "Right", wrong: "Wrong", other: "Something else" };
const SHORT = { right: "right", wrong: "wrong", missed: "missed" };
let forms = 0;

/** A correction in a few words. */
export const verdictOf = (correction) => (correction.verdict === "other" ? `it was ${correction.truth}` : SHORT[correction.verdict]);

const shownThreshold = (value) => (value > 0.985 ? `${(100 * value).toFixed(2)} %` : percent(value));

/** A label's threshold on a camera, from an answer of the API, as a sentence. */
function thresholdIn(answer, camera, label) {
  const moved = answer.thresholds.find((one) => one.camera === camera && one.label === label);
  return moved ? `The start threshold of ${label} on ${camera} is ${shownThreshold(moved.now)} now; it was ${shownThreshold(moved.own)}.` : "The threshold is the model's own.";
}

/** The actions that a camera's models know, without those given. */
function labelsOf(page, camera, but = []) {
  const now = page.live.cameras.find((one) => one.name === camera);
  const labels = (now?.models ?? (now ? [now] : [])).flatMap((one) => one.labels);
  return [...new Set(labels)].filter((label) => !isQuiet(label) && !but.includes(label));
}

/** A choice among labels, or a word of one's own. */
function labelChoice(labels, text) {
  const id = `label-${++forms}`;
  const select = h("select", { id }, [...labels.map((label) => h("option", { value: label, text: label })), h("option", { value: "", text: "something else …" })]);
  const own = h("input", { id: `${id}-own`, type: "text", maxlength: 100, autocomplete: "off" });
  const ownField = h("div", { class: "field" }, h("label", { for: own.id, text: "In a few words" }), own);
  const follow = () => { ownField.hidden = select.value !== ""; };
  select.addEventListener("change", () => { follow(); if (!ownField.hidden) own.focus(); });
  follow();
  return {
    fields: [h("div", { class: "field" }, h("label", { for: id, text }), select), ownField],
    value: () => select.value || own.value.trim(),
  };
}

/** The buttons under an event, with which a person corrects it. show(event) is called with each event that is shown. */
export function verdictRow(page) {
  const notice = h("p", { class: "soft message", role: "status" });
  const form = h("form", { class: "row say", hidden: true });
  const buttons = Object.fromEntries([["right", "Right"], ["wrong", "Wrong, nothing happened"], ["other", "Wrong, it was …"]].map(([verdict, text]) => [verdict,
    h("button", { type: "button", class: "button", "aria-pressed": "false", text, dataset: { verdict }, onclick: () => (verdict === "other" ? askOther() : say({ verdict })) })]));
  const back = h("button", { type: "button", class: "button", text: "Take back", hidden: true, onclick: undo });
  const element = h("section", { class: "verdict", "aria-label": "Was it right?" }, h("div", { class: "row" }, Object.values(buttons), back), form, notice);
  let event = null, busy = false;

  function askOther() {
    const choice = labelChoice(labelsOf(page, event.camera, [event.label]), "What was it?");
    form.replaceChildren(...choice.fields, h("button", { type: "submit", class: "primary", text: "Save" }));
    form.onsubmit = (submit) => { submit.preventDefault(); say({ verdict: "other", truth: choice.value() }); };
    form.hidden = false;
    form.querySelector("select").focus();
  }

  async function work(request, about) {
    if (busy) return;
    busy = true; // and not disabled: the focus would be lost
    try {
      const answer = await request();
      if (event?.id !== about.id) return;
      form.hidden = true;
      setText(notice, thresholdIn(answer, about.camera, about.label));
      event = { ...event, correction: answer.corrections.find((one) => one.event === about.id) ?? null };
      mark();
    } catch (error) {
      setText(notice, error.message);
    } finally {
      busy = false;
    }
  }
  const say = (what) => { const about = event; return work(() => ask("/api/v1/corrections", { method: "POST", body: { event: about.id, ...what } }), about); };
  function undo() { const about = event; return work(() => ask(`/api/v1/corrections/${about.correction.id}`, { method: "DELETE", body: {} }), about); }

  function mark() {
    for (const [verdict, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(event.correction?.verdict === verdict));
    setText(buttons.other, event.correction?.verdict === "other" ? `Wrong, it was ${event.correction.truth}` : "Wrong, it was …");
    back.hidden = !event.correction;
  }

  return {
    element,
    show(one) {
      if (one.id !== event?.id) { setText(notice, ""); form.hidden = true; }
      event = one;
      mark();
    },
  };
}

function dialogOf(title, ...children) {
  const id = `dialog-${++forms}`;
  const close = closeButton(() => dialog.close());
  const dialog = h("dialog", { "aria-labelledby": id }, h("div", { class: "sheet" }, h("header", {}, h("h2", { id, text: title }), close), children));
  dialog.addEventListener("click", (click) => { if (click.target === dialog) dialog.close(); });
  openDialog(dialog);
  return dialog;
}

const local = (time) => new Date(time - 60_000 * new Date(time).getTimezoneOffset()).toISOString().slice(0, 19);

/** Asks what was missed on a camera at a time (ms since 1970), and adds it. */
export function askMissed(page, camera, time, done) {
  const cameras = page.live.cameras.map((one) => one.name);
  const select = h("select", { id: "missed-camera" }, cameras.map((name) => h("option", { value: name, text: name })));
  select.value = cameras.includes(camera) ? camera : cameras[0] ?? "";
  const when = h("input", { id: "missed-time", type: "datetime-local", step: 1, required: true, value: local(time) });
  const long = h("input", { id: "missed-seconds", type: "number", min: 0.5, max: 60, step: 0.5, required: true, value: "3" });
  const what = h("div", { class: "form" }), notice = h("p", { class: "wrong", role: "alert" });
  let choice;
  const follow = () => { choice = labelChoice(labelsOf(page, select.value), "What was missed?"); what.replaceChildren(...choice.fields); };
  select.addEventListener("change", follow);
  follow();
  const field = (input, text) => h("div", { class: "field" }, h("label", { for: input.id, text }), input);
  const form = h("form", { class: "sheet-form" },
    h("div", { class: "form" }, field(select, "Camera"), field(long, "Seconds"), h("div", { class: "wide" }, field(when, "Began"))), what,
    h("p", { class: "soft", text: "It can be learned from where it is less than some minutes ago: so long the camera's features are remembered." }), notice,
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary", text: "It was missed" })));
  const dialog = dialogOf("You missed one here", form);
  dialog.classList.add("small");
  form.addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const started = new Date(when.value).getTime();
    try {
      const body = { camera: select.value, label: choice.value(), started: new Date(started).toISOString(), ended: new Date(started + 1000 * Number(long.value)).toISOString() };
      const answer = await ask("/api/v1/corrections/missed", { method: "POST", body });
      dialog.close();
      page.toast(thresholdIn(answer, body.camera, body.label));
      done(answer);
    } catch (error) { setText(notice, error.message); }
  });
}

function lessonTable(lesson) {
  const rows = [["Events that were wrong", lesson.false, "fewer"], ["Events that were right or missed", lesson.true, "more"], ["True events that the model brings along", lesson.known, "more"]];
  return h("table", { class: "lesson" }, h("thead", {}, h("tr", {}, ["Reported of the kept examples", "before", "after", "of"].map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, rows.filter(([, counts]) => counts.of).map(([text, counts, better]) => {
      const change = Math.sign(counts.after - counts.before) * (better === "more" ? 1 : -1);
      return h("tr", {}, h("th", { scope: "row", text }), h("td", { text: String(counts.before) }), h("td", { class: change > 0 ? "better" : change < 0 ? "worse" : "", text: String(counts.after) }), h("td", { text: String(counts.of) }));
    })));
}

/** The strip on the events page: how many there are, which thresholds they moved, and learning from it. */
export function correctionsPanel(page, changed) {
  const text = h("p", {}), actions = h("div", { class: "row" }), notice = h("p", { class: "soft", role: "status" });
  const element = h("section", { class: "panel corrections", "aria-label": "Corrections", hidden: true }, text, actions, notice);
  let state = null, busy = false, dialog = null;

  function take(answer) { state = answer; show(); changed(answer); }

  async function load() {
    try { state = await ask("/api/v1/corrections"); show(); } catch { /* the page shows that it is offline */ }
  }

  async function work(path, method, body, saying) {
    if (busy) return;
    busy = true;
    setText(notice, saying);
    show();
    try {
      const answer = await ask(path, { method, body });
      setText(notice, "");
      busy = false;
      take(answer);
    } catch (error) {
      busy = false;
      setText(notice, error.message);
      show();
    }
  }
  const learn = async (model) => { await work("/api/v1/corrections/learn", "POST", { model }, "Learning …"); if (state?.models.find((one) => one.model === model)?.learned && !notice.textContent) showAll(); };
  const unlearn = (model) => work("/api/v1/corrections/unlearn", "POST", { model }, "Taking it back …");
  const undo = (id) => work(`/api/v1/corrections/${id}`, "DELETE", {}, "");

  function show() {
    const count = state.corrections.length, moved = state.thresholds.length, learned = state.models.filter((one) => one.learned);
    element.hidden = count === 0 && learned.length === 0;
    const parts = [`${count} ${count === 1 ? "correction" : "corrections"}`, moved ? `${moved} ${moved === 1 ? "threshold" : "thresholds"} moved` : null, ...learned.map((one) => `${one.model} has learned from ${one.learned.corrections}`), state.kept ? null : "kept until streamrec ends"];
    setText(text, parts.filter(Boolean).join(" · "));
    actions.replaceChildren(
      ...state.models.filter((one) => one.new && one.learnable).map((one) => h("button", { type: "button", class: "primary", disabled: busy || one.learnable < one.needed, onclick: () => learn(one.model),
        text: one.learnable < one.needed ? `Learn from ${one.needed} corrections (${one.learnable} so far)` : `Learn from ${one.learnable} corrections${state.models.length > 1 ? ` of ${one.model}` : ""}` })),
      h("button", { type: "button", class: "button", text: "All corrections", onclick: showAll }));
    if (dialog) fill();
  }

  const body = h("div", { class: "stack" });
  function fill() {
    body.replaceChildren(
      ...state.models.filter((one) => one.learned).map((one) => h("section", { "aria-label": `What ${one.model} has learned` },
        h("h3", { text: `${one.model} has learned from ${one.learned.corrections} corrections` }), lessonTable(one.learned),
        h("div", { class: "row" }, h("button", { type: "button", class: "button", disabled: busy, text: one.former ? "Take back: the former lesson" : "Take back: as the model came", onclick: () => unlearn(one.model) })))),
      ...(state.thresholds.length ? [h("section", { "aria-label": "Thresholds" }, h("h3", { text: "Thresholds that moved" }),
        h("ul", { class: "facts-list" }, state.thresholds.map((one) => h("li", { text: `${one.camera}, ${named(one.model, one.label)}: ${shownThreshold(one.own)} → ${shownThreshold(one.now)}` }))))] : []),
      h("section", { "aria-label": "Corrections" }, h("h3", { text: state.corrections.length ? "All corrections" : "No corrections yet" }),
        h("ul", { class: "correction-list" }, state.corrections.map((one) => h("li", {},
          h("span", {}, h("strong", { text: one.label }), ` · ${one.camera} · ${dayOf(one.started)}, ${timeOf(one.started)}`, h("span", { class: "soft", text: ` · ${duration((Date.parse(one.ended) - Date.parse(one.started)) / 1000)}` })),
          h("span", { class: "verdict-mark", dataset: { verdict: one.verdict }, text: verdictOf(one) }),
          one.learnable ? null : h("span", { class: "soft", text: "moves the threshold only" }),
          h("button", { type: "button", class: "button", disabled: busy, text: "Take back", "aria-label": `Take back: ${one.label}, ${timeOf(one.started)}`, onclick: () => undo(one.id) }))))));
  }

  function showAll() {
    if (dialog) return;
    fill();
    dialog = dialogOf("Corrections", body);
    dialog.addEventListener("close", () => { dialog = null; });
  }

  load();
  return { element, load, take };
}
