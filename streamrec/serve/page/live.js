// The socket: states, events and pictures as they come; opened again for ever when it is lost.

const FIRST_PAUSE = 500, LONGEST_PAUSE = 8000; // ms

export class Live extends EventTarget {
  constructor() {
    super();
    this.cameras = [];
    this.connected = false;
    this.painters = new Map(); // camera -> canvas that shows it
    this.wanted = {};
    this.pause = FIRST_PAUSE;
    document.addEventListener("visibilitychange", () => this.sendWanted());
    this.open();
  }

  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = (message) => {
      if (typeof message.data === "string") this.hear(JSON.parse(message.data));
      else this.paint(message.data).finally(() => socket.readyState === 1 && socket.send('{"got":1}'));
    };
    socket.onclose = (end) => {
      const was = this.connected;
      this.connected = false;
      if (was) this.tell("down");
      // Refused before it opened: perhaps nobody is logged in any more.
      if (!was && end.code === 1006) fetch("/api/v1/session").then((a) => a.status === 401 && location.replace("/login"), () => this.tell("down"));
      setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
      this.pause = Math.min(LONGEST_PAUSE, this.pause * 2);
    };
  }

  hear(message) {
    if (message.type === "hello") {
      this.connected = true;
      this.pause = FIRST_PAUSE;
      this.cameras = message.cameras;
      this.alive = message.alive;
      this.tell("up");
      this.tell("hello", message);
      this.sendWanted();
    } else if (message.type === "cameras") {
      this.cameras = message.cameras;
      this.alive = message.alive;
      this.tell("cameras", message);
    } else this.tell(message.type, message);
  }

  tell(type, detail = null) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  /** Which cameras are on the screen, and how wide. */
  want(wanted) {
    if (JSON.stringify(wanted) === JSON.stringify(this.wanted)) return;
    this.wanted = wanted;
    this.sendWanted();
  }

  sendWanted() {
    if (!this.connected || this.socket.readyState !== 1) return;
    this.socket.send(JSON.stringify({ want: document.hidden ? {} : this.wanted }));
  }

  /** Draws the pictures of one message; done when all of them are on the screen. */
  async paint(buffer) {
    const view = new DataView(buffer), work = [];
    let at = 0;
    while (at < buffer.byteLength) {
      const length = view.getUint8(at);
      const name = new TextDecoder().decode(new Uint8Array(buffer, at + 1, length));
      at += 1 + length;
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
    // A hidden page draws no frames: it must not wait for one.
    if (document.hidden) now(); else requestAnimationFrame(now);
  });
}
