// Events: the list beside the cameras, the events page, and the dialog with an event's evidence.

import { correctionsPanel, askMissed, VERDICTS, verdictOf, verdictRow } from "./corrections.js";
import { mayChoose, notNotified, showSnooze } from "./arming.js";
import { selection } from "./selection.js";
import { ask, closeButton, colourOf, counted, dayOf, duration, h, named, openDialog, percent, personMark, setText, secondsOf, timeOf } from "./dom.js";
import { recordingRow } from "./recordings.js";

const PLAY = "M8 5.5v13l11-6.5z";
const A_PAGE = 100;

/** The newest events, kept up to date. */
export class RecentEvents {
  constructor(live) {
    this.live = live;
    this.events = [];
    this.known = false;
  }

  begin(events) {
    this.events = events;
    this.known = true;
  }

  /** Takes a new or changed event; whether it should be announced. */
  take(event) {
    const at = this.events.findIndex((one) => one.id === event.id);
    const before = this.events[at];
    if (at >= 0) this.events[at] = event;
    else {
      const place = this.events.findIndex((one) => one.started <= event.started);
      this.events.splice(place < 0 ? this.events.length : place, 0, event);
      this.events.length = Math.min(this.events.length, 500);
    }
    return !before || (!before.ended && Boolean(event.ended));
  }
}

/** What was seen; on a camera that several models watch, with the name of the one that saw it. */
export function seen(page, event) {
  const several = page.live.cameras.find((one) => one.name === event.camera)?.models;
  return several ? named(event.model, event.label) : event.label;
}

const OPINIONS = { yes: "yes", no: "no", unsure: "not sure", unjudged: "none" };

/** The second opinion on an event; text of unknown origin, which is only ever shown as text. */
function opinionOf(event) {
  const judgment = OPINIONS[event.judgment];
  return judgment && `${judgment}${event.opinion ? `: ${event.opinion}` : ""}${event.judged_by ? ` (${event.judged_by})` : ""}`;
}

/** The reading with which an anomaly began, and what was forecast. */
const forecastOf = ({ forecast: { reading, expected } }) => `${Number(reading.toPrecision(4))}, forecast ${Number(expected.toPrecision(4))}`;

function rowOf(page, event) {
  const thumb = event.thumbnail
    ? h("img", { src: event.thumbnail, alt: "", loading: "lazy" })
    : h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: event.clip ? PLAY : "M12 7a5 5 0 1 1 0 10 5 5 0 0 1 0-10z" }));
  const play = event.clip && event.thumbnail ? h("svg", { class: "play", viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: PLAY })) : null;
  const long = h("span", { class: "long" });
  const row = h("button", { type: "button", class: "event", dataset: { id: event.id }, style: { "--now": colourOf(event.label) }, onclick: () => (page.choosing?.on ? page.choosing.toggle(event) : page.showEvent(event)) },
    h("span", { class: "thumb" }, thumb, play),
    h("span", { class: "what" }, h("span", { text: seen(page, event) }), personMark(event.person), event.correction ? h("span", { class: "verdict-mark", dataset: { verdict: event.correction.verdict }, text: verdictOf(event.correction) }) : null, event.judgment && event.judgment !== "unjudged" ? h("span", { class: "opinion-mark", title: opinionOf(event), text: `2nd opinion: ${OPINIONS[event.judgment] ?? ""}` }) : null),
    h("time", { class: "when", datetime: event.started, text: event.similarity === undefined ? timeOf(event.started) : `${dayOf(event.started)}, ${timeOf(event.started)}` }),
    h("span", { class: "where" }, h("bdi", { text: event.camera }), event.zone ? ` · ${event.zone}` : null, event.forecast ? ` · ${forecastOf(event)}` : null, event.repetitions ? ` · ${event.repetitions} ×` : null, notNotified(event) ? h("span", { class: "unsent", title: `Notified: ${notNotified(event)}`, text: event.decision === "hold" ? " · held" : " · not notified" }) : null),
    long);
  if (!event.ended) row.dataset.running = "";
  if (event.correction) row.dataset.verdict = event.correction.verdict;
  const tick = () => {
    const camera = page.live.cameras.find((one) => one.name === event.camera);
    const gone = camera && camera.state !== "live"; // without frames it is unknown whether the action continues
    setText(long, event.similarity !== undefined ? `similarity ${event.similarity.toFixed(2)}` : event.ended ? duration(secondsOf(event)) : gone ? "no signal" : `now · ${duration(Math.max(0, secondsOf(event)))}`);
  };
  tick();
  return { row, tick, key: JSON.stringify(event) };
}

function fillList(page, element, rows, events) {
  const kept = new Map(), wanted = [];
  let day = null;
  for (const event of events) {
    if (event.similarity === undefined && dayOf(event.started) !== day) {
      day = dayOf(event.started);
      wanted.push(h("h3", { class: "day", text: day }));
    }
    const before = rows.get(event.id);
    const one = before?.key === JSON.stringify(event) ? before : rowOf(page, event);
    kept.set(event.id, one);
    wanted.push(one.row);
  }
  const focused = document.activeElement?.dataset?.id;
  rows.clear();
  for (const [id, one] of kept) rows.set(id, one);
  if (wanted.length !== element.childElementCount || wanted.some((one, n) => one !== element.children[n] && !(one.tagName === "H3" && element.children[n].tagName === "H3" && element.children[n].textContent === one.textContent))) {
    element.replaceChildren(...wanted);
    if (focused) kept.get(focused)?.row.focus();
  }
}

/** A list that updates with new events. */
export function eventList(page, { limit, camera = null }) {
  const rows = new Map();
  const list = h("div", { class: "list" }), none = h("p", { class: "soft" });
  const all = h("a", { class: "button more", href: `#/events${camera ? `/${encodeURIComponent(`camera=${encodeURIComponent(camera)}`)}` : ""}`, text: "All events" });
  return {
    element: h("div", {}, list, none, all),
    fill() {
      const events = page.recent.events.filter((event) => !camera || event.camera === camera).slice(0, limit);
      fillList(page, list, rows, events);
      none.hidden = events.length > 0;
      all.hidden = events.length === 0;
      setText(none, page.recent.known ? "No events yet. New events appear here as they start." : "");
    },
    tick() { for (const one of rows.values()) one.tick(); },
  };
}

const EVENT_ID = /^[0-9a-f]{12}-[0-9a-f]{8}$/; // what a link in a notification ends with
const SPANS = [["1", "Last hour"], ["24", "Last 24 hours"], ["168", "Last 7 days"], ["", "All"]];

/** The events page: filters, a timeline with a lane for each camera, and the list. */
export function eventsView(page, main, rest) {
  const one = EVENT_ID.test(rest) ? rest : null, given = new URLSearchParams(one ? "" : rest);
  const rows = new Map();
  let events = [], more = null, asked = 0;
  const like = given.get("like"); // an event's id: the list has the events like it, the most similar first
  const chooser = selection(() => events, () => chooser && chooser.mark(list));
  page.choosing = chooser;
  const options = (values, all) => [h("option", { value: "", text: all }), ...values.map((value) => h("option", { value, text: value }))];
  const camera = h("select", { id: "by-camera", onchange: load }), label = h("select", { id: "by-label", onchange: load });
  const span = h("select", { id: "by-time", onchange: load }, SPANS.map(([value, text]) => h("option", { value, text })));
  span.value = given.get("hours") ?? (like ? "" : "24");
  const verdict = h("select", { id: "by-verdict", onchange: load }, [["", "All"], ...Object.entries(VERDICTS), ["none", "Not corrected"]].map(([value, text]) => h("option", { value, text })));
  const panel = page.session.corrections ? correctionsPanel(page, () => load()) : null;
  const filters = h("form", { class: "filters", "aria-label": "Filter", onsubmit: (event) => event.preventDefault() },
    [["Camera", camera], ["Action", label], ["Time", span], ...(panel && !like ? [["Verdict", verdict]] : [])].map(([text, select]) => h("div", { class: "field" }, h("label", { for: select.id, text }), select)));
  const lanes = h("section", { class: "panel lanes", "aria-label": "Timeline" });
  const list = h("div", { class: "list panel" });
  const count = h("p", { class: "soft", role: "status" });
  const next = h("button", { type: "button", class: "button more", text: "Earlier events", hidden: true, onclick: () => fetchPage(true) });
  const missed = panel && !like ? h("button", { type: "button", class: "button", text: "You missed one", onclick: () => askMissed(page, camera.value, Date.now() - 10_000, panel.take) }) : "";
  const back = like ? h("a", { class: "button", href: "#/events", text: "All events" }) : "";
  const title = h("h1", { text: like ? "Events like this" : "Events" });
  main.append(h("div", { class: "head" }, title, count, h("div", { class: "row right" }, back, missed, chooser.begin)), page.session.opinion ? h("p", { class: "soft leaves", text: `Second opinion: ${page.session.opinion}.` }) : "", filters, chooser.bar, like ? "" : panel?.element ?? "", lanes, h("div", { class: "events-page" }, list), next);
  const observer = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && !next.hidden && !next.disabled) fetchPage(true); }, { rootMargin: "300px" });
  observer.observe(next);

  function choices() {
    for (const [select, values, all, wanted] of [
      [camera, [...new Set([...page.live.cameras.map((one) => one.name), ...page.recent.events.map((one) => one.camera), given.get("camera") ?? ""])], "All cameras", given.get("camera")],
      [label, [...new Set([...page.recent.events.map((one) => one.label), ...events.map((one) => one.label)])].sort(), "All actions", given.get("label")]]) {
      const value = select.childElementCount ? select.value : wanted ?? "";
      const names = values.filter(Boolean);
      if (select.childElementCount !== names.length + 1) select.replaceChildren(...options(names, all));
      select.value = names.includes(value) ? value : "";
    }
  }

  const begins = () => (span.value ? Date.now() - 3_600_000 * Number(span.value) : null);
  const judged = (event) => !verdict.value || (verdict.value === "none" ? !event.correction : event.correction?.verdict === verdict.value);
  const fits = (event) => judged(event) && (!camera.value || event.camera === camera.value) && (!label.value || event.label === label.value) && (!begins() || !event.ended || Date.parse(event.ended) >= begins());

  async function fetchPage(further) {
    const query = new URLSearchParams({ limit: A_PAGE }), mine = ++asked;
    if (camera.value) query.set("camera", camera.value);
    if (label.value) query.set("label", label.value);
    if (verdict.value) query.set("verdict", verdict.value);
    if (begins()) query.set("since", new Date(begins()).toISOString());
    if (further && more) query.set("after", more);
    next.disabled = true;
    try {
      if (like) {
        query.delete("after");
        const found = await ask(`/api/v1/events/${encodeURIComponent(like)}/similar?${query}`);
        if (mine === asked) showSimilar(found);
        return;
      }
      const found = await ask(`/api/v1/events?${query}`);
      if (mine !== asked) return; // the filter has changed meanwhile
      events = further ? [...events, ...found.events] : found.events;
      more = found.more;
      next.hidden = more === null;
      takeRecent(); // what began while this was on its way
      show();
    } catch (error) {
      setText(count, error.message);
    } finally {
      next.disabled = false;
    }
  }

  /** New events are added at the top; older ones stay as they were loaded. */
  function takeRecent() {
    const byId = new Map(events.map((event) => [event.id, event]));
    for (const event of page.recent.events) {
      if (byId.has(event.id) && !judged(event)) byId.delete(event.id);
      else if (byId.has(event.id) || (fits(event) && (!events.length || event.started >= events[0].started))) byId.set(event.id, event);
    }
    events = [...byId.values()].sort((a, b) => (a.started < b.started ? 1 : -1));
  }

  function load() { more = null; fetchPage(false); }

  function showSimilar(found) {
    events = found.similar.map((one) => ({ ...one.event, similarity: one.similarity }));
    next.hidden = true;
    setText(title, `Like ${seen(page, found.event)} · ${found.event.camera} · ${timeOf(found.event.started)}`);
    choices();
    fillList(page, list, rows, events);
    chooser.mark(list);
    list.hidden = events.length === 0;
    lanes.hidden = true;
    const others = found.others ? ` ${counted(found.others, "event")} cannot be compared with it: of before, of a rule or of another model.` : "";
    const none = found.compared ? "" : "There is no event to compare it with.";
    setText(count, found.reason ? `${found.reason[0].toUpperCase()}${found.reason.slice(1)}.` : `${events.length ? `The most similar of ${found.compared}, first.` : none}${others}`);
  }

  let correctedBefore = "";
  function show() {
    choices();
    const correctedNow = events.map((event) => event.correction?.id ?? "").join();
    if (correctedNow !== correctedBefore) panel?.load(); // an event was corrected, here or on another page
    correctedBefore = correctedNow;
    fillList(page, list, rows, events);
    chooser.mark(list);
    list.hidden = events.length === 0;
    setText(count, events.length === 0 ? "No events in this time range." : `${events.length}${more ? "+" : ""} ${events.length === 1 && !more ? "event" : "events"}`);
    showLanes();
  }

  function showLanes() {
    // The time axis begins at the first event shown, so that empty hours before it take no room.
    const now = Date.now(), first = Math.min(now - 300_000, ...events.map((event) => Date.parse(event.started)));
    const names = [...new Set(events.map((event) => event.camera))].sort();
    lanes.hidden = names.length === 0;
    const part = (time) => Math.min(1, Math.max(0, (time - first) / (now - first)));
    const format = new Intl.DateTimeFormat(undefined, now - first > 2 * 86_400_000 ? { weekday: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false });
    lanes.replaceChildren(...names.map((name) => h("div", { class: "lane" }, h("span", {}, h("bdi", { text: name })),
      h("div", { class: "track", title: panel ? "Click where one was missed" : null, onclick: (click) => missedAt(click, name, first, now) }, events.filter((event) => event.camera === name).map((event) => {
        const from = part(Date.parse(event.started)), to = part(event.ended ? Date.parse(event.ended) : now);
        return h("button", { type: "button", tabindex: -1, dataset: event.correction ? { verdict: event.correction.verdict } : {}, "aria-label": `${event.label}, ${timeOf(event.started)}`, title: `${event.label}, ${timeOf(event.started)}`,
          style: { left: `min(${100 * from}%, calc(100% - 5px))`, width: `${100 * (to - from)}%`, "--now": colourOf(event.label) }, onclick: () => page.showEvent(event) });
      })))), h("div", { class: "lane", "aria-hidden": "true" }, h("span"), h("div", { class: "ticks" }, [0, 0.25, 0.5, 0.75, 1].map((at) => h("span", { text: at === 1 ? "now" : format.format(first + at * (now - first)) })))));
  }

  function missedAt(click, name, first, now) {
    if (!panel || click.target !== click.currentTarget) return; // an event was clicked
    const box = click.currentTarget.getBoundingClientRect();
    askMissed(page, name, first + (now - first) * ((click.clientX - box.left) / box.width), panel.take);
  }

  choices();
  fetchPage(false);
  page.neighbours = () => events;
  if (one) openOne(page, one);
  let slow = 0;
  return {
    events() {
      if (like) return; // the list is of the past
      takeRecent();
      show();
    },
    tick() { for (const one of rows.values()) one.tick(); if (++slow % 10 === 0 && !like && !document.querySelector("dialog")) showLanes(); },
    update: choices,
    leave() { observer.disconnect(); delete page.neighbours; delete page.choosing; },
  };
}

/** Opens the event of a link, however old it is. */
async function openOne(page, id) {
  try {
    page.showEvent(await ask(`/api/v1/events/${id}`));
  } catch (error) {
    page.toast(error.status === 404 ? "This event is not in the history any more." : error.message);
  }
}

/** A dialog with the evidence of one event. */
export function showEvent(page, first) {
  let event = first;
  const title = h("h2", { id: "event-title" }), stage = h("div"), meta = h("dl", { class: "meta" });
  const close = closeButton(() => dialog.close());
  const before = h("button", { type: "button", class: "button", text: "← Earlier", onclick: () => step(1) });
  const after = h("button", { type: "button", class: "button", text: "Later →", onclick: () => step(-1) });
  const alike = h("a", { class: "button right", text: "More like this", onclick: () => dialog.close() });
  const save = h("a", { class: "button", text: "Download clip", download: "" });
  const snooze = mayChoose(page) ? h("button", { type: "button", class: "button", text: "Snooze", onclick: () => showSnooze(page, event.camera, event.label) }) : null;
  const verdict = page.session.corrections ? verdictRow(page) : null;
  const reasons = h("div", { class: "row reasons", hidden: true });
  const recorded = page.session.recordings ? recordingRow(stage) : null;
  const dialog = h("dialog", { "aria-labelledby": "event-title" },
    h("div", { class: "sheet" }, h("header", {}, title, close), stage, recorded?.element ?? "", meta, reasons, verdict?.element ?? "", h("div", { class: "row" }, before, after, snooze, alike, save)));
  const all = () => page.neighbours?.() ?? page.recent.events;
  const place = () => all().findIndex((one) => one.id === event.id);

  /** The events on which a rule's event is based, with links. */
  async function showReasons() {
    const asked = event.id, ids = event.based_on ?? [];
    reasons.hidden = ids.length === 0;
    if (reasons.dataset.of === asked || reasons.hidden) return;
    reasons.dataset.of = asked;
    reasons.replaceChildren(h("span", { class: "soft", text: "Based on" }));
    const found = await Promise.all(ids.slice(0, 12).map((id) => ask(`/api/v1/events/${id}`).catch(() => null)));
    if (event.id !== asked) return;
    reasons.append(...found.filter(Boolean).map((one) => h("button", { type: "button", class: "button", text: `${seen(page, one)} · ${one.camera} · ${timeOf(one.started)}`, onclick: () => show(one) })));
  }

  function step(by) {
    const other = all()[place() + by];
    if (other) show(other);
  }

  function show(one) {
    const same = one.id === event.id && stage.firstChild && one.clip === event.clip;
    event = one;
    setText(title, `${seen(page, event)} · ${event.camera}`);
    const facts = [["Started", `${dayOf(event.started)}, ${timeOf(event.started)}`], ["Duration", event.ended ? duration(secondsOf(event)) : "still running"], ...(event.rule ? [] : [["Confidence", percent(event.confidence)]]),
      ...(event.repetitions ? [["Repetitions", String(event.repetitions)]] : []), ...(event.person ? [["Person", String(event.person)]] : []), ...(event.zone ? [["Zone", event.zone]] : []), ...(event.forecast ? [["Reading", forecastOf(event)]] : []), ...(event.rule ? [["Rule", event.rule]] : []), ...(event.model ? [["Model", event.model]] : []), ...(notNotified(event) ? [["Notified", notNotified(event)]] : []), ...(event.interrupted ? [["Ended", "streamrec was stopped"]] : []), ...(opinionOf(event) ? [["Second opinion", opinionOf(event)]] : [])];
    meta.replaceChildren(...facts.map(([key, value]) => h("div", {}, h("dt", { text: key }), h("dd", { text: value }))));
    before.disabled = !all()[place() + 1];
    after.disabled = !all()[place() - 1];
    alike.href = `#/events/${encodeURIComponent(`like=${encodeURIComponent(event.id)}`)}`;
    alike.hidden = Boolean(event.rule) || !event.ended;
    save.hidden = !event.clip;
    if (event.clip) save.href = event.clip;
    if (verdict) verdict.element.hidden = Boolean(event.rule); // those that it is based on are corrected
    if (!event.rule) verdict?.show(event);
    showReasons();
    if (same) return;
    recorded?.show(event);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    stage.replaceChildren(event.clip
      ? h("video", { class: "clip", controls: true, autoplay: !still, muted: true, loop: true, playsinline: true, preload: "auto", poster: event.thumbnail, src: event.clip, "aria-label": `${event.label} at ${event.camera}` })
      : event.thumbnail ? h("img", { class: "clip", src: event.thumbnail, alt: `${event.label} at ${event.camera}` })
        : h("p", { class: "clip none", text: event.ended ? "No clip of this event was kept." : "Still running. The clip is written when it ends." }));
    const video = stage.querySelector("video");
    if (video) video.muted = true;
  }

  dialog.addEventListener("keydown", (key) => {
    if (key.target.closest("video, input, select")) return;
    if (key.key === "ArrowLeft") step(1);
    else if (key.key === "ArrowRight") step(-1);
    else if (key.key === " " && !key.target.closest("button, a")) {
      const video = stage.querySelector("video");
      video?.[video.paused ? "play" : "pause"]();
    } else return;
    key.preventDefault();
  });
  const follow = (message) => { if (message.detail.event.id === event.id) show(message.detail.event); };
  page.live.addEventListener("event", follow);
  dialog.addEventListener("click", (click) => { if (click.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => page.live.removeEventListener("event", follow));
  show(event);
  openDialog(dialog, () => document.querySelector(`.event[data-id="${CSS.escape(event.id)}"]`));
}
