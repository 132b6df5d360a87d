// Find cameras: searches a network of the machine that watches, asks a camera for its streams, and hands one on.

import { ask, closeButton, counted, disabledWhile, h, openDialog, setText } from "./dom.js";

/** What a stream is, in a few words. */
const factsOf = (stream) => [stream.name, stream.codec, stream.width && stream.height ? `${stream.width} × ${stream.height}` : null, stream.fps ? `${stream.fps} fps` : null].filter(Boolean).join(" · ");

/** A dialog in which a camera is found; take({ address, user, password, name }) gets the stream that was chosen. */
export function findCamera(take) {
  const network = h("select", { id: "find-network" });
  const search = h("button", { type: "button", class: "primary", text: "Search", disabled: true, onclick: run });
  const status = h("p", { class: "soft", role: "status" }), wrong = h("p", { class: "wrong", role: "alert" });
  const list = h("div", { class: "rows" }), here = h("div", { class: "rows" });
  const dialog = h("dialog", { "aria-labelledby": "find-title" }, h("div", { class: "sheet" },
    h("header", {}, h("h2", { id: "find-title", text: "Find cameras" }), closeButton(() => dialog.close())),
    h("p", { class: "soft", text: "Cameras that speak ONVIF answer. What they say of themselves is not checked: know your cameras before you give them a password." }),
    h("div", { class: "row" }, h("div", { class: "field" }, h("label", { for: network.id, text: "Network of the machine that watches" }), network), search), status, wrong, list, here));

  async function work(what, busy) {
    setText(wrong, "");
    setText(status, busy);
    try {
      const answer = await what();
      setText(status, "");
      return answer;
    } catch (error) {
      setText(status, "");
      wrong.textContent = error.message;
      return null;
    }
  }

  async function run() {
    list.replaceChildren();
    const found = await disabledWhile(search, () => work(() => ask("/api/v1/discovery/search", { method: "POST", body: { interface: network.value } }), "Searching for some seconds …"));
    if (!found) return;
    setText(status, found.devices.length ? `${counted(found.devices.length, "camera")} answered.` : "No camera answered. It may be in another network, or its ONVIF may be switched off.");
    list.replaceChildren(...found.devices.map(rowOf));
    list.querySelector("button")?.focus();
  }

  function rowOf(device) {
    const name = device.name || device.hardware || device.host;
    const row = h("section", { class: "panel find-row", "aria-label": name });
    const user = h("input", { type: "text", id: `find-user-${device.device}`, maxlength: 200, autocomplete: "off", autocapitalize: "none" });
    const password = h("input", { type: "password", id: `find-password-${device.device}`, maxlength: 1000, autocomplete: "new-password" });
    const streams = h("div", { class: "rows" });
    const show = h("button", { type: "submit", class: "button", text: "Show streams" });
    const login = h("form", { class: "row", hidden: true, onsubmit: async (event) => {
      event.preventDefault();
      streams.replaceChildren();
      const found = await disabledWhile(show, () => work(() => ask("/api/v1/discovery/streams", { method: "POST", body: { device: device.device, user: user.value, password: password.value } }), `Asking ${name} …`));
      if (found) streams.replaceChildren(...streamsOf(found));
      streams.querySelector("button")?.focus();
    } }, h("div", { class: "field" }, h("label", { for: user.id, text: "User" }), user), h("div", { class: "field" }, h("label", { for: password.id, text: "Password" }), password), show);
    const choose = h("button", { type: "button", class: "button", text: "Choose", "aria-label": `Choose ${name}`, onclick: () => { login.hidden = false; choose.hidden = true; user.focus(); } });

    function streamsOf(found) {
      const about = [found.maker, found.model, found.firmware].filter(Boolean).join(" ");
      const off = Math.abs(found.clock_off) > 60 ? h("p", { class: "soft", text: `Its clock is wrong by ${Math.round(Math.abs(found.clock_off) / 60)} min.` }) : null;
      const rows = found.streams.map((stream) => h("div", { class: "row stream" },
        h("div", {}, h("p", { text: factsOf(stream) }), h("p", { class: "soft address", text: stream.address || stream.reason })),
        stream.address ? h("button", { type: "button", class: "button", text: "Use", "aria-label": `Use ${factsOf(stream)}`, onclick: () => {
          take({ address: stream.address, user: user.value, password: password.value, name: device.name || found.model || device.host });
          dialog.close();
        } }) : null));
      return [h("p", { text: about || "It does not say who made it." }), off, ...rows, rows.length ? null : h("p", { class: "soft", text: "It offers no stream." })].filter(Boolean);
    }

    row.append(h("div", { class: "row" }, h("div", {}, h("h3", { class: "name" }, h("bdi", { text: name })), h("p", { class: "soft", text: [device.hardware, device.host].filter(Boolean).join(" · ") })), h("span", { class: "right" }, choose)), login, streams);
    return row;
  }

  /** Webcams and videos of the machine that watches. */
  function hereOf({ webcams, videos, may_add: mayAdd }) {
    const rows = [...webcams.map((one) => [String(one.number), one.name || one.device]), ...videos.map((path) => [path, path.split("/").at(-1)])];
    if (!rows.length) return [];
    return [h("h3", { text: "On the machine that watches" }), mayAdd ? "" : h("p", { class: "soft", text: "They are named in cameras.toml; with --web-local they can be added here." }),
      ...rows.map(([address, name]) => h("div", { class: "row stream" }, h("div", {}, h("p", {}, h("bdi", { text: name })), h("p", { class: "soft address", text: address })),
        mayAdd ? h("button", { type: "button", class: "button", text: "Use", "aria-label": `Use ${name}`, onclick: () => { take({ address, user: "", password: "", name }); dialog.close(); } }) : null))];
  }

  openDialog(dialog);
  work(() => ask("/api/v1/discovery"), "").then((found) => {
    if (!found) return;
    network.replaceChildren(...found.interfaces.map((one) => h("option", { value: one.address, text: `${one.address} (${one.name})` })));
    search.disabled = !found.interfaces.length;
    if (!found.interfaces.length) setText(status, "This machine has no network that could be searched.");
    here.replaceChildren(...hereOf(found));
    search.focus();
  });
}
