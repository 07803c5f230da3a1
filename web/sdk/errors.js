/**
 * An error with a stable code: one of docs/protocol.md, section 9, or one of
 * the SDK's own: `timeout` (no reply came), `closed` (the client was closed),
 * `session_lost` (the session ended before the reply), `offline` (the server
 * cannot be reached).
 */
export class RondoError extends Error {
  /**
   * @param {string} code
   * @param {string} message English, safe to show
   * @param {number} [retryMs] when trying again makes sense
   */
  constructor(code, message, retryMs = 0) {
    super(message);
    this.name = 'RondoError';
    this.code = code;
    this.retryMs = retryMs;
  }
}

/**
 * What to do after a close code (docs/protocol.md, section 10).
 *
 * @param {number} code
 * @returns {boolean} whether to connect again
 */
export function mayReconnect(code) {
  if (code === 1000 || code === 1007 || code === 1008 || code === 1009) return false;
  return code < 4500;
}

/** @type {Readonly<Record<number, string>>} */
const closeWords = Object.freeze({
  1000: 'bye',
  1007: 'utf8',
  1009: 'too_big',
  4500: 'auth',
  4501: 'protocol',
  4502: 'hello_timeout',
  4503: 'banned',
  4505: 'version',
  4506: 'replaced',
});

/**
 * @param {number} code a final close code
 * @returns {string} a word for it
 */
export function closeWord(code) {
  return closeWords[code] ?? 'closed';
}
