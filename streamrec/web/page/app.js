// The page: the current view, announcements for screen readers, keys, theme.

import { $, ask, closeButton, h, keepToken, learnLabels, openDialog, setText, toLogin } from "./dom.js";
import { Live } from "./live.js";
import { RecentEvents, seen, showEvent } from "./events.js";
import { views } from "./views.js";

const main = $("#main");
const session = await ask("/api/v1/session");
keepToken(session.csrf);
$("#logout").hidden = !session.password;
if (session.name) $("#logout").title = `Log out ${session.name}`;
const machines = session.fleet ? await import("./machines.js") : null;

const live = new Live();
const recent = new RecentEvents(live);
const page = { live, recent, session, go: (hash) => { location.hash = hash; }, announce, toast };
let view = null;
if (session.arming) $("#summary").before((await import("./arming.js")).armingControl(page));

// -- the current view

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; } // an invalid address was typed
}

const nav = $(".top nav");
for (const [name, { link, allowed }] of Object.entries(views)) {
  if (link && (allowed?.(session) ?? true)) nav.append(h("a", { href: name === "cameras" ? "#/" : `#/${name}`, "data-view": name, text: link }));
}

async function route() {
  const [, given = "", rest = ""] = location.hash.match(/^#\/(\w*)\/?(.*)$/) ?? [];
  const name = Object.hasOwn(views, given) && (views[given].allowed?.(session) ?? true) ? given : "cameras";
  view?.leave?.();
  live.painters.clear();
  main.replaceChildren();
  for (const link of nav.querySelectorAll("a")) {
    const mine = link.dataset.view === (views[name].under ?? name);
    if (mine) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const what = decoded(rest), title = views[name].title?.(what);
  view = await views[name].show(page, main, what);
  document.title = title ? `${title} · streamrec` : "streamrec";
}

// -- announcements

const spoken = $("#spoken"), toasts = $("#toasts");
function announce(text) {
  spoken.append(h("p", { text }));
  while (spoken.childElementCount > 5) spoken.firstChild.remove();
}
function toast(text) {
  const shown = h("div", { class: "toast", text });
  toasts.append(shown);
  setTimeout(() => shown.remove(), 5000);
  announce(text);
}

const states = new Map();
function update() {
  const counts = {};
  for (const camera of live.cameras) {
    for (const prediction of camera.models ?? [camera]) learnLabels(prediction.labels);
    counts[camera.state] = (counts[camera.state] ?? 0) + 1;
    const before = states.get(camera.name);
    if (before && before !== camera.state && (before === "live" || camera.state === "live" || camera.state === "failed")) announce(`${camera.name} is ${camera.state === "live" ? "live again" : camera.state}`);
    states.set(camera.name, camera.state);
  }
  const all = live.cameras.length, well = counts.live ?? 0, bad = all - well - (counts.ended ?? 0);
  const summary = $("#summary");
  const lost = machines?.summaryOfMachines(live.fleet);
  const worst = !live.connected ? "connecting" : live.alive === false ? "failed" : bad ? (well ? "stalled" : "failed") : lost ? "stalled" : "live";
  summary.firstElementChild.dataset.state = worst;
  const cameras = !all ? "No cameras yet" : bad ? `${well} of ${all} cameras live` : all === well ? `${all === 1 ? "1 camera" : `All ${all} cameras`} live` : `${well} live, ${all - well} ended`;
  setText(summary.lastElementChild, !live.connected ? "Connecting …" : live.alive === false ? "Recognition is not running" : [cameras, lost].filter(Boolean).join(" · "));
  view?.update?.();
}
live.addEventListener("cameras", update);
live.addEventListener("hello", (message) => {
  for (const camera of live.cameras) for (const prediction of camera.models ?? [camera]) learnLabels(prediction.labels); // before anything is drawn
  recent.begin(message.detail.events);
  update();
  view?.events?.();
});
if (machines) live.addEventListener("fleet", ({ detail: { before } }) => {
  if (before) for (const news of machines.changesOfMachines(before, live.fleet)) toast(news);
  update();
});
live.addEventListener("arming", () => view?.update?.());
live.addEventListener("up", () => { $("#offline").hidden = true; });
live.addEventListener("down", () => { $("#offline").hidden = false; update(); });
live.addEventListener("event", (message) => {
  const event = message.detail.event;
  if (recent.take(event)) announce(`${event.camera}: ${seen({ live }, event)} ${event.ended ? "ended" : "started"}`);
  view?.events?.();
});

// -- tools and keys

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* storage is off */ }
  view?.update?.();
}

function showHelp() {
  const keys = [["1 … 9", "camera 1 … 9"], ["c", "all cameras"], ["e", "events"], ["← →", "earlier, later event"], ["Space", "play or pause"], ["t", "light or dark theme"], ["Esc", "back"]];
  if (session.fleet) keys.splice(3, 0, ["m", "machines"]);
  if (session.teaches) keys.unshift(["1 … 9", "in a lesson: the last seconds were this label; held: while you hold it"], ["0", "in a lesson: a time of nothing"], ["n", "in a lesson: name a new label"], ["u", "in a lesson: undo"]);
  const dialog = h("dialog", { class: "small", "aria-labelledby": "help-title" },
    h("div", { class: "sheet" },
      h("header", {}, h("h2", { id: "help-title", text: "Keyboard" }), closeButton(() => dialog.close())),
      h("dl", { class: "keys" }, keys.map(([key, what]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })]).flat()),
      h("p", { class: "soft" }, session.software, " · ", h("a", { href: "/api", text: "API" }))));
  openDialog(dialog);
}

$("#theme").addEventListener("click", switchTheme);
$("#help").addEventListener("click", showHelp);
$("#logout").addEventListener("click", async () => { await ask("/api/v1/logout", { method: "POST", body: {} }); toLogin(); });

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog") || $("dialog[open]")) return; // a button that is switched off leaves the focus beside its dialog
  const camera = /^[1-9]$/.test(event.key) ? live.cameras[Number(event.key) - 1] : null;
  if (camera) page.go(`/camera/${encodeURIComponent(camera.name)}`);
  else if (event.key === "c" || (event.key === "Escape" && location.hash.length > 2)) page.go("/");
  else if (event.key === "e") page.go("/events");
  else if (event.key === "m" && session.fleet) page.go("/machines");
  else if (event.key === "t") switchTheme();
  else if (event.key === "?") showHelp();
  else return;
  event.preventDefault();
});

page.showEvent = (event) => showEvent(page, event);
setInterval(() => view?.tick?.(), 500);
if (!location.hash && session.teaches) history.replaceState(null, "", "#/teach");
await live.known; // what a view offers, as the labels of a camera, would be empty before
addEventListener("hashchange", () => { route().then(() => main.focus({ preventScroll: true })); scrollTo(0, 0); });
await route();
update();
