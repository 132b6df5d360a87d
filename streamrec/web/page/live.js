// The WebSocket: receives states, events and images; reconnects for ever.

import { toLogin } from "./dom.js";

const FIRST_PAUSE = 500, LONGEST_PAUSE = 8000; // ms
const NOT_LOGGED_IN = 4401; // close code: the session is over
const MOST_BYTES = 60_000; // of one message
const PATIENCE = 3000; // ms that the first view waits for the cameras

export class Live extends EventTarget {
  constructor() {
    super();
    this.cameras = [];
    this.fleet = null; // machines and groups; null: there is no fleet, or its state is not known yet
    this.arming = null; // what is armed; null: it cannot be chosen, or is not known yet
    this.connected = false;
    this.painters = new Map(); // camera -> the canvas that shows it
    this.wanted = "{}";
    this.pause = FIRST_PAUSE;
    document.addEventListener("visibilitychange", () => this.sendWanted());
    this.known = new Promise((done) => { // the cameras are, or will not be for now
      for (const type of ["hello", "down"]) this.addEventListener(type, done, { once: true });
      setTimeout(done, PATIENCE);
    });
    this.open();
  }

  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = (message) => {
      if (typeof message.data === "string") this.receive(JSON.parse(message.data));
      else this.paint(message.data).finally(() => socket.readyState === 1 && socket.send('{"got":1}'));
    };
    socket.onclose = (end) => {
      const was = this.connected;
      this.connected = false;
      if (end.code === NOT_LOGGED_IN) { toLogin(); return; }
      if (was) this.emit("down");
      // Refused before it opened: the session may be over.
      if (!was && end.code === 1006) fetch("/api/v1/session").then((a) => (a.status === 401 ? toLogin() : this.emit("down")), () => this.emit("down"));
      setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
      this.pause = Math.min(LONGEST_PAUSE, this.pause * 2);
    };
  }

  receive(message) {
    if (message.type === "hello") {
      this.connected = true;
      this.pause = FIRST_PAUSE;
      this.cameras = message.cameras;
      this.alive = message.alive;
      this.emit("up");
      this.emit("hello", message);
      this.sendWanted();
    } else if (message.type === "cameras") {
      this.cameras = message.cameras;
      this.alive = message.alive;
      this.emit("cameras", message);
    } else if (message.type === "fleet") {
      const before = this.fleet;
      this.fleet = message.fleet;
      this.emit("fleet", { before });
    } else if (message.type === "arming") {
      this.arming = message.arming;
      this.emit("arming");
    } else this.emit(message.type, message);
  }

  emit(type, detail = null) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  /** Asks for the images of the cameras on the screen: a Map of camera and width (a camera may be called __proto__). */
  want(wanted) {
    const parts = [];
    let left = MOST_BYTES;
    for (const [name, width] of [...wanted].sort((a, b) => a[0].length - b[0].length)) {
      const part = `${JSON.stringify(name)}:${width}`;
      left -= new TextEncoder().encode(part).length + 1;
      if (left > 0) parts.push(part); // a camera whose name is too long for a message is left out
    }
    const text = `{${parts.join(",")}}`;
    if (text === this.wanted) return;
    this.wanted = text;
    this.sendWanted();
  }

  sendWanted() {
    if (!this.connected || this.socket.readyState !== 1) return;
    this.socket.send(`{"want":${document.hidden ? "{}" : this.wanted}}`);
  }

  /** Draws the images of one message; resolves when all of them are on the screen. */
  async paint(buffer) {
    const view = new DataView(buffer), work = [];
    let at = 0;
    while (at < buffer.byteLength) {
      let length = view.getUint8(at);
      at += 1;
      if (length === 0) { // a name of more than 255 bytes
        length = view.getUint16(at);
        at += 2;
      }
      const name = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(buffer, at, length));
      at += length;
      const time = view.getFloat64(at + 2), size = view.getUint32(at + 10);
      const jpeg = new Blob([new Uint8Array(buffer, at + 14, size)], { type: "image/jpeg" });
      at += 14 + size;
      const canvas = this.painters.get(name);
      if (canvas) work.push(createImageBitmap(jpeg).then((bitmap) => draw(canvas, bitmap, time), () => null));
    }
    await Promise.all(work);
  }
}

function draw(canvas, bitmap, time) {
  return new Promise((done) => {
    const now = () => {
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
      }
      canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
      bitmap.close();
      canvas.dataset.pictures = Number(canvas.dataset.pictures ?? 0) + 1;
      canvas.dataset.age = Math.max(0, Date.now() - 1000 * time).toFixed(0);
      canvas.classList.add("seen");
      done();
    };
    // A hidden page gets no animation frames.
    if (document.hidden) now(); else requestAnimationFrame(now);
  });
}
