// Profiles of arming and their schedule: their lists, and the dialogs that change them.

import { ask, closeButton, disabledWhile, h, openDialog, setText } from "./dom.js";
import { labelsOf, patternEditor } from "./patterns.js";

const DAYS = { mon: "Mon", tue: "Tue", wed: "Wed", thu: "Thu", fri: "Fri", sat: "Sat", sun: "Sun" };
const NAMES = Object.keys(DAYS);
const MOST_PATTERNS = 50, MOST_SCHEDULES = 30; // as the file has it

let forms = 0;

/** "weekdays", "Mon, Sat". */
function daysOf(schedule) {
  const days = NAMES.filter((day) => schedule.days.includes(day)), named = { [NAMES.join()]: "every day", [NAMES.slice(0, 5).join()]: "weekdays", [NAMES.slice(5).join()]: "weekends" };
  return named[days.join()] ?? days.map((day) => DAYS[day]).join(", ");
}

/** When a profile is in force, in words. */
function timesOf(schedule) {
  if (!schedule.from && !schedule.until) return `${daysOf(schedule)}, all day`;
  const next = schedule.until <= schedule.from ? " of the next day" : "";
  return `${daysOf(schedule)}, ${schedule.from || "00:00"} to ${schedule.until || "00:00"}${next}`;
}

/** The sections of profiles and their schedule under the rules; `file` has the settings, and takes their new state. */
export function profilesPanel(page, file) {
  const list = h("div", { class: "rows" }), times = h("ol", { class: "times" }), otherwise = h("p", { class: "soft" });
  const add = h("button", { type: "button", class: "button", text: "Add a profile", disabled: true, onclick: () => edit(null) });
  const change = h("button", { type: "button", class: "button", text: "Change the schedule", disabled: true, onclick: () => schedule() });
  const element = h("div", {},
    h("section", { class: "rules", "aria-labelledby": "profiles-title" },
      h("div", { class: "head" }, h("h2", { id: "profiles-title", text: "Profiles" }), h("div", { class: "right" }, add)),
      h("p", { class: "soft", text: "A profile says of which events you are notified. “armed” (everything) and “disarmed” (nothing) are always there." }), list),
    h("section", { class: "rules", "aria-labelledby": "schedule-title" },
      h("div", { class: "head" }, h("h2", { id: "schedule-title", text: "Schedule of the profiles" }), h("div", { class: "right" }, change)), times, otherwise));
  const arming = () => file.settings().arming;

  async function send(method, path, body) {
    file.take(await ask(`/api/v1/settings/arming/${path}`, { method, body: { revision: file.settings().revision, ...body } }));
  }

  function show() {
    const { profiles, schedules, usual, timezone } = arming();
    add.disabled = change.disabled = false;
    list.replaceChildren(...profiles.map((profile) => h("section", { class: "panel camera-row", "aria-label": profile.name },
      h("span", { class: "dot", dataset: { state: page.live.arming?.profile === profile.name ? "live" : "ended" } }),
      h("div", {}, h("h3", { class: "name" }, h("bdi", { text: profile.name })), h("p", { class: "address", text: `Armed: ${profile.text}` })),
      h("div", { class: "row" },
        h("button", { type: "button", class: "button", text: "Edit", "aria-label": `Edit ${profile.name}`, onclick: () => edit(profile) }),
        h("button", { type: "button", class: "button danger", text: "Remove", "aria-label": `Remove ${profile.name}`, onclick: () => remove(profile.name) })))));
    times.replaceChildren(...schedules.map((one) => h("li", {}, h("bdi", { text: one.profile }), `: ${timesOf(one)}`)));
    setText(otherwise, `${schedules.length ? "Otherwise" : "Always, until another is chosen"}: ${usual}.${schedules.length ? ` By the clock of ${timezone || "this machine"}.` : ""}`);
  }

  async function remove(name) {
    try {
      await send("DELETE", "profile", { profile: name });
      page.toast(`${name} was removed`);
      add.focus();
    } catch (error) { await file.failed(error); }
  }

  /** A dialog with a form; `work` sends it, and an error is shown in it. */
  function form(title, parts, work, text, fallback) {
    const id = `profile-form-${++forms}`, wrong = h("p", { class: "wrong", role: "alert" });
    const save = h("button", { type: "submit", class: "primary", text });
    const submit = async (event) => {
      event.preventDefault();
      wrong.textContent = "";
      await disabledWhile(save, async () => {
        try {
          page.toast(await work());
          dialog.close();
        } catch (error) {
          wrong.textContent = error.message;
          if (error.code === "changed_meanwhile") file.failed(error);
        }
      });
    };
    const dialog = h("dialog", { class: "rule", "aria-labelledby": id }, h("form", { class: "sheet", method: "dialog", novalidate: true, onsubmit: submit },
      h("header", {}, h("h2", { id, text: title }), closeButton(() => dialog.close())), ...parts, wrong,
      h("div", { class: "row" }, h("button", { type: "button", class: "button", text: "Cancel", onclick: () => dialog.close() }), save)));
    openDialog(dialog, () => fallback);
    return dialog;
  }

  function edit(profile) {
    const id = `profile-${++forms}`, settings = file.settings();
    const known = [...new Set([...labelsOf(page, settings), ...(settings.rules ?? []).map((rule) => rule.name)])];
    const name = h("input", { id: `${id}-name`, type: "text", maxlength: 60, required: true, autocomplete: "off", value: profile?.name ?? "" });
    const given = profile?.armed ?? [{}], kind = Array.isArray(given) ? "some" : given ? "all" : "none";
    const radios = [["all", "Everything"], ["none", "Nothing"], ["some", "Only these events"]].map(([value, text]) =>
      h("label", {}, h("input", { type: "radio", name: id, value, checked: value === kind, onchange: arrange }), ` ${text}`));
    const chosen = () => radios.map((one) => one.querySelector("input")).find((one) => one.checked).value;
    const patterns = h("div", { class: "stack" }), editors = [];
    const more = h("button", { type: "button", class: "button", text: "Add further events", onclick: () => { addPattern({}).querySelector("input").focus(); } });

    function addPattern(pattern) {
      const one = patternEditor(settings, pattern, "Events", known), entry = { value: one.value, element: null };
      const drop = h("button", { type: "button", class: "button danger", text: "Remove these events", onclick: () => { editors.splice(editors.indexOf(entry), 1); entry.element.remove(); arrange(); more.focus(); } });
      entry.element = h("div", { class: "stack one-pattern" }, one.element, h("div", { class: "row" }, drop));
      editors.push(entry);
      patterns.append(entry.element);
      arrange();
      return entry.element;
    }

    function arrange() {
      patterns.hidden = more.hidden = chosen() !== "some";
      more.disabled = editors.length >= MOST_PATTERNS;
      editors.forEach((one, place) => {
        one.element.querySelector("legend").textContent = editors.length > 1 ? `Events ${place + 1}` : "Events";
        const drop = one.element.querySelector(".danger");
        drop.hidden = editors.length < 2;
        drop.setAttribute("aria-label", `Remove events ${place + 1}`);
      });
    }

    (Array.isArray(given) ? given : [{}]).forEach(addPattern);
    form(profile ? profile.name : "New profile", [
      h("div", { class: "form" }, h("div", { class: "field" }, h("label", { for: name.id, text: "Name" }), name)),
      h("div", { class: "field" }, h("span", { id: `${id}-what`, text: "You are notified of" }), h("div", { class: "checks", role: "radiogroup", "aria-labelledby": `${id}-what` }, radios)),
      patterns, h("div", { class: "row" }, more),
    ], async () => {
      const armed = chosen() === "some" ? editors.map((one) => one.value()) : chosen() === "all";
      await send("PUT", "profile", { profile: profile?.name ?? null, change: { name: name.value.trim(), armed } });
      return profile ? `${name.value} was changed` : `${name.value} was added`;
    }, profile ? "Save" : "Add", add);
    name.focus();
  }

  /** The fields of one time of the schedule. */
  function timeEditor(given, names) {
    const id = `time-${++forms}`, whole = !given.from && !given.until;
    const profile = h("select", { id: `${id}-profile` }, names.map((name) => h("option", { value: name, text: name })));
    profile.value = given.profile;
    const days = NAMES.map((day) => h("input", { type: "checkbox", value: day, checked: given.days.includes(day) }));
    const all = h("input", { type: "checkbox", checked: whole, onchange: arrange });
    const from = h("input", { id: `${id}-from`, type: "time", value: (given.from || "22:00").slice(0, 5), onchange: arrange });
    const until = h("input", { id: `${id}-until`, type: "time", value: (given.until || "06:00").slice(0, 5), onchange: arrange });
    // A time input has no seconds; those of the file stay where the time is not changed.
    const clock = (input, before) => (before && before.slice(0, 5) === input.value ? before : input.value);
    const next = h("span", { class: "hint", text: "of the next day", role: "status" });
    const field = (input, text, ...rest) => h("div", { class: "field" }, h("label", { for: input.id, text }), input, ...rest);
    const clocks = h("div", { class: "form" }, field(from, "From"), field(until, "Until", next));
    function arrange() { clocks.hidden = all.checked; next.hidden = all.checked || until.value > from.value; }
    arrange();
    const check = (box, text) => h("label", {}, box, ` ${text}`);
    return {
      first: profile,
      parts: [h("div", { class: "form" }, field(profile, "Profile")), h("div", { class: "checks", role: "group", "aria-label": "Days on which it begins" }, days.map((box) => check(box, DAYS[box.value]))), h("div", { class: "checks" }, check(all, "All day")), clocks],
      value: () => ({ profile: profile.value, days: days.filter((box) => box.checked).map((box) => box.value), from: all.checked ? "" : clock(from, given.from), until: all.checked ? "" : clock(until, given.until) }),
    };
  }

  function schedule() {
    const { profiles, built_in: builtIn, schedules, usual, timezone } = arming(), names = [...builtIn, ...profiles.map((one) => one.name)], id = `schedule-${++forms}`;
    const entries = h("div", { class: "stack" }), editors = [];
    const otherwise = h("select", { id: `${id}-usual` }, names.map((name) => h("option", { value: name, text: name })));
    otherwise.value = usual;
    const zones = h("datalist", { id: `${id}-zones` }, (Intl.supportedValuesOf?.("timeZone") ?? []).map((value) => h("option", { value })));
    const zone = h("input", { id: `${id}-zone`, type: "text", list: zones.id, maxlength: 100, autocomplete: "off", spellcheck: "false", placeholder: "this machine's", value: timezone });
    const more = h("button", { type: "button", class: "button", text: "Add a time", onclick: () => { addTime({ profile: profiles[0]?.name ?? "disarmed", days: NAMES, from: "22:00", until: "06:00" }).first.focus(); } });

    function addTime(given) {
      const one = timeEditor(given, names), button = (text, className, onclick) => h("button", { type: "button", class: className, text, onclick });
      const entry = { ...one, up: button("Up", "button", () => move(entry, -1)), down: button("Down", "button", () => move(entry, 1)), drop: button("Remove", "button danger", () => { editors.splice(editors.indexOf(entry), 1); arrange(); more.focus(); }) };
      entry.element = h("fieldset", { class: "pattern" }, h("legend", {}), h("div", { class: "stack" }, ...one.parts, h("div", { class: "row" }, entry.up, entry.down, entry.drop)));
      editors.push(entry);
      arrange();
      return entry;
    }

    function move(entry, by) {
      const place = editors.indexOf(entry);
      editors.splice(place, 1);
      editors.splice(place + by, 0, entry);
      arrange();
      const button = by < 0 ? entry.up : entry.down;
      (button.disabled ? (by < 0 ? entry.down : entry.up) : button).focus();
      page.announce(`Now time ${place + by + 1} of ${editors.length}`);
    }

    function arrange() {
      entries.replaceChildren(...editors.map((one) => one.element));
      more.disabled = editors.length >= MOST_SCHEDULES;
      editors.forEach((one, place) => {
        one.element.querySelector("legend").textContent = `Time ${place + 1}`;
        one.up.disabled = place === 0;
        one.down.disabled = place === editors.length - 1;
        for (const [button, text] of [[one.up, "up"], [one.down, "down"]]) button.setAttribute("aria-label", `Move time ${place + 1} ${text}`);
        one.drop.setAttribute("aria-label", `Remove time ${place + 1}`);
      });
    }

    schedules.forEach(addTime);
    const field = (input, text, hint, ...rest) => h("div", { class: "field" }, h("label", { for: input.id, text }), input, ...rest, h("span", { class: "hint", text: hint }));
    form("Schedule of the profiles", [
      h("p", { class: "soft", text: "Where two times overlap, the upper one counts." }), entries, h("div", { class: "row" }, more),
      h("div", { class: "form" }, field(otherwise, "At all other times", "Until another is chosen by hand."), field(zone, "Time zone", "Daylight saving follows it.", zones)),
    ], async () => {
      await send("PUT", "schedule", { change: { timezone: zone.value.trim(), usual: otherwise.value, schedules: editors.map((one) => one.value()) } });
      return "The schedule was changed";
    }, "Save", change);
    (editors[0]?.first ?? more).focus();
  }

  return { element, show };
}
