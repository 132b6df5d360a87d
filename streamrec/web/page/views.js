// The views of the page, by the first part of the address after "#/". A new view is a file and an entry here.
// link: its text in the navigation; title: of the window; show(page, main, rest) fills main and returns what app.js
// calls: update() when a camera has changed, events() when an event has, tick() twice a second, leave() at the end.

import { eventsView } from "./events.js";
import { camerasView, cameraView } from "./cameras.js";

export const views = {
  teach: {
    link: "Teach", title: () => "Teach", allowed: (session) => session.teaches,
    show: async (page, main) => (await import("./teach.js")).teachView(page, main),
  },
  cameras: { link: "Cameras", show: (page, main) => camerasView(page, main) },
  camera: { under: "cameras", title: (name) => name, show: (page, main, name) => cameraView(page, main, name) },
  // "#/events/ID" opens that event, "#/events/camera=door" those of a camera.
  events: { link: "Events", title: () => "Events", show: (page, main, given) => eventsView(page, main, given) },
  machines: {
    link: "Machines", title: () => "Machines", allowed: (session) => session.fleet,
    show: async (page, main) => (await import("./machines.js")).machinesView(page, main),
  },
  notifications: {
    link: "Notifications", title: () => "Notifications", allowed: (session) => session.receivers,
    show: async (page, main) => (await import("./notifications.js")).notificationsView(page, main),
  },
  manage: {
    link: "Manage", title: () => "Manage", allowed: (session) => session.editable,
    show: async (page, main) => (await import("./manage.js")).manageView(page, main),
  },
  users: {
    link: "Users", title: () => "Users", allowed: (session) => session.users,
    show: async (page, main) => (await import("./users.js")).usersView(page, main),
  },
};
