// Helpers: elements without HTML strings, formatting of times and numbers, label colours, requests.

export const $ = (selector, root = document) => root.querySelector(selector);

/** Makes an element. Keys: class, text, on*, dataset, style (an object), attributes; null and false are left out. */
export function h(tag, keys = {}, ...children) {
  const svg = ["svg", "path", "circle", "line", "g", "rect", "polygon", "polyline", "text"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(keys ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key === "class") made.setAttribute("class", value);
    else if (key === "dataset") Object.assign(made.dataset, value);
    else if (key === "style") for (const [name, one] of Object.entries(value)) made.style.setProperty(name, one);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value") made.value = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child);
  return made;
}

/** Sets a text only where it differs: fewer repaints, and screen readers repeat nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A label with the name of its model, where that is one of several, and distinguishes them. */
export const named = (model, label) => (model && model !== label ? `${model}: ${label}` : label);

const QUIET = new Set(["", "background", "idle", "neutral", "no action", "no_action", "none", "normal", "nothing", "other", "unknown"]);
export const isQuiet = (label) => QUIET.has((label ?? "").toLowerCase());

const places = new Map(); // label -> its index among the labels of a model

/** Notes the order of a model's labels: the overlay of clips colours them in the same order. */
export function learnLabels(labels) {
  labels.forEach((label, place) => places.has(label) || places.set(label, place % 14));
}

/** A label's colour, the same everywhere: one of seven that are distinct for colour-blind people, or a darker shade. */
export function colourOf(label) {
  if (isQuiet(label)) return "var(--quiet)";
  if (places.has(label)) return `var(--label-${places.get(label)})`;
  let sum = 7;
  for (const letter of label) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `var(--label-${sum % 7})`;
}

/** A person's colour: that of their skeleton in the picture. */
export const colourOfPerson = (number) => `var(--label-${(number - 1) % 14})`;

/** Who it was, with a dot in the colour of their skeleton; null for an event of the whole picture. */
export const personMark = (number) => (number ? h("span", { class: "who", style: { "--who": colourOfPerson(number) }, text: `person ${number}` }) : null);

/** A cross, for buttons that close or remove. */
export const cross = () => h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: "M6 6l12 12M18 6L6 18" }));
export const closeButton = (onclick) => h("button", { type: "button", class: "icon", "aria-label": "Close", onclick }, cross());

/** Shows a dialog; when it closes, the focus goes back to where it was, or, where that was redrawn, to what `fallback` finds. */
export function openDialog(dialog, fallback = () => null) {
  const opener = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    // This comes after the dialog has gone: by then the focus may be where somebody has moved it.
    if (document.activeElement === document.body) (opener?.isConnected ? opener : fallback())?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Disables a button until the work is done. A browser takes the focus from what is disabled: it goes back there, unless the work moved it. */
export async function disabledWhile(button, work) {
  const focused = document.activeElement === button;
  button.disabled = true;
  try {
    return await work();
  } finally {
    button.disabled = false;
    if (focused && document.activeElement === document.body) button.focus();
  }
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
export const timeOf = (iso) => TIME.format(new Date(iso));

export function dayOf(iso) {
  const date = new Date(iso), today = new Date();
  const days = Math.round((new Date(today).setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  return days === 0 ? "Today" : days === 1 ? "Yesterday" : DAY.format(date);
}

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60), rest = Math.floor(seconds % 60);
  return minutes < 60 ? `${minutes}:${String(rest).padStart(2, "0")} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const percent = (part) => (part === null || part === undefined ? "" : `${Math.round(100 * part)} %`);
/** "1 camera", "2 cameras". */
export const counted = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
export const secondsSince = (iso) => Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
export const secondsOf = (event) => ((event.ended ? Date.parse(event.ended) : Date.now()) - Date.parse(event.started)) / 1000;

let csrf = null;
export const keepToken = (token) => { csrf = token; };

let leaving = false;
/** Goes to the login page, once: each part of the page that notices the end of the session calls this; a second navigation would abort the first. */
export function toLogin() {
  if (leaving) return;
  leaving = true;
  location.replace(`/login${location.hash}`); // the link of a notification opens its event after the log-in
}

export class Failed extends Error {
  constructor(code, message, status) { super(message); this.code = code; this.status = status; }
}

/** Sends a request to the API; throws Failed with a message for people. */
export async function ask(path, { method = "GET", body = undefined } = {}) {
  const headers = {};
  if (method !== "GET") Object.assign(headers, { "Content-Type": "application/json", "X-CSRF-Token": csrf ?? "" });
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Failed("offline", "streamrec does not answer", 0);
  }
  if (answer.status === 401) { toLogin(); throw new Failed("not_logged_in", "log in first", 401); }
  if (answer.status === 204) return null;
  const data = await answer.json().catch(() => null);
  if (!answer.ok) throw new Failed(data?.error?.code ?? "broken", data?.error?.message ?? "that did not work", answer.status);
  return data;
}
