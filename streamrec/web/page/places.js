// Zones and lines of a camera: drawn over its live image, and edited over its still by mouse, finger or keyboard.

import { cross, h, setText } from "./dom.js";

const KINDS = { name: "Name a place", watch: "Watch it, the rest is grey", exclude: "Leave it out, grey" };
const REPORTS = { people: "report people", motion: "report motion" };
const kindOf = (zone) => (zone.exclude ? "exclude" : zone.mask ? "watch" : "name");
const clamp = (value) => Math.min(1, Math.max(0, value));
const round = (value) => Math.round(10_000 * value) / 10_000;
const COLOURS = 7;

const middleOf = (points) => [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
const pointsOf = (points, width, height) => points.map(([x, y]) => `${x * width},${y * height}`).join(" ");

/** Which way is forward: a point beside the middle of a line, on the right of the way from its first end to the second. */
function ahead([[x1, y1], [x2, y2]], width, height, far) {
  const across = [(x2 - x1) * width, (y2 - y1) * height], length = Math.hypot(...across) || 1;
  return [-across[1] / length * far, across[0] / length * far];
}

/** An arrow through the middle of a line, in the direction that is forward. */
function arrow(ends, width, height, size) {
  const [x, y] = middleOf(ends), [dx, dy] = ahead(ends, width, height, size);
  const from = [x * width - dx * 0.4, y * height - dy * 0.4], to = [x * width + dx, y * height + dy];
  const wing = (turn) => [to[0] - dx * 0.45 + turn * dy * 0.35, to[1] - dy * 0.45 - turn * dx * 0.35].join(",");
  return h("polyline", { class: "arrow", points: `${from.join(",")} ${to.join(",")} ${wing(1)} ${to.join(",")} ${wing(-1)}` });
}

/** An overlay for the live image, which fill(camera) keeps as the camera has it. */
export function makePlaces() {
  const element = h("svg", { class: "places", "aria-hidden": "true" });
  let shown = "";
  return {
    element,
    fill(camera) {
      const { zones = [], lines = [], width, height } = camera;
      const key = zones.length || lines.length ? JSON.stringify([zones, lines, width, height]) : "";
      if (key === shown) return;
      shown = key;
      if (!width) { element.replaceChildren(); return; }
      element.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const size = Math.max(width, height) / 52;
      const name = (text, [x, y]) => h("text", { x: x * width, y: y * height, "font-size": size, "text-anchor": "middle", text });
      element.replaceChildren(
        ...zones.map((zone) => h("polygon", { class: kindOf(zone), points: pointsOf(zone.corners, width, height) })),
        ...lines.flatMap((line) => [h("polyline", { class: "line", points: pointsOf(line.ends, width, height) }), arrow(line.ends, width, height, size)]),
        ...zones.map((zone) => name(zone.name, middleOf(zone.corners))),
        ...lines.map((line) => { const [x, y] = middleOf(line.ends), [dx, dy] = ahead(line.ends, width, height, -1.8 * size); return name(line.name, [x + dx / width, y + dy / height + size / 3 / height]); }));
    },
  };
}

/** The editor of a camera's zones and lines: `start` is the camera as the settings have it, or null. */
export function placesEditor(start) {
  const zones = (start?.zones ?? []).map((zone) => ({ name: zone.name, points: zone.corners.map((point) => [...point]), kind: kindOf(zone), report: [...(zone.report ?? [])], watched: !start.only || start.only.includes(zone.name) }));
  const lines = (start?.lines ?? []).map((line) => ({ name: line.name, points: line.ends.map((point) => [...point]), forward: line.forward, back: line.back }));
  let chosen = null, drawing = null, size = [16, 9], changed = false;
  const image = h("img", { alt: "Still of the camera", draggable: "false" });
  const shapes = h("svg", { class: "shapes", viewBox: "0 0 1600 900", preserveAspectRatio: "none", "aria-hidden": "true" });
  const handles = h("div", { class: "handles" });
  const stage = h("div", { class: "draw places-stage" }, h("span", { text: "Test the address to see an image." }));
  const note = h("p", { class: "hint", role: "status" });
  const list = h("div", { class: "places-list" });
  const addZone = h("button", { type: "button", class: "button", text: "Add a zone", onclick: (event) => begin("zone", event.detail === 0) });
  const addLine = h("button", { type: "button", class: "button", text: "Add a line", onclick: (event) => begin("line", event.detail === 0) });
  const element = h("fieldset", { class: "places-editor" }, h("legend", { text: "Zones and lines" }), stage, h("div", { class: "row" }, addZone, addLine, note), list);
  const all = () => [...zones, ...lines];
  const isLine = (one) => lines.includes(one);
  const colour = (one) => `var(--label-${all().indexOf(one) % COLOURS})`;
  const freeName = (word, taken) => { let n = 1; while (taken.some((one) => one.name === `${word} ${n}`)) n += 1; return `${word} ${n}`; };

  // -- adding

  /** By keyboard a shape is put into the middle; by mouse its corners are clicked. */
  function begin(kind, byKey) {
    const made = kind === "zone" ? { name: freeName("zone", zones), points: [], kind: "name", report: [], watched: true } : { name: freeName("line", lines), points: [], forward: "in", back: "out" };
    if (!byKey && image.isConnected) {
      drawing = { kind, made };
      chosen = null;
      draw();
      return;
    }
    made.points = kind === "zone" ? [[0.35, 0.35], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]] : [[0.35, 0.6], [0.65, 0.6]];
    finish(kind, made, true);
  }

  function finish(kind, made, focus) {
    drawing = null;
    (kind === "zone" ? zones : lines).push(made);
    changed = true;
    chosen = made;
    fill();
    draw();
    if (focus && image.isConnected) handles.querySelector(".corner")?.focus();
    else list.querySelector("[data-chosen] input")?.select();
  }

  function cancel() { drawing = null; draw(); }

  function clicked(point) {
    const { kind, made } = drawing, first = made.points[0];
    const closes = kind === "zone" && made.points.length >= 3 && Math.hypot((point[0] - first[0]) * size[0], (point[1] - first[1]) * size[1]) < 0.03 * size[0];
    if (closes) { finish(kind, made, false); return; }
    if (made.points.length < 64) made.points.push(point);
    if (kind === "line" && made.points.length === 2) finish(kind, made, false);
    else draw();
  }

  // -- changing

  function touch() { changed = true; draw(); }
  function choose(one) { if (chosen !== one) { chosen = one; mark(); draw(); } }
  function remove(one) {
    const from = isLine(one) ? lines : zones;
    from.splice(from.indexOf(one), 1);
    if (chosen === one) chosen = null;
    changed = true;
    fill();
    draw();
    addZone.focus();
  }
  function addCorner(one, after) {
    if (isLine(one) || one.points.length >= 64) return;
    const next = one.points[(after + 1) % one.points.length], [x, y] = one.points[after];
    one.points.splice(after + 1, 0, [(x + next[0]) / 2, (y + next[1]) / 2]);
    touch();
    handles.querySelectorAll(".corner")[after + 1].focus();
  }
  function removeCorner(one, at) {
    if (isLine(one) || one.points.length <= 3) { setText(note, isLine(one) ? "A line has two ends." : "A zone has three corners at least."); return; }
    one.points.splice(at, 1);
    touch();
    handles.querySelectorAll(".corner")[Math.min(at, one.points.length - 1)].focus();
  }
  function shift(one, [dx, dy], from = one.points) {
    const low = [0, 1].map((axis) => Math.min(...from.map((point) => point[axis]))), high = [0, 1].map((axis) => Math.max(...from.map((point) => point[axis])));
    const by = [dx, dy].map((value, axis) => Math.min(1 - high[axis], Math.max(-low[axis], value)));
    one.points = from.map(([x, y]) => [x + by[0], y + by[1]]);
    touch();
  }

  // -- drawing

  function draw() {
    const points = (one) => pointsOf(one.points, 1600, 900);
    const shape = (one) => {
      const keys = { class: `${isLine(one) ? "line" : one.kind}${one === chosen ? " chosen" : ""}`, points: points(one), style: { "--now": colour(one) }, dataset: { place: all().indexOf(one) } };
      return h(isLine(one) ? "polyline" : "polygon", keys);
    };
    const open = drawing?.made.points.length ? [h("polyline", { class: "open", points: points(drawing.made) })] : [];
    shapes.replaceChildren(...all().map(shape), ...open);
    setText(note, drawing ? (drawing.kind === "line" ? "Click both ends of the line. Esc cancels." : `Click the corners${drawing.made.points.length >= 3 ? "; the first again, or Enter, closes the zone" : ""}. Esc cancels.`)
      : chosen ? "Drag corners, or move them with the arrow keys. Enter adds a corner, Delete removes one." : all().length ? "Select a zone or a line to change it." : "Events say in which zone they began; people who cross a line are events.");
    const focused = [...handles.children].indexOf(document.activeElement);
    const at = ([x, y]) => ({ left: `${100 * x}%`, top: `${100 * y}%`, "--now": chosen ? colour(chosen) : "#fff" });
    const dots = drawing ? drawing.made.points.map((point) => h("i", { class: "dot-open", style: at(point) })) : [];
    const corners = !chosen ? [] : chosen.points.map((point, n) => h("button", {
      type: "button", class: "corner", style: at(point), dataset: { corner: n }, "aria-label": `${chosen.name}, ${isLine(chosen) ? `end ${n + 1} of 2` : `corner ${n + 1} of ${chosen.points.length}`}`, onkeydown: (event) => key(event, n) }));
    const between = !chosen || isLine(chosen) ? [] : chosen.points.map((point, n) => h("button", {
      type: "button", class: "between", tabindex: -1, "aria-hidden": "true", title: "Add a corner", style: at(middleOf([point, chosen.points[(n + 1) % chosen.points.length]])), dataset: { between: n } }));
    // Corners that are there stay: one that is dragged or has the focus must not be replaced.
    const kept = [...handles.children], wanted = [...corners, ...between, ...dots];
    if (kept.length === wanted.length && kept.every((one, n) => one.className === wanted[n].className && one.getAttribute("aria-label") === wanted[n].getAttribute("aria-label"))) wanted.forEach((one, n) => { kept[n].style.cssText = one.style.cssText; });
    else {
      handles.replaceChildren(...wanted);
      if (focused >= 0) handles.children[Math.min(focused, corners.length - 1)]?.focus();
    }
    if (chosen && !drawing && isLine(chosen)) shapes.append(arrow(chosen.points, 1600, 900, 60));
  }

  function key(event, n) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], far = event.shiftKey ? 0.05 : 0.01;
    if (step && event.altKey) shift(chosen, step.map((part) => part * far));
    else if (step) { chosen.points[n] = chosen.points[n].map((value, axis) => clamp(value + step[axis] * far)); touch(); }
    else if (event.key === "Enter" || event.key === "Insert") addCorner(chosen, n);
    else if (event.key === "Delete" || event.key === "Backspace") removeCorner(chosen, n);
    else return;
    event.preventDefault();
  }

  const at = (event) => {
    const frame = stage.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width), clamp((event.clientY - frame.top) / frame.height)];
  };
  stage.addEventListener("pointerdown", (down) => {
    if (!image.isConnected || down.button !== 0) return;
    if (drawing) { down.preventDefault(); clicked(at(down)); return; }
    const { corner, between, place } = down.target.dataset;
    if (between !== undefined) { down.preventDefault(); addCorner(chosen, Number(between)); return; }
    const one = corner !== undefined ? chosen : place !== undefined ? all()[Number(place)] : null;
    choose(one);
    if (!one) return;
    down.preventDefault();
    const handle = corner === undefined ? null : handles.querySelectorAll(".corner")[Number(corner)];
    handle?.focus();
    stage.setPointerCapture(down.pointerId);
    const [x, y] = at(down), from = one.points.map((point) => [...point]);
    const move = (event) => {
      const [nx, ny] = at(event);
      if (handle) { one.points[Number(corner)] = [nx, ny]; touch(); }
      else if (Math.hypot(nx - x, ny - y) > 0.004) shift(one, [nx - x, ny - y], from);
    };
    const end = () => stage.removeEventListener("pointermove", move);
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", end, { once: true });
    stage.addEventListener("pointercancel", end, { once: true });
  });
  stage.addEventListener("dblclick", (event) => {
    const { corner } = document.elementFromPoint(event.clientX, event.clientY)?.dataset ?? {}; // the stage has the pointer
    if (corner !== undefined && chosen) removeCorner(chosen, Number(corner));
  });
  element.addEventListener("keydown", (event) => {
    if (!drawing || !["Escape", "Enter"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter" && drawing.kind === "zone" && drawing.made.points.length >= 3) finish(drawing.kind, drawing.made, false);
    else if (event.key === "Escape") cancel();
  });

  // -- the list

  function mark() {
    for (const row of list.children) { if (all()[Number(row.dataset.place)] === chosen) row.dataset.chosen = ""; else delete row.dataset.chosen; }
  }

  function fill() {
    const several = () => zones.filter((zone) => zone.kind === "watch").length > 1;
    list.replaceChildren(...all().map((one, n) => {
      const input = (value, label, set, width) => h("input", { type: "text", value, maxlength: 60, "aria-label": label, autocomplete: "off", style: { width }, oninput: (event) => { set(event.target.value); changed = true; }, onfocus: () => choose(one) });
      const name = input(one.name, isLine(one) ? "Name of the line" : "Name of the zone", (value) => { one.name = value; }, "11em");
      const more = isLine(one)
        ? [input(one.forward, "Forward is called", (value) => { one.forward = value; }, "6em"), input(one.back, "Back is called", (value) => { one.back = value; }, "6em"),
          h("button", { type: "button", class: "button", text: "Turn round", onclick: () => { one.points.reverse(); choose(one); touch(); } })]
        : [h("select", { "aria-label": `What ${one.name} does`, onfocus: () => choose(one), onchange: (event) => { one.kind = event.target.value; changed = true; fill(); draw(); list.children[n].querySelector("select").focus(); } }, Object.entries(KINDS).map(([value, text]) => h("option", { value, text, selected: value === one.kind }))),
          ...(one.kind === "exclude" ? [] : Object.entries(REPORTS).map(([what, text]) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: one.report.includes(what), onchange: (event) => { one.report = Object.keys(REPORTS).filter((key) => (key === what ? event.target.checked : one.report.includes(key))); changed = true; } }), ` ${text}`))),
          ...(one.kind === "watch" && several() ? [h("label", { class: "check" }, h("input", { type: "checkbox", checked: one.watched, onchange: (event) => { one.watched = event.target.checked; changed = true; } }), " watched now")] : [])];
      return h("div", { class: "row place", dataset: { place: n, ...(one === chosen ? { chosen: "" } : {}) }, style: { "--now": colour(one) } },
        h("span", { class: "swatch", "aria-hidden": "true" }), name, ...more,
        h("button", { type: "button", class: "icon", "aria-label": `Remove ${one.name}`, onclick: () => remove(one) }, cross()));
    }));
  }

  fill();
  draw();
  return {
    element,
    /** What is to be saved; nothing where nothing was changed. */
    values() {
      if (!changed) return {};
      const rounded = (points) => points.map((point) => point.map(round));
      const watched = zones.filter((zone) => zone.kind === "watch");
      const only = watched.length > 1 && watched.some((zone) => zone.watched) && !watched.every((zone) => zone.watched) ? watched.filter((zone) => zone.watched).map((zone) => zone.name) : null;
      return {
        zones: zones.map((zone) => ({ name: zone.name.trim(), corners: rounded(zone.points), exclude: zone.kind === "exclude", mask: zone.kind !== "name", report: zone.kind === "exclude" ? [] : zone.report })),
        only,
        lines: lines.map((line) => ({ name: line.name.trim(), ends: rounded(line.points), forward: line.forward.trim(), back: line.back.trim() })),
      };
    },
    show(url) {
      image.onload = () => { size = [image.naturalWidth, image.naturalHeight]; draw(); };
      image.src = url;
      stage.replaceChildren(image, shapes, handles);
      draw();
    },
  };
}
