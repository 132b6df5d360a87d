// Selecting events of the list, and exporting them with their evidence as a zip.

import { ask, counted, h, setText } from "./dom.js";

const MOST = 500; // as the API has it

const megabytes = (bytes) => (bytes < 1e5 ? "less than 0.1 MB" : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

/** The button "Select" and its bar, over a list of events. `events()` are those that are listed, `onchange()` is called when the list is to be marked anew. */
export function selection(events, onchange) {
  const chosen = new Set();
  let on = false;
  const begin = h("button", { type: "button", class: "button", text: "Select", onclick: () => set(true) });
  const count = h("span", { role: "status" });
  const message = h("span", { class: "soft", role: "status" });
  const all = h("button", { type: "button", class: "button", text: "Select all", onclick: () => { for (const one of events().slice(0, MOST)) chosen.add(one.id); changed(); } });
  const save = h("button", { type: "button", class: "primary", text: "Export as zip", onclick: () => download() });
  const done = h("button", { type: "button", class: "button", text: "Done", onclick: () => { set(false); begin.focus(); } });
  const bar = h("div", { class: "panel row selection", role: "group", "aria-label": "Selected events", hidden: true }, count, message, h("div", { class: "row right" }, all, save, done));

  function set(now) {
    on = now;
    if (!on) chosen.clear();
    begin.hidden = on;
    bar.hidden = !on;
    changed();
    if (on) all.focus();
  }

  function changed() {
    setText(count, chosen.size ? `${counted(chosen.size, "event")} selected` : "Choose events of the list.");
    setText(message, "");
    save.disabled = chosen.size === 0;
    onchange();
  }

  async function download() {
    const query = new URLSearchParams([...chosen].map((id) => ["event", id]));
    try {
      const found = await ask(`/api/v1/export/size?${query}`); // so that what is refused is a sentence, not a failed download
      setText(message, `${megabytes(found.bytes)}${found.missing ? ` · ${found.missing} missing, as the zip's list.txt says` : ""}`);
      h("a", { href: `/api/v1/export?${query}`, download: "" }).click();
    } catch (error) {
      setText(message, error.message);
    }
  }

  return {
    begin, bar,
    get on() { return on; },
    toggle(event) {
      if (!chosen.delete(event.id) && chosen.size < MOST) chosen.add(event.id);
      changed();
    },
    /** Marks the rows of a list. */
    mark(list) {
      for (const row of list.querySelectorAll(".event")) {
        if (on) row.setAttribute("aria-pressed", String(chosen.has(row.dataset.id)));
        else row.removeAttribute("aria-pressed");
      }
    },
  };
}
