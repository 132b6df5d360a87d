// Rules over events: their list, and the form that composes one and tries it on the history before it is saved.

import { ask, closeButton, dayOf, duration, h, openDialog, secondsOf, setText, timeOf } from "./dom.js";
import { labelsOf, patternEditor, patternOf } from "./patterns.js";

const KINDS = {
  lasts: "lasts longer than", absent: "does not happen for", daily: "does not happen from … to …",
  follows: "is followed by something else", together: "together with something else", often: "happens several times",
};
const UNITS = { s: "seconds", min: "minutes", h: "hours", d: "days" };
const SPANS = [["1", "the last hour"], ["24", "the last 24 hours"], ["168", "the last 7 days"]];

const kindOf = (rule) => (rule.lasts ? "lasts" : rule.absent ? "absent" : rule.since ? "daily" : rule.then ? "follows" : rule.also ? "together" : "often");
const times = (count) => (count === 1 ? "once" : count === 2 ? "twice" : `${count} times`);

let forms = 0;

/** A length of time: a number and its unit. */
function lengthInput(given, label) {
  const [, amount = "30", unit = "s"] = /^([\d.]+) ?(\w+)$/.exec(given ?? "") ?? [];
  const number = h("input", { type: "number", min: 0.1, step: "any", required: true, value: amount, "aria-label": label });
  const select = h("select", { "aria-label": `${label}, unit` }, Object.entries(UNITS).map(([value, text]) => h("option", { value, text, selected: value === unit })));
  return { element: h("div", { class: "length" }, number, select), value: () => `${number.value || 0} ${select.value}` };
}

/** What the rule would have reported: a sentence, a strip of time and the newest events. */
function trialPanel() {
  const span = h("select", { id: `trial-${++forms}` }, SPANS.map(([value, text]) => h("option", { value, text })));
  const verdict = h("p", { role: "status" }), note = h("p", { class: "hint" });
  const track = h("div", { class: "track", "aria-hidden": "true" }), list = h("ul", { class: "trial-list" });
  const element = h("section", { class: "trial", "aria-label": "Trial" }, h("div", { class: "row" }, h("label", { for: span.id, text: "Tried on" }), span), verdict, track, list, note);

  function fail(text) {
    setText(verdict, text);
    track.replaceChildren();
    list.replaceChildren();
    setText(note, "");
  }

  function fill(tried) {
    const since = Date.parse(tried.since), until = Date.parse(tried.until), part = (time) => Math.min(1, Math.max(0, (time - since) / (until - since)));
    setText(verdict, tried.count ? `It would have fired ${times(tried.count)}.` : "It would not have fired.");
    track.replaceChildren(...tried.events.map((event) => {
      const from = part(Date.parse(event.started)), to = part(event.ended ? Date.parse(event.ended) : until);
      return h("i", { style: { left: `min(${100 * from}%, calc(100% - 5px))`, width: `${100 * (to - from)}%` } });
    }));
    list.replaceChildren(...tried.events.slice(0, 6).map((event) => h("li", {},
      h("time", { datetime: event.started, text: `${dayOf(event.started)}, ${timeOf(event.started)}` }), h("span", {}, h("bdi", { text: event.camera }), event.zone ? ` · ${event.zone}` : null),
      h("span", { class: "soft", text: event.ended === event.started ? "" : event.ended ? duration(secondsOf(event)) : "goes on" }))));
    const seconds = Math.min(...Object.values(tried.watched));
    const whole = (until - since) / 1000;
    setText(note, Number.isFinite(seconds) && seconds < 0.95 * whole ? `Cameras were watched for ${duration(seconds)} of this time. Only that counts for what lasts or does not happen.` : tried.count > 6 ? `The newest 6 of ${tried.count}.` : "");
  }

  return { element, span, fill, fail };
}

/** The section of rules under the cameras; `file` has the settings, and takes their new state. */
export function rulesPanel(page, file) {
  const list = h("div", { class: "rows" }), none = h("p", { class: "soft", text: "None yet. A rule makes an event of other events: one that lasts too long, one that does not happen, one after another, two together, too many of them." });
  const add = h("button", { type: "button", class: "button", text: "Add a rule", disabled: true, onclick: () => edit(null) });
  const element = h("section", { class: "rules", "aria-labelledby": "rules-title" }, h("div", { class: "head" }, h("h2", { id: "rules-title", text: "Rules" }), h("div", { class: "right" }, add)), none, list);

  async function send(method, body) {
    file.take(await ask("/api/v1/settings/rule", { method, body: { revision: file.settings().revision, ...body } }));
  }
  const attempt = (work) => work().catch(file.failed);
  const changeOf = ({ text, ...rule }) => ({ ...rule, when: patternOf(rule.when), ...(rule.then ? { then: patternOf(rule.then) } : {}), ...(rule.also ? { also: patternOf(rule.also) } : {}) });

  function show() {
    const rules = file.settings().rules ?? [];
    add.disabled = false;
    none.hidden = rules.length > 0;
    list.replaceChildren(...rules.map((rule) => h("section", { class: "panel camera-row", "aria-label": rule.name },
      h("span", { class: "dot", dataset: { state: rule.enabled ? "live" : "ended" } }),
      h("div", {}, h("h3", { class: "name" }, h("bdi", { text: rule.name })), h("p", { class: "address", text: `${rule.text[0].toUpperCase()}${rule.text.slice(1)}${rule.enabled ? "" : " · disabled"}` })),
      h("div", { class: "row" },
        h("button", { type: "button", class: "button", text: rule.enabled ? "Disable" : "Enable", onclick: () => attempt(() => send("PUT", { rule: rule.name, change: { ...changeOf(rule), enabled: !rule.enabled } })) }),
        h("button", { type: "button", class: "button", text: "Edit", "aria-label": `Edit ${rule.name}`, onclick: () => edit(rule) }),
        h("button", { type: "button", class: "button danger", text: "Remove", "aria-label": `Remove ${rule.name}`, onclick: () => attempt(async () => { await send("DELETE", { rule: rule.name }); page.toast(`${rule.name} was removed`); add.focus(); }) })))));
  }

  function edit(rule) {
    const settings = file.settings(), id = `rule-${++forms}`, known = labelsOf(page, settings);
    const name = h("input", { id: `${id}-name`, type: "text", maxlength: 60, required: true, autocomplete: "off", value: rule?.name ?? "" });
    const kind = h("select", { id: `${id}-kind` }, Object.entries(KINDS).map(([value, text]) => h("option", { value, text })));
    kind.value = rule ? kindOf(rule) : "lasts";
    const when = patternEditor(settings, rule?.when, "When this", known), then = patternEditor(settings, rule?.then, "Then this", known), also = patternEditor(settings, rule?.also, "And this", known);
    const lengths = { lasts: lengthInput(rule?.lasts ?? "30 s", "How long"), absent: lengthInput(rule?.absent ?? "2 h", "How long"), follows: lengthInput(rule?.within ?? "1 min", "Within"), together: lengthInput(rule?.within ?? "10 s", "Within"), often: lengthInput(rule?.within ?? "1 h", "Within") };
    const clock = (value, label) => h("input", { type: "time", value, "aria-label": label, required: true });
    const since = clock(rule?.since ?? "08:00", "From"), by = clock(rule?.by ?? "10:00", "To");
    const count = h("input", { type: "number", min: 2, max: 1000, step: 1, required: true, value: rule?.count ?? 3, "aria-label": "How many times" });
    const numbers = h("div", { class: "row numbers" }), more = h("div", {});
    const trial = trialPanel(), wrong = h("p", { class: "wrong", role: "alert" });
    const save = h("button", { type: "submit", class: "primary", text: rule ? "Save" : "Add" });
    const parts = {
      lasts: () => [lengths.lasts.element], absent: () => [lengths.absent.element],
      daily: () => [since, h("span", { text: "to" }), by, h("span", { class: "hint", text: rule?.timezone ? rule.timezone : "each day, by the clock of this machine" })],
      follows: () => [h("span", { text: "within" }), lengths.follows.element], together: () => [h("span", { text: "within" }), lengths.together.element], often: () => [count, h("span", { text: "times within" }), lengths.often.element],
    };
    let timer = null, closed = false;

    function change() {
      const own = { lasts: () => ({ lasts: lengths.lasts.value() }), absent: () => ({ absent: lengths.absent.value() }), daily: () => ({ since: since.value, by: by.value, timezone: rule?.timezone ?? "" }),
        follows: () => ({ then: then.value(), within: lengths.follows.value() }), together: () => ({ also: also.value(), within: lengths.together.value() }), often: () => ({ count: Number(count.value), within: lengths.often.value() }) }[kind.value]();
      return { name: name.value.trim(), when: when.value(), enabled: rule?.enabled ?? true, ...own };
    }

    function arrange() {
      numbers.replaceChildren(...parts[kind.value]());
      more.replaceChildren(...(kind.value === "follows" ? [then.element] : kind.value === "together" ? [also.element] : []));
    }

    function soon() { clearTimeout(timer); timer = setTimeout(tryIt, 300); }
    async function tryIt() {
      if (closed) return;
      const given = change();
      try {
        const tried = await ask("/api/v1/settings/rule/try", { method: "POST", body: { change: { ...given, name: given.name || "a rule" }, hours: Number(trial.span.value) } });
        if (!closed) trial.fill(tried);
      } catch (error) {
        if (error.status === 429) soon();
        else trial.fail(error.message);
      }
    }

    async function submit(event) {
      event.preventDefault();
      wrong.textContent = "";
      save.disabled = true;
      try {
        await send("PUT", { rule: rule?.name ?? null, change: change() });
        page.toast(rule ? `${name.value} was changed` : `${name.value} was added`);
        dialog.close();
      } catch (error) {
        wrong.textContent = error.message;
        if (error.code === "changed_meanwhile") file.failed(error);
      }
      save.disabled = false;
    }

    const field = (input, text) => h("div", { class: "field" }, h("label", { for: input.id, text }), input);
    const form = h("form", { class: "sheet", method: "dialog", novalidate: true, onsubmit: submit },
      h("header", {}, h("h2", { id: `${id}-title`, text: rule ? rule.name : "New rule" }),
        closeButton(() => dialog.close())),
      h("div", { class: "form" }, field(name, "Name")), when.element,
      h("div", { class: "row kind" }, field(kind, "What of it"), numbers), more, trial.element, wrong,
      h("div", { class: "row" }, h("button", { type: "button", class: "button", text: "Cancel", onclick: () => dialog.close() }), save));
    const dialog = h("dialog", { class: "rule", "aria-labelledby": `${id}-title` }, form);
    kind.addEventListener("change", arrange);
    form.addEventListener("input", (event) => { if (event.target !== name) soon(); });
    form.addEventListener("change", soon);
    dialog.addEventListener("close", () => { closed = true; clearTimeout(timer); });
    arrange();
    openDialog(dialog, () => add);
    name.focus();
    tryIt();
  }

  return { element, show };
}
