import { Emitter, openDevices } from '../sdk/rondo.js';

/** @typedef {import('../sdk/devices.js').DeviceState} DeviceState */
/** @typedef {'audio' | 'video'} Kind */

/**
 * @typedef {object} MediaEvents
 * @property {{kind: Kind, track: MediaStreamTrack | null, screen: boolean}} track what is to be sent changed
 * @property {null} change something to show changed
 */

/**
 * Our own camera, microphone and shared screen. A camera that is switched off
 * is let go, so that its light goes out; a muted microphone stays open and
 * sends silence.
 *
 * @extends {Emitter<MediaEvents>}
 */
export class LocalMedia extends Emitter {
  /** How the devices are. @type {Record<Kind, DeviceState>} */
  state = { audio: 'off', video: 'off' };
  /** What the user wants to send. @type {Record<Kind, boolean>} */
  wanted = { audio: true, video: true };

  #prefs;
  /** What the mode has at all. @type {Record<Kind, boolean>} */
  #use = { audio: false, video: false };
  /** @type {Record<Kind, MediaStreamTrack | null>} */
  #tracks = { audio: null, video: null };
  /** @type {MediaStreamTrack | null} */
  #screen = null;
  /** @type {Promise<unknown>} devices are opened one after another */
  #turn = Promise.resolve();

  /** @param {() => {camera: string, microphone: string, low: boolean}} prefs */
  constructor(prefs) {
    super();
    this.#prefs = prefs;
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.emit('change', null));
  }

  /** The microphone. */
  get microphone() {
    return this.#tracks.audio;
  }

  /** What is sent as our picture: the shared screen, or the camera. */
  get picture() {
    return this.#screen ?? this.#tracks.video;
  }

  get sharing() {
    return this.#screen !== null;
  }

  /** What a call sends now. */
  get stream() {
    return new MediaStream([this.#tracks.audio, this.picture].filter((t) => t !== null));
  }

  /**
   * Whether something of this kind is sent now.
   * @param {Kind} kind
   */
  sends(kind) {
    const track = kind === 'audio' ? this.#tracks.audio : this.picture;
    return track !== null && track.enabled;
  }

  /**
   * Opens what a mode needs and is not open, and lets go of the rest.
   *
   * @param {import('../sdk/types.js').Mode} mode
   */
  use(mode) {
    return this.#inTurn(async () => {
      this.#use = { audio: mode !== 'text', video: mode === 'video' };
      for (const kind of /** @type {const} */ (['audio', 'video'])) {
        if (this.#use[kind]) continue;
        this.#put(kind, null);
        this.state[kind] = 'off';
      }
      await this.#open({ audio: this.#use.audio && !this.#tracks.audio, video: this.#use.video && !this.#tracks.video && this.wanted.video });
    });
  }

  /** Lets go of everything. */
  release() {
    return this.#inTurn(async () => {
      this.stopSharing();
      this.#use = { audio: false, video: false };
      this.#put('audio', null);
      this.#put('video', null);
      this.wanted = { audio: true, video: true };
      this.state = { audio: 'off', video: 'off' };
      this.emit('change', null);
    });
  }

  /** Mutes or unmutes; opens a microphone that could not be opened before. */
  toggleMicrophone() {
    return this.#inTurn(async () => {
      this.wanted.audio = !this.sends('audio');
      if (this.wanted.audio && !this.#tracks.audio) await this.#open({ audio: true, video: false });
      if (this.#tracks.audio) this.#tracks.audio.enabled = this.wanted.audio;
      this.emit('track', { kind: 'audio', track: this.#tracks.audio, screen: false });
      this.emit('change', null);
    });
  }

  /** Switches the camera off or on. */
  toggleCamera() {
    return this.#inTurn(async () => {
      this.wanted.video = this.#tracks.video === null;
      if (this.wanted.video) await this.#open({ audio: false, video: true });
      else this.#put('video', null);
      this.emit('change', null);
    });
  }

  /**
   * Takes another device, as the preferences name it.
   * @param {Kind} kind
   */
  reopen(kind) {
    return this.#inTurn(async () => {
      if (!this.#use[kind] || (kind === 'video' && !this.wanted.video)) return;
      this.#tracks[kind]?.stop(); // phones give one camera at a time
      await this.#open({ audio: kind === 'audio', video: kind === 'video' });
    });
  }

  /** Shares a screen instead of the camera. @returns {Promise<boolean>} false when the user thought better of it */
  async share() {
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: false });
    } catch {
      return false;
    }
    const track = stream.getVideoTracks()[0];
    track.contentHint = 'detail';
    track.addEventListener('ended', () => this.stopSharing());
    this.#screen = track;
    this.emit('track', { kind: 'video', track, screen: true });
    this.emit('change', null);
    return true;
  }

  stopSharing() {
    if (!this.#screen) return;
    this.#screen.stop();
    this.#screen = null;
    this.emit('track', { kind: 'video', track: this.#tracks.video, screen: false });
    this.emit('change', null);
  }

  // ---- inside ----

  /** @param {() => Promise<void>} step */
  #inTurn(step) {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** @param {{audio: boolean, video: boolean}} want */
  async #open(want) {
    if (want.audio || want.video) {
      const opened = await openDevices({ ...want, ...this.#prefs() });
      for (const kind of /** @type {const} */ (['audio', 'video'])) {
        if (!want[kind]) continue;
        this.state[kind] = opened[kind];
        this.#put(kind, opened.stream.getTracks().find((t) => t.kind === kind) ?? null);
      }
    }
    this.emit('change', null);
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  #put(kind, track) {
    const old = this.#tracks[kind];
    if (old === track) return;
    this.#tracks[kind] = track;
    old?.stop();
    if (track) {
      track.enabled = kind === 'video' || this.wanted.audio;
      track.addEventListener('ended', () => this.#ended(kind, track));
    }
    if (kind === 'audio' || !this.#screen) this.emit('track', { kind, track, screen: false });
  }

  /**
   * A device was unplugged or taken away.
   *
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  #ended(kind, track) {
    if (this.#tracks[kind] !== track) return;
    this.#put(kind, null);
    this.state[kind] = 'missing';
    void this.#inTurn(() => (this.#use[kind] && !this.#tracks[kind] ? this.#open({ audio: kind === 'audio', video: kind === 'video' }) : Promise.resolve()));
  }
}

/**
 * Measures a microphone's level.
 *
 * @param {() => MediaStreamTrack | null} track
 * @param {HTMLElement} meter with a `.level-bar` inside
 * @returns {() => void} stops it
 */
export function levelMeter(track, meter) {
  const bar = /** @type {HTMLElement} */ (meter.querySelector('.level-bar'));
  /** @type {MediaStreamTrack | null} */
  let current = null;
  /** @type {AnalyserNode | null} */
  let analyser = null;
  const context = new AudioContext();
  /** @type {MediaStreamAudioSourceNode | null} */
  let source = null;
  const samples = new Float32Array(512);
  let smooth = 0;
  const timer = setInterval(() => {
    const now = track();
    if (now !== current) {
      current = now;
      source?.disconnect();
      source = null;
      if (now) {
        source = context.createMediaStreamSource(new MediaStream([now]));
        analyser = context.createAnalyser();
        analyser.fftSize = 512;
        source.connect(analyser);
      }
    }
    let level = 0;
    if (source && analyser) {
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      level = Math.min(1, Math.max(0, (20 * Math.log10(rms + 1e-6) + 55) / 45));
    }
    smooth = Math.max(level, smooth * 0.8);
    bar.style.transform = `scaleX(${smooth.toFixed(3)})`;
    meter.setAttribute('aria-valuenow', String(Math.round(smooth * 100)));
  }, 80);
  void context.resume().catch(() => {});
  return () => {
    clearInterval(timer);
    source?.disconnect();
    void context.close().catch(() => {});
    bar.style.transform = '';
  };
}

/**
 * Plays two notes through a speaker.
 *
 * @param {string} speaker device id; empty: the usual one
 */
export async function testSound(speaker) {
  const context = new AudioContext();
  const out = /** @type {any} */ (context);
  if (speaker && out.setSinkId) await out.setSinkId(speaker).catch(() => {});
  await context.resume();
  const notes = [523.25, 783.99];
  notes.forEach((hz, i) => {
    const tone = context.createOscillator();
    const gain = context.createGain();
    const at = context.currentTime + 0.05 + i * 0.28;
    tone.frequency.value = hz;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.22, at + 0.03);
    gain.gain.exponentialRampToValueAtTime(0.001, at + 0.5);
    tone.connect(gain).connect(context.destination);
    tone.start(at);
    tone.stop(at + 0.55);
  });
  setTimeout(() => void context.close().catch(() => {}), 1500);
}
