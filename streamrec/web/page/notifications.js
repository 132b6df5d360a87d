// Notifications: the receivers of cameras.toml, what waits for them, and a test of each. For admins.

import { ask, counted, disabledWhile, h, setText } from "./dom.js";

/** What waits for a receiver, in words. */
function stateOf(receiver) {
  const parts = [receiver.waiting ? `${counted(receiver.waiting, "message")} waiting` : "nothing waits"];
  if (receiver.held) parts.push(`${receiver.held} held back, to be summed up`);
  return parts.join(" · ");
}

export async function notificationsView(page, main) {
  const problem = h("p", { class: "wrong", role: "alert" });
  const list = h("div", { class: "rows" });
  const shown = new Map(); // name: its row
  main.append(h("div", { class: "head" }, h("h1", { text: "Notifications" })),
    h("p", { class: "soft", text: "Receivers are set in cameras.toml. A test sends one notification, with a drawn picture, and shows what the receiver answers." }), problem, list);

  function rowOf(name) {
    const state = h("p", { class: "soft" }), answer = h("p", { class: "answer", role: "status" });
    const button = h("button", { type: "button", class: "button", text: "Send a test", "aria-label": `Send a test to ${name}`, onclick: () => disabledWhile(button, async () => {
      setText(answer, "Waiting for its answer …");
      delete answer.dataset.arrived;
      try {
        const trial = await ask("/api/v1/receivers/test", { method: "POST", body: { name } });
        answer.dataset.arrived = trial.arrived;
        setText(answer, `${trial.arrived ? "It arrived" : "It did not arrive"}: ${trial.answer}.`);
      } catch (error) {
        answer.dataset.arrived = false;
        setText(answer, `${error.message}.`);
      }
      load();
    }) });
    const element = h("section", { class: "panel user-row", "aria-label": name },
      h("div", {}, h("h3", { class: "name" }, h("bdi", { text: name })), state, answer), h("div", { class: "row" }, button));
    return { element, show: (receiver) => setText(state, stateOf(receiver)) };
  }

  async function load() {
    try {
      const { receivers } = await ask("/api/v1/receivers");
      for (const receiver of receivers) {
        if (!shown.has(receiver.name)) {
          shown.set(receiver.name, rowOf(receiver.name));
          list.append(shown.get(receiver.name).element);
        }
        shown.get(receiver.name).show(receiver);
      }
      setText(problem, "");
    } catch (error) {
      setText(problem, error.message);
    }
  }

  await load();
  let slow = 0;
  return { tick() { if (++slow % 20 === 0) load(); } };
}
