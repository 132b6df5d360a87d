// Users: who may see and change what, tokens of programs, and the audit log. For admins.

import { ask, closeButton, counted, dayOf, disabledWhile, h, openDialog, setText, timeOf } from "./dom.js";

const ROLES = { viewer: "viewer: sees, changes nothing", admin: "admin: sees and changes everything" };
const A_PAGE = 50;

/** What an account may do, in words. */
function mayOf(account) {
  const cameras = account.role === "admin" || !account.cameras ? "all cameras" : account.cameras.join(", ");
  const ends = account.expires ? `until ${new Date(account.expires).toLocaleDateString(undefined, { dateStyle: "long" })}` : null;
  return [account.role, cameras, ends].filter(Boolean).join(" · ");
}
const nameOf = (account) => account.name || (account.kind === "user" ? "password without a name" : `token without a name (${account.id})`);

/** A choice of role and cameras. */
function roleFields(page, account) {
  const role = h("select", { id: "user-role" }, Object.entries(ROLES).map(([value, text]) => h("option", { value, text })));
  role.value = account?.role ?? "viewer";
  const all = h("input", { type: "checkbox", checked: !account?.cameras });
  const names = [...new Set([...page.live.cameras.map((one) => one.name), ...(account?.cameras ?? [])])];
  const boxes = names.map((name) => h("input", { type: "checkbox", value: name, checked: account?.cameras?.includes(name) ?? false }));
  const some = h("div", { class: "checks" }, boxes.map((box) => h("label", {}, box, h("bdi", { text: box.value }))));
  const cameras = h("div", { class: "field wide", role: "group", "aria-label": "Cameras" }, h("span", { text: "Cameras" }),
    h("div", { class: "checks" }, h("label", {}, all, "All cameras, new ones too")), some);
  const follow = () => { cameras.hidden = role.value === "admin"; some.hidden = all.checked; };
  role.addEventListener("change", follow);
  all.addEventListener("change", follow);
  follow();
  return {
    fields: [h("div", { class: "field" }, h("label", { for: role.id, text: "Role" }), role), cameras],
    values: () => ({ role: role.value, cameras: role.value === "admin" || all.checked ? null : boxes.filter((box) => box.checked).map((box) => box.value) }),
  };
}

export async function usersView(page, main) {
  const problem = h("p", { class: "wrong", role: "alert" });
  const users = h("div", { class: "rows" }), tokens = h("div", { class: "rows" });
  const addUser = h("button", { type: "button", class: "primary", text: "Add a user", onclick: () => editUser(null) });
  const addToken = h("button", { type: "button", class: "button", text: "Add a token", onclick: () => newToken() });
  const log = auditPanel();
  main.append(h("div", { class: "head" }, h("h1", { text: "Users" }), h("div", { class: "right" }, addUser)), problem, users,
    h("div", { class: "head" }, h("h2", { text: "Tokens of programs" }), h("div", { class: "right" }, addToken)), tokens, log.element);

  function show(answer) {
    const rowsOf = (kind) => answer.accounts.filter((one) => one.kind === kind).map(rowOf);
    users.replaceChildren(...rowsOf("user"));
    tokens.replaceChildren(...rowsOf("token"));
    if (!tokens.childElementCount) tokens.append(h("p", { class: "soft", text: "No program has a token." }));
    if (!users.childElementCount) users.append(h("p", { class: "soft", text: "No user can log in; programs have tokens." }));
    log.load();
  }

  function rowOf(account) {
    const own = account.kind === "user" && account.name && account.name === page.session.name;
    return h("section", { class: "panel user-row", "aria-label": nameOf(account) },
      h("div", {}, h("h3", { class: "name" }, h("bdi", { text: nameOf(account) }), own ? h("span", { class: "soft", text: " · you" }) : null), h("p", { class: "soft", text: mayOf(account) })),
      h("div", { class: "row" },
        account.kind === "user" && account.name ? h("button", { type: "button", class: "button", text: "Edit", "aria-label": `Edit ${account.name}`, onclick: () => editUser(account) }) : null,
        h("button", { type: "button", class: "button danger", text: "Remove", "aria-label": `Remove ${nameOf(account)}`, onclick: () => remove(account) })));
  }

  /** Sends a change; the message of an error, or null. */
  async function send(method, what, body, done) {
    try {
      const answer = await ask(`/api/v1/users/${what}`, { method, body });
      show(answer);
      page.toast(done);
      return { answer };
    } catch (error) {
      return { wrong: error.message };
    }
  }

  function dialogOf(title, fields, button, submit) {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const save = h("button", { type: "submit", class: "primary", text: button });
    const dialog = h("dialog", { "aria-labelledby": "user-title" }, h("form", { class: "sheet", method: "dialog", novalidate: true, onsubmit: async (event) => {
      event.preventDefault();
      setText(wrong, await disabledWhile(save, () => submit(dialog)) ?? "");
      if (!wrong.textContent) dialog.close();
    } },
      h("header", {}, h("h2", { id: "user-title", text: title }), closeButton(() => dialog.close())),
      h("div", { class: "form" }, fields), wrong,
      h("div", { class: "row" }, h("button", { type: "button", class: "button", text: "Cancel", onclick: () => dialog.close() }), save)));
    openDialog(dialog, () => addUser);
    return dialog;
  }

  function field(id, text, input, hint = null) {
    input.id = id;
    if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
    return h("div", { class: "field" }, h("label", { for: id, text }), input, hint ? h("span", { class: "hint", id: `${id}-hint`, text: hint }) : null);
  }

  function editUser(account) {
    const name = h("input", { type: "text", value: account?.name ?? "", maxlength: 64, autocomplete: "off", autocapitalize: "none", disabled: Boolean(account) });
    const password = h("input", { type: "password", maxlength: 1024, autocomplete: "new-password", placeholder: account ? "unchanged" : "" });
    const may = roleFields(page, account);
    dialogOf(account ? account.name : "New user", [field("user-name", "Name", name), field("user-password", "Password", password, "10 letters or more."), ...may.fields], account ? "Save" : "Add", async () => {
      const chosen = may.values(), body = { name: account?.name ?? name.value.trim(), password: password.value, ...chosen };
      if (!body.name) return "Enter a name.";
      if (chosen.cameras && !chosen.cameras.length) return "Choose one camera or more.";
      return (await send(account ? "PUT" : "POST", "user", body, `${body.name} was ${account ? "changed" : "added"}`)).wrong;
    });
    (account ? password : name).focus();
  }

  function newToken() {
    const name = h("input", { type: "text", maxlength: 64, autocomplete: "off" });
    const expires = h("input", { type: "date", min: new Date(Date.now() + 86_400_000).toISOString().slice(0, 10) });
    const may = roleFields(page, null);
    dialogOf("New token", [field("user-name", "Name", name, "What the program is."), field("user-expires", "Ends on", expires, "Empty: never."), ...may.fields], "Add", async () => {
      const chosen = may.values();
      if (!name.value.trim()) return "Enter a name.";
      if (chosen.cameras && !chosen.cameras.length) return "Choose one camera or more.";
      const { answer, wrong } = await send("POST", "token", { name: name.value.trim(), expires: expires.value ? new Date(`${expires.value}T00:00`).toISOString() : null, ...chosen }, `${name.value.trim()} was added`);
      if (answer) showToken(answer.token);
      return wrong;
    });
    name.focus();
  }

  function showToken(token) {
    const text = h("input", { type: "text", readonly: true, value: token, "aria-label": "Token", onfocus: () => text.select() });
    const dialog = h("dialog", { class: "small", "aria-labelledby": "token-title" }, h("div", { class: "sheet" },
      h("header", {}, h("h2", { id: "token-title", text: "The new token" }), closeButton(() => dialog.close())),
      h("p", { class: "soft", text: "It is shown this once. The program sends it as: Authorization: Bearer TOKEN" }), h("div", { class: "field" }, text)));
    openDialog(dialog, () => addToken);
    text.focus();
  }

  function remove(account) {
    const name = nameOf(account);
    const dialog = h("dialog", { class: "small", "aria-labelledby": "remove-title" }, h("div", { class: "sheet" },
      h("header", {}, h("h2", { id: "remove-title", text: `Remove ${name}?` })),
      h("p", { class: "soft", text: account.kind === "user" ? "They are logged out at once." : "The program is refused from then on." }),
      h("div", { class: "row" },
        h("button", { type: "button", class: "button", text: "Cancel", autofocus: true, onclick: () => dialog.close() }),
        h("button", { type: "button", class: "button danger", text: "Remove", onclick: async () => {
          dialog.close();
          setText(problem, (await send("DELETE", account.kind, { name: account.name || account.id }, `${name} was removed`)).wrong ?? "");
        } }))));
    openDialog(dialog, () => addUser);
  }

  try {
    show(await ask("/api/v1/users"));
  } catch (error) { problem.textContent = error.message; }
  return { leave: () => document.querySelectorAll("dialog").forEach((dialog) => dialog.close()) };
}

/** The audit log: who changed what, when and from where. */
function auditPanel() {
  const list = h("ol", { class: "audit" }), count = h("p", { class: "soft", role: "status" });
  const more = h("button", { type: "button", class: "button more", text: "Earlier changes", hidden: true, onclick: () => load(true) });
  const element = h("section", { "aria-labelledby": "audit-title" }, h("div", { class: "head" }, h("h2", { id: "audit-title", text: "Changes" }), count), list, more);
  let lines = [];

  const entry = (line) => h("li", { class: line.done ? null : "refused" },
    h("time", { datetime: line.when, text: `${dayOf(line.when)}, ${timeOf(line.when)}` }),
    h("span", {}, h("strong", {}, h("bdi", { text: line.who || (line.by === "anyone" ? "without a log-in" : `a ${line.by} without a name`) })), line.by === "command" ? " by the command line" : line.from ? ` from ${line.from}` : ""),
    h("span", {}, line.done ? "" : "refused: ", line.what, Object.keys(line.about).length ? h("span", { class: "soft", text: ` · ${Object.entries(line.about).map(([key, text]) => `${key}: ${text}`).join(", ")}` }) : null));

  async function load(further = false) {
    const query = new URLSearchParams({ limit: A_PAGE });
    if (further && lines.length) query.set("before", lines.at(-1).when);
    try {
      const found = (await ask(`/api/v1/audit?${query}`)).lines;
      lines = further ? [...lines, ...found] : found;
      more.hidden = found.length < A_PAGE;
      list.replaceChildren(...lines.map(entry));
      setText(count, lines.length ? `${counted(lines.length, "line")}${more.hidden ? "" : " of more"}` : "Nothing was changed yet.");
    } catch (error) { setText(count, error.message); }
  }
  return { element, load };
}
