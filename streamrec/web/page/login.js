// The log-in page: sends name and password, and opens the page.
const form = document.getElementById("login");
const field = document.getElementById("password");
const name = document.getElementById("name");
const wrong = document.getElementById("wrong");
const button = form.querySelector("button");
fetch("/api/v1/login").then((answer) => answer.json()).then(({ names }) => {
  name.hidden = form.querySelector("label").hidden = !names;
  if (names && !field.value) name.focus();
}).catch(() => null);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.textContent = "";
  if (!field.value) { wrong.textContent = "Enter the password."; field.focus(); return; }
  button.disabled = true;
  try {
    const answer = await fetch("/api/v1/login", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: name.hidden ? "" : name.value, password: field.value }),
    });
    if (answer.ok) { location.replace(`/${location.hash}`); return; }
    const data = await answer.json().catch(() => null);
    wrong.textContent = answer.status === 401 ? (name.hidden ? "Wrong password." : "Wrong name or password.")
      : answer.status === 429 ? `${data?.error?.message ?? "Wait a moment"}.`.replace(/^./, (c) => c.toUpperCase())
      : data?.error?.message ?? "That did not work.";
  } catch {
    wrong.textContent = "streamrec does not answer.";
  }
  button.disabled = false;
  field.select();
  field.focus();
});
