// Manage: adds, changes, tests and removes cameras; draws regions; previews thresholds on the last hour.

import { findCamera } from "./discover.js";
import { placesEditor } from "./places.js";
import { profilesPanel } from "./profiles.js";
import { rulesPanel } from "./rules.js";
import { ask, closeButton, colourOf, counted, disabledWhile, Failed, h, keepToken, duration, openDialog, setText } from "./dom.js";

const THRESHOLDS = {
  enter: ["Start threshold", "An action starts when its score reaches this", 0.05, 1, 0.01],
  leave: ["End threshold", "It ends when its score falls below this", 0.05, 1, 0.01],
  shortest: ["Confirmation time", "Seconds an action must last to be reported", 0, 10, 0.1],
  merge_gap: ["Merge gap", "Seconds below the end threshold that do not end it", 0, 10, 0.1],
  cool_down: ["Cool-down", "Seconds after an end in which the same action is not reported again", 0, 600, 5],
  smoothing: ["Smoothing", "Seconds over which scores are averaged", 0, 3, 0.1],
};
const unit = (key) => (key === "enter" || key === "leave" ? " %" : " s");
const shownValue = (key, value) => (unit(key) === " %" ? `${Math.round(100 * value)} %` : `${Number(value.toFixed(1))} s`);

async function askImage(path, options = null) {
  const { csrf } = await ask("/api/v1/session");
  keepToken(csrf);
  const answer = await fetch(path, options === null ? {} : { method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf ?? "" }, body: JSON.stringify(options) });
  if (!answer.ok) {
    const data = await answer.json().catch(() => null);
    throw new Failed(data?.error?.code ?? "broken", data?.error?.message ?? "that did not work", answer.status);
  }
  return URL.createObjectURL(await answer.blob());
}

const PER_PERSON = { default: "as is best with its models", yes: "yes: events say who it was", no: "no: the whole image" };
const PRIVACY = { "": "as set for all cameras", full: "as they are", blur: "blurred", "blur-people": "people blurred", "blur-others": "all but people blurred", none: "none" };
const selectOf = (texts, value) => {
  const select = h("select", {}, Object.entries(texts).map(([one, text]) => h("option", { value: one, text })));
  select.value = value in texts ? value : "";
  return select;
};

const some = (number, word) => (number ? counted(number, word) : null);

export async function manageView(page, main) {
  const list = h("div", { class: "rows" }), problem = h("p", { class: "wrong", role: "alert" });
  const add = h("button", { type: "button", class: "primary", text: "Add a camera", disabled: true, onclick: () => edit(null) });
  const where = h("p", { class: "soft" });
  const file = { settings: () => settings, take, failed };
  const rules = rulesPanel(page, file), profiles = profilesPanel(page, file);
  main.append(h("div", { class: "head" }, h("h1", { text: "Manage" }), where, h("div", { class: "right" }, add)), problem, list, rules.element, profiles.element);
  let settings = null, left = false;

  function take(answer) { settings = answer; show(); }
  async function failed(error) {
    if (error.code === "changed_meanwhile") await load(); // first: it takes the last message away
    problem.textContent = error.message;
  }

  async function load() {
    try {
      settings = await ask("/api/v1/settings");
      problem.textContent = "";
      show();
    } catch (error) { problem.textContent = error.message; }
  }

  function show() {
    if (left) return;
    add.disabled = false; // the dialog needs the models
    setText(where, `Edits ${settings.file}. Comments are kept, and changes made by hand are never overwritten.`);
    rules.show();
    profiles.show();
    list.replaceChildren(...settings.cameras.map((camera) => {
      const now = page.live.cameras.find((one) => one.name === camera.name);
      const facts = [camera.address, camera.watched_by, camera.region ? "region" : null, some(camera.zones?.length, "zone"), some(camera.lines?.length, "line"), camera.per_person === "yes" ? "each person" : null, camera.count ? "counts" : null, camera.listens ? `listens with ${camera.listens}` : null, camera.enabled ? null : "disabled"].filter(Boolean).join(" · ");
      return h("section", { class: "panel camera-row", "aria-label": camera.name },
        h("span", { class: "dot", dataset: { state: camera.enabled ? now?.state ?? "connecting" : "ended" } }),
        h("div", {}, h("h2", { class: "name" }, h("bdi", { text: camera.name })), h("p", { class: "address", text: facts })),
        h("div", { class: "row" },
          h("button", { type: "button", class: "button", text: camera.enabled ? "Disable" : "Enable", onclick: () => put(camera.name, { ...changeOf(camera), enabled: !camera.enabled }) }),
          h("button", { type: "button", class: "button", text: "Edit", "aria-label": `Edit ${camera.name}`, onclick: () => edit(camera) }),
          h("button", { type: "button", class: "button danger", text: "Remove", "aria-label": `Remove ${camera.name}`, onclick: () => remove(camera) })));
    }));
  }

  function changeOf(camera) {
    const own = Object.fromEntries(Object.entries(camera.thresholds).filter(([key, value]) => value !== camera.model_thresholds[key]));
    return { name: camera.name, address: camera.address, login: "keep", model: camera.model, models: camera.models ?? null, fps: camera.fps, enabled: camera.enabled, region: camera.region, thresholds: own, ...(camera.by_model ? { by_model: {} } : {}) };
  }

  async function put(name, change) {
    try {
      take(await ask("/api/v1/settings/camera", { method: "PUT", body: { revision: settings.revision, camera: name, change } }));
      page.toast(name === null ? `${change.name} was added` : `${change.name} was changed`);
      return null;
    } catch (error) {
      await failed(error);
      return error.message;
    }
  }

  function remove(camera) {
    const dialog = h("dialog", { class: "small", "aria-labelledby": "remove-title" }, h("div", { class: "sheet" },
      h("header", {}, h("h2", { id: "remove-title", text: `Remove ${camera.name}?` })),
      h("p", { class: "soft", text: "The camera is removed from the file and no longer watched. Its events are kept." }),
      h("div", { class: "row" },
        h("button", { type: "button", class: "button", text: "Cancel", autofocus: true, onclick: () => dialog.close() }),
        h("button", { type: "button", class: "button danger", text: "Remove camera", onclick: async () => {
          dialog.close();
          try {
            take(await ask("/api/v1/settings/camera", { method: "DELETE", body: { revision: settings.revision, camera: camera.name } }));
            page.toast(`${camera.name} was removed`);
          } catch (error) { await failed(error); }
        } }))));
    openDialog(dialog);
  }

  function edit(camera) {
    const id = (name) => `edit-${name}`;
    const field = (name, text, input, hint = null, wide = false) => {
      input.id = id(name);
      if (hint) input.setAttribute("aria-describedby", id(`${name}-hint`));
      return h("div", { class: wide ? "field wide" : "field" }, h("label", { for: id(name), text }), input, hint ? h("span", { class: "hint", id: id(`${name}-hint`), text: hint }) : null);
    };
    const start = camera ? changeOf(camera) : { name: "", address: "rtsp://", login: "keep", model: "", fps: null, enabled: true, region: null, thresholds: {} };
    const name = h("input", { type: "text", value: start.name, maxlength: 60, required: true, autocomplete: "off" });
    const address = h("input", { type: "text", value: start.address, maxlength: 2000, required: true, spellcheck: "false", autocomplete: "off", inputmode: "url" });
    const user = h("input", { type: "text", maxlength: 200, autocomplete: "off", placeholder: camera?.login ? "unchanged" : "" });
    const password = h("input", { type: "password", maxlength: 1000, autocomplete: "new-password", placeholder: camera?.login ? "unchanged" : "" });
    const model = h("select", {}, h("option", { value: "", text: "default" }), settings.models.map((one) => h("option", { value: one, text: one })));
    const [first, ...others] = start.models?.length ? start.models : [start.model];
    model.value = first;
    const further = settings.models.map((one) => h("input", { type: "checkbox", value: one, checked: others.includes(one) }));
    const also = h("details", { class: "field wide", open: others.length > 0 }, h("summary", { text: "More models on this camera" }),
      h("div", { class: "checks", role: "group", "aria-label": "More models" }, further.map((box) => h("label", {}, box, ` ${box.value}`))),
      h("span", { class: "hint", text: "They run in one pass, and do what they have in common once." }));
    const perPerson = selectOf(PER_PERSON, camera?.per_person ?? "default"), privacy = selectOf(PRIVACY, camera?.privacy ?? "");
    const count = h("input", { type: "checkbox", checked: camera?.count ?? false, "aria-describedby": id("count-hint") });
    const repeats = h("div", { class: "field wide" }, h("div", { class: "checks" }, h("label", {}, count, " Count any motion that repeats")),
      h("span", { class: "hint", id: id("count-hint"), text: "In the whole image, and of each person who is followed. Models that count do so anyway." }));
    const region = regionEditor(start.region), places = placesEditor(camera), thresholds = camera ? thresholdsEditor(camera) : null;
    const wrong = h("p", { class: "wrong", role: "alert" });
    const tried = h("span", { class: "soft", role: "status" });
    const tryIt = h("button", { type: "button", class: "button", text: "Test address", onclick: () => disabledWhile(tryIt, attempt) });
    const find = camera ? null : h("button", { type: "button", class: "button", text: "Find cameras", onclick: () => findCamera(takeFound) });
    const save = h("button", { type: "submit", class: "primary", text: camera ? "Save" : "Add" });
    const dialog = h("dialog", { "aria-labelledby": "edit-title" }, h("form", { class: "sheet", method: "dialog", novalidate: true, onsubmit: submit },
      h("header", {}, h("h2", { id: "edit-title", text: camera ? camera.name : "New camera" }),
        closeButton(() => dialog.close())),
      h("div", { class: "form" }, field("name", "Name", name), field("model", "Model", model),
        also,
        field("person", "Judge each person", perPerson, "By models on keypoints: webcam, fall, workout."),
        field("privacy", "Kept images of events", privacy),
        repeats,
        field("address", "Address", address, "rtsp://, rtsps://, http://, https:// or rtmp://", true),
        field("user", "User", user), field("password", "Password", password, "Stored in a private file; never shown again.")),
      h("div", { class: "row" }, find ?? "", tryIt, tried),
      region.element, places.element, thresholds?.element, wrong,
      h("div", { class: "row" }, h("button", { type: "button", class: "button", text: "Cancel", onclick: () => dialog.close() }), save)));

    function change() {
      const login = user.value || password.value ? "new" : "keep";
      const more = further.filter((box) => box.checked && box.value !== model.value).map((box) => box.value);
      const models = camera?.models || more.length ? (more.length || model.value ? [model.value, ...more] : []) : null;
      const same = camera?.models && !camera.models.length && !model.value && !more.length; // those of the defaults
      const chosen = thresholds ? thresholds.values(models) : { thresholds: start.thresholds };
      return { ...start, name: name.value, address: address.value, login, user: user.value, password: password.value, model: model.value, models: same ? null : models, per_person: perPerson.value, privacy: privacy.value, count: count.checked, region: region.region(), ...places.values(), ...chosen };
    }

    /** Takes a stream that was found, and shows a still of it. */
    function takeFound(found) {
      address.value = found.address;
      user.value = found.user;
      password.value = found.password;
      if (!name.value) name.value = found.name.slice(0, 60);
      disabledWhile(tryIt, attempt);
    }

    function showStill(url) { region.show(url); places.show(url); }

    async function attempt() {
      wrong.textContent = "";
      setText(tried, "Opening …");
      try {
        showStill(await askImage("/api/v1/settings/try", { camera: camera?.name ?? null, change: change() }));
        setText(tried, "The address works.");
      } catch (error) {
        setText(tried, "");
        wrong.textContent = error.message;
      }
    }

    async function submit(event) {
      event.preventDefault();
      wrong.textContent = await disabledWhile(save, () => put(camera?.name ?? null, change())) ?? "";
      if (!wrong.textContent) dialog.close();
    }

    dialog.addEventListener("close", () => { region.forget(); thresholds?.forget(); });
    openDialog(dialog);
    name.focus();
    if (camera) {
      askImage(`/api/v1/settings/whole?camera=${encodeURIComponent(camera.name)}`).then(showStill, () => null);
      thresholds.fill();
    }
  }

  await load();
  const wanted = decodeURIComponent(location.hash.split("/")[2] ?? "");
  const given = settings?.cameras.find((camera) => camera.name === wanted);
  if (given) edit(given);
  return { update: () => settings && show(), leave: () => { left = true; document.querySelectorAll("dialog").forEach((dialog) => dialog.close()); } };
}

/** The editor of a watched region: drawn, moved and resized by mouse, finger or arrow keys. */
function regionEditor(start) {
  let region = start ? [...start] : null, url = null;
  const image = h("img", { alt: "Camera image", draggable: "false" });
  const box = h("div", { class: "box", tabindex: 0, role: "group", "aria-label": "Watched region. Arrow keys move it; with Shift they resize it.", hidden: true });
  const stage = h("div", { class: "draw" }, h("span", { text: "Test the address to see an image." }));
  const all = h("button", { type: "button", class: "button", text: "Whole image", onclick: () => { region = null; place(); } });
  const some = h("button", { type: "button", class: "button", text: "Select a region", onclick: () => { region = [0.2, 0.2, 0.6, 0.6]; place(); box.focus(); } });
  const note = h("span", { class: "soft", role: "status" });
  const element = h("fieldset", {}, h("legend", { text: "Region" }), stage, h("div", { class: "row" }, some, all, note));
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function place() {
    box.hidden = region === null;
    all.hidden = region === null;
    some.hidden = region !== null;
    setText(note, region === null ? "The whole image. Draw a rectangle to watch a region." : `${Math.round(100 * region[2])} × ${Math.round(100 * region[3])} % of the image: only this region is processed.`);
    if (region) ["left", "top", "width", "height"].forEach((side, n) => { box.style[side] = `${100 * region[n]}%`; });
  }

  const at = (event) => {
    const frame = stage.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width, 0, 1), clamp((event.clientY - frame.top) / frame.height, 0, 1)];
  };

  stage.addEventListener("pointerdown", (down) => {
    if (!image.isConnected || down.button !== 0) return;
    down.preventDefault();
    stage.setPointerCapture(down.pointerId);
    const [x, y] = at(down), inside = down.target === box, frame = box.getBoundingClientRect();
    const corner = inside && down.clientX > frame.right - 22 && down.clientY > frame.bottom - 22;
    const before = region ? [...region] : null;
    const move = (event) => {
      const [nx, ny] = at(event);
      if (corner) region = [before[0], before[1], clamp(nx - before[0], 0.05, 1 - before[0]), clamp(ny - before[1], 0.05, 1 - before[1])];
      else if (inside) region = [clamp(before[0] + nx - x, 0, 1 - before[2]), clamp(before[1] + ny - y, 0, 1 - before[3]), before[2], before[3]];
      else if (Math.abs(nx - x) > 0.02 && Math.abs(ny - y) > 0.02) region = [Math.min(x, nx), Math.min(y, ny), Math.max(0.05, Math.abs(nx - x)), Math.max(0.05, Math.abs(ny - y))];
      place();
    };
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", () => stage.removeEventListener("pointermove", move), { once: true });
    stage.addEventListener("pointercancel", () => stage.removeEventListener("pointermove", move), { once: true });
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.01, 0], ArrowRight: [0.01, 0], ArrowUp: [0, -0.01], ArrowDown: [0, 0.01] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [left, top, width, height] = region;
    region = event.shiftKey ? [left, top, clamp(width + step[0], 0.05, 1 - left), clamp(height + step[1], 0.05, 1 - top)]
      : [clamp(left + step[0], 0, 1 - width), clamp(top + step[1], 0, 1 - height), width, height];
    place();
  });

  function forget() { if (url) URL.revokeObjectURL(url); url = null; }
  place();
  return {
    element, forget,
    region: () => region?.map((part) => Math.round(10_000 * part) / 10_000) ?? null,
    show(given) { forget(); url = given; image.src = url; stage.replaceChildren(image, box); },
  };
}

/** The name under which a model reports: of a file, without folder and ending. */
const reportedAs = (model) => (/\.(safetensors|onnx)$/.test(model) ? model.replace(/^.*\//, "").replace(/\.\w+$/, "") : model);

/** The thresholds of a camera: of the only model, or of each of several, one at a time. */
function thresholdsEditor(camera) {
  if (!camera.by_model) {
    const one = thresholdEditor(camera, camera);
    return { ...one, values: () => ({ thresholds: one.values() }) };
  }
  const editors = camera.by_model.map((own) => ({ model: own.model, ...thresholdEditor(camera, own) }));
  const of = h("select", { id: "edit-thresholds-of", onchange: show }, editors.map((one) => h("option", { value: one.model, text: one.model })));
  const element = h("div", {}, h("div", { class: "field" }, h("label", { for: of.id, text: "Thresholds of" }), of), editors.map((one) => one.element));

  function show() {
    for (const one of editors) one.element.hidden = one.model !== of.value;
    return editors.find((one) => one.model === of.value).fill();
  }

  return {
    element,
    fill: show,
    /** Of those that still watch: `models` as they were chosen. */
    values(models) {
      const left = models?.length && !models.includes("") ? models.map(reportedAs) : null;
      return { by_model: Object.fromEntries(editors.filter((one) => !left || left.includes(one.model)).map((one) => [one.model, one.values()])) };
    },
    forget: () => editors.forEach((one) => one.forget()),
  };
}

let editors = 0; // of thresholds, so far: their sliders have ids of their own

/** Sliders of the thresholds of one model, and a preview of their events in the last hour. */
function thresholdEditor(camera, own) {
  const values = { ...own.thresholds }, place = own.model && own !== camera ? `-${++editors}` : "";
  const canvas = h("canvas", { class: "curve", role: "img", "aria-label": "The scores of the last hour" });
  const note = h("p", { class: "soft", role: "status" });
  let timer = null, last = null;
  const rows = Object.keys(THRESHOLDS).filter((key) => key in values).map((key) => {
    const [text, hint, low, high, step] = THRESHOLDS[key];
    const output = h("output", { for: `at-${key}${place}`, text: shownValue(key, values[key]) });
    const slider = h("input", { id: `at-${key}${place}`, type: "range", min: low, max: high, step, value: values[key], oninput: () => {
      values[key] = Number(slider.value);
      if (key === "enter" && values.leave > values.enter) set("leave", values.enter);
      if (key === "leave" && values.enter < values.leave) set("enter", values.leave);
      setText(output, shownValue(key, values[key]));
      soon();
    } });
    return { key, slider, output, element: h("div", { class: "field" }, h("label", { for: `at-${key}${place}` }, `${text} `, output), slider, h("span", { class: "hint", text: hint })) };
  });
  const reset = h("button", { type: "button", class: "button", text: "Reset to the model's values", onclick: () => { for (const { key } of rows) set(key, own.model_thresholds[key]); soon(); } });
  const element = h("fieldset", {}, h("legend", { text: "Event thresholds" }), canvas, note, h("div", { class: "form" }, rows.map((row) => row.element)), h("div", { class: "row" }, reset));

  function set(key, value) {
    const row = rows.find((one) => one.key === key);
    values[key] = value;
    row.slider.value = value;
    setText(row.output, shownValue(key, value));
  }

  function soon() { draw(); clearTimeout(timer); timer = setTimeout(fill, 250); }

  async function fill() {
    try {
      last = await ask("/api/v1/settings/preview", { method: "POST", body: { camera: camera.name, thresholds: values, ...(own !== camera ? { model: own.model } : {}) } });
      const counts = {};
      for (const event of last.events) counts[event.label] = (counts[event.label] ?? 0) + 1;
      const list = Object.entries(counts).map(([label, count]) => `${count} × ${label}`).join(", ");
      setText(note, last.seconds < 1 ? "No scores yet." : `In the last ${duration(last.seconds)} these thresholds would have reported: ${list || "nothing"}.`);
      draw();
    } catch (error) {
      if (error.status === 429) { timer = setTimeout(fill, 400); return; }
      setText(note, error.status === 404 ? "No scores of this camera yet." : error.message);
    }
  }

  function draw() {
    const ratio = Math.min(2, devicePixelRatio || 1), width = (canvas.width = canvas.clientWidth * ratio), height = (canvas.height = canvas.clientHeight * ratio);
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas), colour = (label) => style.getPropertyValue(colourOf(label).slice(4, -1));
    const y = (score) => height - 6 * ratio - score * (height - 12 * ratio);
    for (const event of last?.events ?? []) {
      pen.globalAlpha = 0.28;
      pen.fillStyle = colour(event.label);
      const from = width * (1 + event.from / last.seconds), to = width * (1 + event.to / last.seconds);
      pen.fillRect(from, 0, Math.max(2 * ratio, to - from), height);
    }
    pen.globalAlpha = 1;
    for (const { label, points } of last?.curves ?? []) {
      pen.strokeStyle = colour(label);
      pen.lineWidth = 1.4 * ratio;
      pen.beginPath();
      points.forEach((score, n) => pen[n ? "lineTo" : "moveTo"]((width * n) / (points.length - 1), y(score)));
      pen.stroke();
    }
    pen.setLineDash([5 * ratio, 4 * ratio]);
    for (const key of ["enter", "leave"]) {
      pen.strokeStyle = style.getPropertyValue(key === "enter" ? "--ink" : "--soft");
      pen.beginPath();
      pen.moveTo(0, y(values[key]));
      pen.lineTo(width, y(values[key]));
      pen.stroke();
    }
  }

  return {
    element, fill,
    values: () => Object.fromEntries(Object.entries(values).filter(([key, value]) => value !== own.model_thresholds[key])),
    forget: () => clearTimeout(timer),
  };
}
