// The OpenAPI description as a page, without scripts from elsewhere.

import { ask, h } from "./dom.js";

const spec = await ask("/api/v1/openapi.json");
const nameOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(nameOf).join(" or ");
  if (schema.type === "array") return schema.prefixItems ? `[${schema.prefixItems.map(nameOf).join(", ")}]` : `list of ${nameOf(schema.items)}`;
  return schema.format ?? schema.type ?? "any";
};
const link = (schema) => {
  const name = nameOf(schema), target = name.split(/[ ,[\]]+/).find((part) => spec.components?.schemas?.[part]);
  return target ? h("a", { href: `#schema-${target}`, text: name }) : h("span", { text: name });
};
const rows = (head, all) => h("table", {}, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col", text })))), h("tbody", {}, all));

const parts = [h("p", { class: "soft", text: spec.info.description }),
  h("p", {}, "OpenAPI description: ", h("a", { href: "/api/v1/openapi.json" }, h("code", { text: "/api/v1/openapi.json" })), ". Live updates: the WebSocket ", h("code", { text: "/api/v1/live" }), "."),
  h("h2", { text: "Requests" })];
for (const [path, methods] of Object.entries(spec.paths)) {
  for (const [method, op] of Object.entries(methods)) {
    const body = op.requestBody?.content?.["application/json"]?.schema;
    const answers = Object.entries(op.responses ?? {}).filter(([code]) => code !== "422");
    parts.push(h("section", { class: "op" },
      h("h3", {}, h("span", { class: "method", text: method.toUpperCase() }), path),
      h("p", { class: "soft", text: op.description ?? op.summary ?? "" }),
      op.parameters?.length || body ? rows(["Parameter", "Where", "Type"], [
        ...(op.parameters ?? []).map((one) => h("tr", {}, h("td", {}, h("code", { text: one.name + (one.required ? "" : "?") })), h("td", { text: one.in }), h("td", {}, link(one.schema)))),
        ...(body ? [h("tr", {}, h("td", { text: "body" }), h("td", { text: "JSON" }), h("td", {}, link(body)))] : [])]) : null,
      rows(["Status", "Response"], answers.map(([code, one]) => h("tr", {}, h("td", {}, h("code", { text: code })), h("td", {}, Object.values(one.content ?? {})[0]?.schema ? link(Object.values(one.content)[0].schema) : Object.keys(one.content ?? {})[0] ?? one.description))))));
  }
}
parts.push(h("h2", { text: "Objects" }));
for (const [name, schema] of Object.entries(spec.components?.schemas ?? {})) {
  if (!schema.properties) continue;
  parts.push(h("section", { class: "op schema", id: `schema-${name}` }, h("h3", { text: name }), h("p", { class: "soft", text: schema.description ?? "" }),
    rows(["Field", "Type", ""], Object.entries(schema.properties).map(([key, one]) => h("tr", {}, h("td", {}, h("code", { text: key })), h("td", {}, link(one)), h("td", { text: one.description ?? "" }))))));
}
document.getElementById("ops").replaceChildren(...parts.filter(Boolean));
