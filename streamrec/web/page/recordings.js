// From an event to the continuous recording of its moment.

import { ask, h, timeOf } from "./dom.js";

/** Buttons that show the continuous recording around an event in the place of its clip. */
export function recordingRow(stage) {
  const element = h("div", { class: "row reasons", role: "group", "aria-label": "Continuous recording", hidden: true });
  let shown = "";
  function play(event, found, part) {
    const from = part === "during" ? Math.max(0, Math.round(found.at) - 5) : 0;
    stage.replaceChildren(h("video", { class: "clip", controls: true, autoplay: true, muted: true, playsinline: true, src: `${found[part].url}#t=${from}`, "aria-label": `Recording of ${event.camera}` }));
    stage.querySelector("video").muted = true;
    for (const button of element.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.part === part));
  }
  async function show(event) {
    shown = event.id;
    element.hidden = true;
    const found = await ask(`/api/v1/events/${event.id}/recordings`).catch(() => null);
    if (!found || event.id !== shown) return;
    const parts = [["before", "Before"], ["during", "During"], ["after", "After"]].filter(([part]) => found[part]);
    element.hidden = parts.length === 0;
    element.replaceChildren(h("span", { class: "soft", text: "Recording" }), ...parts.map(([part, text]) =>
      h("button", { type: "button", class: "button", dataset: { part }, "aria-pressed": "false", text, title: `From ${timeOf(found[part].started * 1000)}`, onclick: () => play(event, found, part) })));
  }
  return { element, show };
}
