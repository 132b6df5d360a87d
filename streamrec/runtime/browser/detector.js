// Scores in, started and ended actions out: events/detector.py, whose comments say why each rule is there. Counting and
// out-of-distribution scores are left out.

const INSTANT = 1e-6, JITTER = 1; // seconds

export class EventDetector {
  /** `events`: the settings of model.json, with `of[label]` for each label. */
  constructor(labels, events) {
    this.labels = labels;
    this.settings = labels.map((label) => events.of[label]);
    this.actions = labels.map((label) => !events.background.includes(label));
  }

  initialState() {
    return { smoothed: this.labels.map(() => 0), timestamp: null, tracks: [], notified: -Infinity, ended: new Map() };
  }

  /** The events of a frame's probabilities, those that ended first, and the state for the next call. */
  step(raw, timestamp, state) {
    if (state.timestamp !== null && timestamp < state.timestamp - JITTER) {
      const [ended] = this.finish(state.timestamp, state), [events, after] = this.step(raw, timestamp, this.initialState());
      return [[...ended, ...events], after];
    }
    timestamp = Math.max(timestamp, state.timestamp ?? timestamp);
    const elapsed = state.timestamp === null ? 0 : timestamp - state.timestamp;
    const smoothed = raw.map((score, n) => {
      const { smoothing } = this.settings[n];
      return state.smoothed[n] + (smoothing ? 1 - Math.exp(-elapsed / smoothing) : 1) * (score - state.smoothed[n]);
    });
    const tracked = new Set(state.tracks.map((one) => one.label)), candidates = [];
    raw.forEach((score, label) => {
      if (this.actions[label] && score >= this.settings[label].enter && !tracked.has(label)) candidates.push({ label, onset: timestamp, notified: false, peak: 0, fall: null, evidence: 0 });
    });
    const kept = [], started = [];
    for (const track of [...state.tracks, ...candidates]) {
      const own = this.settings[track.label], score = raw[track.label], smooth = smoothed[track.label];
      if (track.notified) { kept.push(this.#run(track, own, score, smooth, timestamp, elapsed)); continue; }
      const evidence = Math.min(track.evidence + (score - own.enter) * elapsed, own.enter * own.smoothing);
      if (evidence < 0) continue;
      const confirmed = timestamp - track.onset >= own.shortest - INSTANT;
      const cooled = timestamp - (state.ended.get(track.label) ?? -Infinity) >= own.cool_down - INSTANT;
      const starts = confirmed && cooled && score >= own.enter && smooth >= own.enter;
      kept.push({ ...track, notified: starts, peak: Math.max(track.peak, smooth), evidence: starts ? 0 : evidence });
      if (starts) started.push({ kind: "started", label: this.labels[track.label], timestamp: track.onset, confidence: smooth });
    }
    const notified = started.length ? timestamp : state.notified, running = [], over = [], ended = new Map(state.ended);
    for (const track of kept) {
      const own = this.settings[track.label], falls = raw[track.label] < own.leave && smoothed[track.label] < own.leave;
      if (track.fall !== null && falls && (timestamp - track.fall >= own.merge_gap - INSTANT || notified >= track.fall)) {
        over.push(this.#ended(track, track.fall));
        if (own.cool_down) ended.set(track.label, track.fall);
      } else running.push(track);
    }
    const inOrder = (one, other) => one.timestamp - other.timestamp;
    return [[...over.sort(inOrder), ...started.sort(inOrder)], { smoothed, timestamp, tracks: running, notified, ended }];
  }

  /** Ends what runs, because the stream is over. */
  finish(timestamp, state) {
    const over = state.tracks.filter((one) => one.notified).map((one) => this.#ended(one, one.fall ?? timestamp));
    return [over.sort((one, other) => one.timestamp - other.timestamp), this.initialState()];
  }

  #run(track, own, score, smooth, timestamp, elapsed) {
    const peak = Math.max(track.peak, smooth), up = { ...track, peak, fall: null, evidence: 0 };
    if (track.fall === null && score >= own.leave) return up;
    const evidence = Math.min(track.evidence + (own.leave - score) * elapsed, (1 - own.leave) * own.smoothing);
    if (evidence < 0 || (score >= own.enter && smooth >= own.enter)) return up;
    return { ...track, peak, fall: track.fall ?? timestamp, evidence };
  }

  #ended(track, timestamp) {
    return { kind: "ended", label: this.labels[track.label], timestamp, started: track.onset, confidence: track.peak };
  }
}
