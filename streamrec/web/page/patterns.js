// Which events are meant, by rules and profiles: a form of actions, cameras, models and zones.

import { h, isQuiet, setText } from "./dom.js";

const REPORTS = { people: "occupied", motion: "moving" };
const listOf = (value) => (value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]);
export const patternOf = (given) => (typeof given === "string" || Array.isArray(given) ? { label: listOf(given) } : Object.fromEntries(Object.entries(given ?? {}).map(([key, value]) => [key, listOf(value)])));

let forms = 0;

/** The actions that the cameras may report. */
export function labelsOf(page, settings) {
  const known = page.live.cameras.flatMap((camera) => [...(camera.models ?? [camera]).flatMap((one) => one.labels), ...(camera.lines ?? []).flatMap((line) => [line.forward, line.back].filter(Boolean).map((word) => `${line.name} ${word}`))]);
  known.push(...settings.cameras.flatMap((camera) => camera.zones ?? []).flatMap((zone) => (zone.report ?? []).map((what) => `${zone.name} ${REPORTS[what]}`)));
  return [...new Set([...known.filter((label) => !isQuiet(label)), ...page.recent.events.filter((event) => !event.rule).map((event) => event.label)])].sort();
}

const modelsOf = (camera) => [...camera.watched_by.split(" + "), camera.listens].filter(Boolean);
const zonesOf = (camera) => (camera.zones ?? []).filter((zone) => !zone.exclude).map((zone) => zone.name);

/** A form of which events are meant: actions, and where. */
export function patternEditor(settings, given, title, labels) {
  const id = `pattern-${++forms}`, pattern = patternOf(given);
  const words = h("datalist", { id: `${id}-labels` }, labels.map((label) => h("option", { value: label })));
  const action = h("input", { id: `${id}-action`, type: "text", list: words.id, maxlength: 300, autocomplete: "off", placeholder: "any action", value: (pattern.label ?? []).join(", ") });
  const check = (value, chosen) => h("label", {}, h("input", { type: "checkbox", value, checked: chosen }), ` ${value}`);
  const cameras = h("div", { class: "checks", role: "group", "aria-label": `${title}: cameras` }, settings.cameras.map((camera) => check(camera.name, (pattern.camera ?? []).includes(camera.name))));
  const unknown = h("span", { class: "hint", role: "status" });
  const wordsOf = () => action.value.split(",").map((word) => word.trim()).filter(Boolean);
  action.addEventListener("input", () => {
    const odd = labels.length ? wordsOf().filter((word) => !labels.includes(word)) : [];
    setText(unknown, odd.length ? `No camera reports this now: ${odd.join(", ")}` : "");
  });
  const ticked = (group) => [...group.querySelectorAll("input:checked")].map((box) => box.value);

  /** Names of the chosen cameras to choose from, where there are at least so many. */
  function choice(what, heading, hint, namesOf, least, chosenAtFirst) {
    const group = h("div", { class: "checks", role: "group", "aria-label": `${title}: ${what}` });
    const element = h("div", { class: "field wide" }, h("span", { text: heading }), group, h("span", { class: "hint", text: hint }));
    let wanted = chosenAtFirst ?? [];
    function fill() {
      if (group.childElementCount) wanted = ticked(group);
      const chosen = ticked(cameras);
      const names = [...new Set(settings.cameras.filter((camera) => !chosen.length || chosen.includes(camera.name)).flatMap(namesOf))];
      group.replaceChildren(...names.map((name) => check(name, wanted.includes(name))));
      element.hidden = names.length < least;
    }
    cameras.addEventListener("change", fill);
    fill();
    return { element, value: () => (element.hidden ? [] : ticked(group)) };
  }
  // A model that no camera has any more stays as it is, until another one is chosen.
  const models = choice("models", "Found by", "None: any model.", (camera) => [...modelsOf(camera), ...(pattern.model ?? [])], pattern.model ? 1 : 2, pattern.model);
  const zones = choice("zones", "In zones", "None: anywhere.", zonesOf, 1, pattern.zone);
  return {
    element: h("fieldset", { class: "pattern" }, h("legend", { text: title }), h("div", { class: "form" },
      h("div", { class: "field wide" }, h("label", { for: action.id, text: "Action" }), action, words, h("span", { class: "hint", text: "Several with commas between them. Empty: any." }), unknown),
      h("div", { class: "field wide" }, h("span", { text: "On cameras" }), cameras, h("span", { class: "hint", text: "None: any." })), models.element, zones.element)),
    value: () => ({ label: wordsOf(), camera: ticked(cameras), model: models.value(), zone: zones.value() }),
  };
}
