/**
 * Opening camera and microphone, with an answer for everything that goes wrong.
 *
 * `ok`; `denied` by the user or the site's settings; `missing`: there is none;
 * `busy`: another program holds it; `insecure`: the page was not loaded over
 * https; `off`: not asked for.
 *
 * @typedef {'ok' | 'denied' | 'missing' | 'busy' | 'insecure' | 'off'} DeviceState
 */

/**
 * @typedef {object} Wanted
 * @property {boolean} audio
 * @property {boolean} video
 * @property {string} [microphone] device id; another one is taken where it is gone
 * @property {string} [camera] device id
 * @property {boolean} [low] a small picture, for slow networks and machines
 */

/**
 * @typedef {object} Opened
 * @property {MediaStream} stream holds what could be opened; may be empty
 * @property {DeviceState} audio
 * @property {DeviceState} video
 */

/**
 * Opens what is wanted, and as much of it as there is: a missing or refused
 * camera does not take the microphone with it.
 *
 * @param {Wanted} wanted
 * @param {MediaDevices | undefined} [media]
 * @returns {Promise<Opened>} never rejects
 */
export async function openDevices(wanted, media = globalThis.navigator?.mediaDevices) {
  /** @type {Opened} */
  const opened = { stream: new MediaStream(), audio: wanted.audio ? 'missing' : 'off', video: wanted.video ? 'missing' : 'off' };
  if (!media?.getUserMedia) {
    if (wanted.audio) opened.audio = 'insecure';
    if (wanted.video) opened.video = 'insecure';
    return opened;
  }
  if (!wanted.audio && !wanted.video) return opened;
  try {
    take(opened, await media.getUserMedia(constraints(wanted)));
    return opened;
  } catch (err) {
    const state = deviceState(err);
    if (!(wanted.audio && wanted.video)) {
      if (wanted.audio) opened.audio = state;
      if (wanted.video) opened.video = state;
      return opened;
    }
  }
  // Both together failed; one may still work.
  for (const kind of /** @type {const} */ (['audio', 'video'])) {
    try {
      take(opened, await media.getUserMedia(constraints({ ...wanted, audio: kind === 'audio', video: kind === 'video' })));
    } catch (err) {
      opened[kind] = deviceState(err);
    }
  }
  return opened;
}

/** @param {MediaStream | null | undefined} stream */
export function stopStream(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/**
 * @param {Wanted} wanted
 * @returns {MediaStreamConstraints}
 */
export function constraints(wanted) {
  const id = (/** @type {string | undefined} */ d) => (d ? { deviceId: { ideal: d } } : {});
  const size = wanted.low
    ? { width: { ideal: 320 }, height: { ideal: 240 }, frameRate: { ideal: 12, max: 15 } }
    : { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
  return {
    audio: wanted.audio ? { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...id(wanted.microphone) } : false,
    video: wanted.video ? { ...size, ...(wanted.camera ? {} : { facingMode: 'user' }), ...id(wanted.camera) } : false,
  };
}

/**
 * @param {unknown} err of getUserMedia
 * @returns {DeviceState}
 */
export function deviceState(err) {
  switch (/** @type {any} */ (err)?.name) {
    case 'NotAllowedError':
    case 'PermissionDeniedError':
      return 'denied';
    case 'SecurityError':
      return 'insecure';
    case 'NotFoundError':
    case 'OverconstrainedError':
    case 'DevicesNotFoundError':
      return 'missing';
    default:
      return 'busy'; // NotReadableError, AbortError: the device is there and gives nothing
  }
}

/**
 * @param {Opened} opened
 * @param {MediaStream} stream
 */
function take(opened, stream) {
  for (const track of stream.getTracks()) {
    opened.stream.addTrack(track);
    opened[/** @type {'audio' | 'video'} */ (track.kind)] = 'ok';
  }
}
