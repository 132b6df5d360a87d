// Arming: the profile in force, why and until when; profiles to choose; snoozing a camera or one label of it.

import { ask, closeButton, dayOf, h, openDialog, setText } from "./dom.js";

const SHIELD = "M12 3l7 3v5c0 4.6-2.9 8.2-7 10-4.1-1.8-7-5.4-7-10V6z", BELL = "M6 16h12l-1.5-2v-4a4.5 4.5 0 0 0-9 0v4zM10.5 19h3", BELL_OFF = `${BELL}M4.5 4.5l15 15`;
const MINUTES = [[10, "10 min"], [30, "30 min"], [60, "1 h"], [240, "4 h"], [1440, "1 day"]];
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });

const icon = (path) => h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: path }));

/** A moment that is ahead, as a time of day, with the day where that is not today. */
function clock(iso) {
  const day = dayOf(iso);
  return day === "Today" ? CLOCK.format(new Date(iso)) : `${new Date(iso).toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short" })}, ${CLOCK.format(new Date(iso))}`;
}

/** Why the profile is in force, and until when, as a sentence. */
export function sentenceOf(arming) {
  const next = arming.scheduled ? `, until ${clock(arming.scheduled.at)}: then ${arming.scheduled.profile}` : "";
  if (arming.cause === "hand") return `Chosen by hand (${arming.chosen_by}), ${arming.until ? `until ${clock(arming.until)}` : "until another is chosen"}.`;
  return arming.cause === "schedule" ? `By schedule${next}.` : `The usual profile${next}.`;
}

const cameraIn = (arming, name) => arming?.cameras.find((one) => one.name === name);
const snoozesOf = (arming, name) => arming.snoozes.filter((one) => one.camera === name);
const ARMED = { all: "armed", some: "partly armed", none: "not armed" };

/** What of a camera is armed, and why not, as a clause. */
function stateOf(arming, camera) {
  if (camera.snoozed) return `snoozed${camera.snoozed_until ? ` until ${clock(camera.snoozed_until)}` : ""}`;
  const snoozed = snoozesOf(arming, camera.name).map((one) => `${one.label} snoozed${one.until ? ` until ${clock(one.until)}` : ""}`);
  const armed = camera.labels.filter((one) => one.armed).map((one) => one.label);
  return [camera.armed === "some" && armed.length <= 4 ? `armed: ${armed.join(", ")}` : ARMED[camera.armed], ...snoozed].join(" · ");
}

/** Whether this user may choose what is armed. */
export const mayChoose = (page) => page.session.arming && page.session.role === "admin";

/** Sends a choice; an error is shown where `wrong` is. */
async function choose(page, path, body, wrong) {
  wrong.hidden = true;
  try {
    const { arming } = await ask(path, { method: "PUT", body });
    page.live.receive({ type: "arming", arming });
    return arming;
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
    return null;
  }
}

/** The button in the head of the page, which says what is in force. */
export function armingControl(page) {
  const text = h("span"), button = h("button", { type: "button", class: "armed-now", hidden: true, onclick: () => showArming(page) }, icon(SHIELD), text);
  let before = "";
  const update = () => {
    const arming = page.live.arming;
    button.hidden = !arming;
    if (!arming) return;
    setText(text, arming.profile);
    button.dataset.armed = arming.cameras.some((one) => one.armed !== "none") ? (arming.cameras.every((one) => one.armed === "all") ? "all" : "some") : "none";
    button.title = sentenceOf(arming);
    button.setAttribute("aria-label", `Arming: ${arming.profile}. ${sentenceOf(arming)}`);
    if (before && before !== arming.profile) page.announce(`${arming.profile} is in force. ${sentenceOf(arming)}`);
    before = arming.profile;
  };
  page.live.addEventListener("arming", update);
  update();
  return button;
}

/** The dialog with the profiles, and what of each camera is armed. */
export function showArming(page) {
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true }), sentence = h("p", { class: "soft", role: "status" });
  const profiles = h("div", { class: "row profiles", role: "group", "aria-label": "Profile" }), list = h("ul", { class: "armed-cameras" });
  const span = h("select", { id: "arm-for" });
  const may = mayChoose(page);
  const follow = h("button", { type: "button", class: "button", text: "Follow the schedule", onclick: () => choose(page, "/api/v1/arming", { profile: null }, wrong) });
  const dialog = h("dialog", { class: "small", "aria-labelledby": "arming-title" }, h("div", { class: "sheet" },
    h("header", {}, h("h2", { id: "arming-title", text: "Arming" }), closeButton(() => dialog.close())),
    sentence, wrong,
    ...(may ? [h("div", { class: "field" }, h("label", { for: "arm-for", text: "A profile that is chosen lasts" }), span), profiles, h("div", { class: "row" }, follow, page.session.editable ? h("a", { href: "#/manage", class: "button", text: "Edit profiles", onclick: () => dialog.close() }) : null)] : []),
    h("p", { class: "soft", text: "What is not armed is in the history all the same, without a notification." }), list));
  let drawn = "";

  function pick(name) {
    const minutes = span.value === "" ? null : span.value === "schedule" ? "schedule" : Number(span.value);
    choose(page, "/api/v1/arming", { profile: name, minutes }, wrong);
  }

  function update() {
    const arming = page.live.arming;
    if (!arming) return;
    setText(sentence, `In force: ${arming.profile}. ${sentenceOf(arming)}`);
    const now = JSON.stringify(arming), focused = document.activeElement?.dataset?.key;
    if (now === drawn) return;
    drawn = now;
    const chosen = span.value;
    span.replaceChildren(h("option", { value: "", text: "until another is chosen" }), ...(arming.scheduled ? [h("option", { value: "schedule", text: `until the schedule changes (${clock(arming.scheduled.at)})` })] : []), ...MINUTES.map(([value, text]) => h("option", { value, text: `for ${text}` })));
    span.value = [...span.options].some((one) => one.value === chosen) ? chosen : "";
    profiles.replaceChildren(...arming.profiles.map((one) => h("button", {
      type: "button", class: "button profile", dataset: { key: `profile ${one.name}` }, "aria-pressed": one.name === arming.profile ? "true" : "false",
      title: !one.armed ? null : one.armed.length ? `Armed: ${one.armed.map((what) => (what === "action" ? "everything" : what)).join("; ")}` : "Nothing is armed", onclick: () => pick(one.name),
    }, h("bdi", { text: one.name }))));
    follow.hidden = arming.cause !== "hand";
    list.replaceChildren(...arming.cameras.map((camera) => h("li", { dataset: { armed: camera.armed } },
      h("span", {}, h("bdi", { text: camera.name })), h("span", { class: "soft", text: stateOf(arming, camera) }),
      !may ? null : h("button", { type: "button", class: "button", dataset: { key: `snooze ${camera.name}` }, "aria-label": `Snooze ${camera.name}`, text: snoozesOf(arming, camera.name).length ? "Change" : "Snooze", onclick: () => showSnooze(page, camera.name) }))));
    if (focused) [...dialog.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus();
  }

  page.live.addEventListener("arming", update);
  dialog.addEventListener("click", (click) => { if (click.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => page.live.removeEventListener("arming", update));
  update();
  openDialog(dialog, () => document.querySelector(".armed-now"));
}

/** The dialog in which a camera, or one label of it, is snoozed. */
export function showSnooze(page, name, label = "") {
  const camera = cameraIn(page.live.arming, name);
  if (!camera) return;
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const what = h("select", { id: "snooze-what" }, h("option", { value: "", text: "everything" }), camera.labels.map((one) => h("option", { value: one.label, text: one.label })));
  what.value = camera.labels.some((one) => one.label === label) ? label : "";
  const put = async (minutes, only = what.value) => {
    if (await choose(page, "/api/v1/arming/snooze", { camera: name, label: only || null, minutes }, wrong)) {
      page.toast(minutes !== 0 ? `${only || "Everything"} of ${name} is snoozed` : `${only || "Everything"} of ${name} is no longer snoozed`);
      dialog.close();
    }
  };
  const running = snoozesOf(page.live.arming, name).map((one) => h("div", { class: "row" },
    h("span", { class: "soft", text: `${one.label ?? "everything"} ${one.until ? `until ${clock(one.until)}` : "until it is ended"}` }),
    h("button", { type: "button", class: "button right", text: "End", "aria-label": `End the snooze of ${one.label ?? "everything"}`, onclick: () => put(0, one.label ?? "") })));
  const dialog = h("dialog", { class: "small", "aria-labelledby": "snooze-title" }, h("div", { class: "sheet" },
    h("header", {}, h("h2", { id: "snooze-title" }, "Snooze ", h("bdi", { text: name })), closeButton(() => dialog.close())),
    h("p", { class: "soft", text: "No notifications meanwhile; what happens is in the history." }), wrong, running,
    h("div", { class: "field" }, h("label", { for: "snooze-what", text: "Of what" }), what),
    h("div", { class: "row", role: "group", "aria-label": "For how long" }, [...MINUTES, [null, "until I end it"]].map(([minutes, text]) => h("button", { type: "button", class: "button", text, onclick: () => put(minutes) })))));
  dialog.addEventListener("click", (click) => { if (click.target === dialog) dialog.close(); });
  openDialog(dialog, () => document.querySelector(`.card[data-camera="${CSS.escape(name)}"] .snooze`));
}

/** The button of a camera's card: whether it is armed, and a way to snooze it. */
export function snoozeButton(page, name) {
  const may = mayChoose(page);
  const button = h(may ? "button" : "span", { type: may ? "button" : null, role: may ? null : "img", class: "snooze", hidden: true, onclick: () => may && showSnooze(page, name) }, icon(BELL));
  return {
    element: button,
    update() {
      const arming = page.live.arming, camera = cameraIn(arming, name);
      button.hidden = !camera;
      if (!camera) return;
      const state = stateOf(arming, camera);
      button.dataset.armed = camera.armed;
      button.querySelector("path").setAttribute("d", camera.armed === "none" ? BELL_OFF : BELL);
      button.title = `${state[0].toUpperCase()}${state.slice(1)}${may ? ": snooze" : ""}`;
      button.setAttribute("aria-label", `${name}: ${state}.${may ? " Snooze" : ""}`);
    },
  };
}

/** Whether receivers were notified of an event, in words; null where they were. */
export function notNotified(event) {
  if (event.decision === "hold") return `not yet${event.reason ? `: ${event.reason}` : ""}`;
  return event.decision === "keep" ? `no${event.reason ? `: ${event.reason}` : ""}` : null;
}
