// A model's step in the browser: the same graph as in Python, by ONNX Runtime Web. The state is explicit.

import { toInput } from "./resize.js";

const EARLY = 0.78; // of a period after which a frame is due (sources/sampling.py)

/** Whether a frame is processed when the last processed one was at `last`; seconds. */
export const isDue = (timestamp, last, fps) => timestamp - last < 0 || timestamp - last >= EARLY / fps;

export class Recognizer {
  /** `ort`: ONNX Runtime Web; `about`: model.json; `session`: of model.onnx. */
  constructor(ort, about, session) {
    Object.assign(this, { ort, about, session });
  }

  /** Loads what `streamrec webpage` wrote into a folder; `threads` above 1 need a page that is cross-origin isolated. */
  static async load(ort, folder, { threads = 1 } = {}) {
    ort.env.wasm.wasmPaths = new URL("ort/", folder).href;
    ort.env.wasm.numThreads = threads;
    const read = async (name) => {
      const answer = await fetch(new URL(name, folder));
      if (!answer.ok) throw new Error(`${name} is missing beside the page (${answer.status})`);
      return answer;
    };
    const about = await (await read("model.json")).json();
    const graph = new Uint8Array(await (await read("model.onnx")).arrayBuffer());
    return new Recognizer(ort, about, await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] }));
  }

  /** The state of a stream that has seen nothing. */
  initialState() {
    const memory = {};
    for (const [name, shape] of Object.entries(this.about.memory)) memory[name] = new this.ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), [1, ...shape]);
    return { memory, clock: -Infinity };
  }

  /** The next frame of a stream: a picture {width, height, data} of RGB bytes, seconds, and the state before; the prediction and the state after. */
  async step(picture, timestamp, state) {
    const { transform, labels } = this.about, { Tensor } = this.ort;
    const feeds = {
      ...state.memory,
      pictures: new Tensor("uint8", toInput(picture, transform), [1, 3, transform.height, transform.width]),
      elapsed: new Tensor("float32", Float32Array.of(timestamp - state.clock), [1]),
    };
    const found = await this.session.run(feeds);
    const memory = Object.fromEntries(Object.keys(state.memory).map((name) => [name, found[`${name}.next`]]));
    const probabilities = Array.from(found.probabilities.data);
    const best = probabilities.indexOf(Math.max(...probabilities));
    return [{ label: labels[best], probabilities }, { memory, clock: timestamp }];
  }
}
