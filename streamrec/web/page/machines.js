// The machines of a fleet: their load and cameras, since when one is silent or lost, and moves of what runs on them.

import { ask, closeButton, counted, dayOf, duration, h, openDialog, percent, secondsSince, setText, timeOf } from "./dom.js";

const STATES = { alive: "running", draining: "drained", silent: "silent", dead: "lost" };
const DOTS = { alive: "live", draining: "ended", silent: "stalled", dead: "failed" };
export const stateOfMachine = (machine) => STATES[machine.state] ?? machine.state;

const cores = (number) => (Math.round(10 * number) / 10).toLocaleString("en-GB");
const shed = (part) => (part > 0 && part < 0.01 ? `${(100 * part).toFixed(1)} %` : percent(part));
const memory = (bytes) => (bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

/** When something began, and for how long it has been so. */
function since(iso) {
  const day = dayOf(iso), seconds = Math.round(secondsSince(iso));
  return `since ${day === "Today" ? "" : `${day}, `}${timeOf(iso)} (${(seconds < 10 ? `${seconds} s` : duration(seconds)).replaceAll(" ", "\u00a0")})`;
}

/** How a machine is, as a sentence. */
function sentenceOf(machine) {
  const when = machine.since ? ` ${since(machine.since)}` : "";
  if (machine.state === "dead") return `Nothing comes from it${when}.${machine.cameras ? ` Other machines will go on with its ${counted(machine.cameras, "camera")}.` : ""}`;
  if (machine.state === "silent") return `Nothing comes from it${when}.`;
  if (machine.state === "draining") return machine.cameras ? `${counted(machine.cameras, "camera")} will move to other machines.` : "Nothing runs on it: it can be switched off.";
  return `Runs${when}.${machine.cores ? "" : ` No cameras run on it${machine.is_head ? ": it has the history and this page" : ""}.`}`;
}

/** How the machines are, in one line; null while that is not known. */
export function summaryOfMachines(fleet) {
  if (!fleet) return null;
  const named = (state) => fleet.machines.filter((machine) => machine.state === state).map((machine) => machine.name);
  const lost = named("dead"), silent = named("silent");
  if (lost.length) return lost.length === 1 ? `${lost[0]} is lost` : `${lost.length} machines are lost`;
  return silent.length ? (silent.length === 1 ? `${silent[0]} is silent` : `${silent.length} machines are silent`) : null;
}

/** What changed from one state of the fleet to the next, in words. */
export function changesOfMachines(before, after) {
  const states = new Map(before.machines.map((machine) => [machine.name, machine.state]));
  const news = [];
  for (const { name, state } of after.machines) {
    const was = states.get(name);
    if (was === state) continue;
    if (state === "dead") news.push(`${name} is lost`);
    else if (state === "silent") news.push(`${name} is silent: nothing comes from it`);
    else if (state === "draining") news.push(`${name} is drained`);
    else news.push(was ? `${name} is back` : `${name} has joined`);
  }
  const now = new Set(after.machines.map((machine) => machine.name));
  for (const name of states.keys()) if (!now.has(name)) news.push(`${name} has left`);
  return news;
}

function makeCard(name, onDrain, mayMove) {
  const dot = h("span", { class: "dot" }), state = h("span", { class: "state" }), about = h("p", { class: "soft about" }), sentence = h("p");
  const facts = ["Load", "Cameras", "Shed frames", "Memory"].map((key) => [h("dt", { text: key }), h("dd")]);
  facts[2][1].title = "Of the frames that were due in the last minute, the share that was dropped because the machine was too slow";
  const figures = h("dl", { class: "facts" }, facts.flat());
  const meter = h("div", { class: "meter", role: "meter", "aria-label": "Load", "aria-valuemin": 0 });
  const title = h("summary"), links = h("ul", { class: "links" }), cameras = h("details", {}, title, links);
  const drain = h("button", { type: "button", class: "button", text: "Drain", "aria-label": `Drain ${name}`, onclick: () => onDrain(name) });
  const row = h("div", { class: "row" }, cameras, h("span", { class: "right" }, drain));
  const element = h("section", { class: "panel machine", "aria-label": name, dataset: { machine: name } },
    h("div", { class: "title" }, dot, h("h2", {}, h("bdi", { text: name })), state), about, sentence, meter,
    figures, row);
  let shown = "";

  function update(machine, names, head) {
    element.dataset.state = machine.state;
    dot.dataset.state = DOTS[machine.state] ?? "stalled";
    setText(state, stateOfMachine(machine));
    const other = machine.version && head && machine.version !== head.version ? " (another one than the head's)" : "";
    setText(about, [machine.is_head ? "head" : null, machine.address, machine.version ? `streamrec ${machine.version}${other}` : null].filter(Boolean).join(" · "));
    setText(sentence, sentenceOf(machine));
    const most = Math.max(machine.cores, machine.load, 0.001);
    meter.hidden = figures.hidden = !machine.cores || machine.state === "dead";
    meter.setAttribute("aria-valuemax", most.toFixed(1));
    meter.setAttribute("aria-valuenow", machine.load.toFixed(1));
    meter.setAttribute("aria-valuetext", `${cores(machine.load)} of ${cores(machine.cores)} cores`);
    meter.style.setProperty("--part", machine.load / most);
    const values = [`${cores(machine.load)} of ${cores(machine.cores)} cores`, String(machine.cameras), shed(machine.shed), memory(machine.memory)];
    values.forEach((value, n) => setText(facts[n][1], value));
    facts[2][1].classList.toggle("alarm", machine.shed >= 0.01);
    cameras.hidden = !names.length;
    setText(title, `Show ${counted(names.length, "camera")}`);
    if (shown !== names.join("\n")) {
      shown = names.join("\n");
      links.replaceChildren(...names.map((one) => h("li", {}, h("a", { href: `#/camera/${encodeURIComponent(one)}` }, h("bdi", { text: one })))));
    }
    drain.hidden = !mayMove || !machine.cores || !["alive", "silent"].includes(machine.state);
    row.hidden = !names.length && drain.hidden;
  }
  return { element, update };
}

export function machinesView(page, main) {
  const cards = new Map(), mayMove = page.session.role === "admin";
  const summary = h("p", { class: "soft" }), wrong = h("p", { class: "wrong", role: "alert", hidden: true }), waiting = h("p", { class: "panel waits", role: "status", hidden: true });
  const list = h("div", { class: "machines" }), empty = h("p", { class: "empty", text: "The head has not reported its machines yet." });
  const rebalance = h("button", { type: "button", class: "button", text: "Rebalance", title: "Spread the cameras evenly over the machines", onclick: () => move("rebalance", {}) });
  main.append(h("div", { class: "head" }, h("h1", { text: "Machines" }), summary, h("div", { class: "right" }, rebalance)), wrong, waiting, list, empty);

  async function move(what, body) {
    wrong.hidden = true;
    rebalance.disabled = true;
    try {
      page.toast((await ask(`/api/v1/fleet/${what}`, { method: "POST", body })).message);
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
    rebalance.disabled = false;
  }

  function drain(name) {
    const machine = page.live.fleet.machines.find((one) => one.name === name);
    const dialog = h("dialog", { class: "small", "aria-labelledby": "drain-title" }, h("div", { class: "sheet" },
      h("header", {}, h("h2", { id: "drain-title", text: `Drain ${name}?` }), closeButton(() => dialog.close())),
      h("p", { class: "soft", text: `${machine?.cameras ? `Its ${counted(machine.cameras, "camera")} will move to other machines, where they go on from what they remember.` : "Nothing runs on it now."} No event is lost. It gets no cameras from then on.` }),
      h("div", { class: "row" },
        h("button", { type: "button", class: "button", text: "Cancel", autofocus: true, onclick: () => dialog.close() }),
        h("button", { type: "button", class: "button danger", text: "Drain machine", onclick: () => { dialog.close(); move("drain", { machine: name }); } }))));
    openDialog(dialog, () => rebalance);
  }

  function update() {
    const fleet = page.live.fleet;
    empty.hidden = Boolean(fleet);
    rebalance.hidden = !fleet || !mayMove;
    if (!fleet) return;
    const names = new Map();
    for (const camera of page.live.cameras) names.set(camera.machine, [...(names.get(camera.machine) ?? []), camera.name]);
    const well = fleet.machines.filter((machine) => ["alive", "draining"].includes(machine.state)).length, all = fleet.machines.length;
    setText(summary, `${well === all ? counted(all, "machine") : `${well} of ${counted(all, "machine")} running`} · ${counted(page.live.cameras.length, "camera")}`);
    const unplaced = fleet.groups.filter((group) => !group.machine).flatMap((group) => group.cameras);
    waiting.hidden = !unplaced.length;
    setText(waiting, unplaced.length ? `${counted(unplaced.length, "camera")} ${unplaced.length === 1 ? "waits" : "wait"} for a machine with room: ${unplaced.slice(0, 12).join(", ")}${unplaced.length > 12 ? " …" : ""}. Add a machine with: streamrec fleet join` : "");
    const present = new Set(fleet.machines.map((machine) => machine.name));
    for (const [name, card] of cards) if (!present.has(name)) { card.element.remove(); cards.delete(name); }
    const head = fleet.machines.find((machine) => machine.is_head);
    fleet.machines.forEach((machine, n) => {
      let card = cards.get(machine.name);
      if (!card) cards.set(machine.name, card = makeCard(machine.name, drain, mayMove));
      if (list.children[n] !== card.element) list.insertBefore(card.element, list.children[n] ?? null);
      card.update(machine, names.get(machine.name) ?? [], head);
    });
  }

  update();
  return { update, tick: update, leave: () => document.querySelectorAll("dialog").forEach((dialog) => dialog.close()) };
}
