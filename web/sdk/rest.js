import { RondoError } from './errors.js';

const timeout = 15_000; // ms for an answer

/** @param {string} text @returns {any} */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new RondoError('internal', 'The server’s answer cannot be read.');
  }
}

/**
 * @param {{status: number, headers: {get(name: string): string | null}}} response
 * @param {string} text problem+json, or what something in between says
 * @returns {RondoError}
 */
export function toProblem(response, text) {
  /** @type {any} */
  let p = null;
  try {
    p = JSON.parse(text);
  } catch {
    // not the server's
  }
  const retry = Number(p?.retry_ms) || 1000 * Number(response.headers.get('Retry-After')) || 0;
  if (typeof p?.code === 'string') return new RondoError(p.code, typeof p.detail === 'string' ? p.detail : 'Something went wrong.', retry);
  const code = response.status === 429 ? 'rate_limited' : response.status >= 502 ? 'unavailable' : 'internal';
  return new RondoError(code, 'Something went wrong.', retry);
}

/**
 * @typedef {object} RestOptions
 * @property {string} base address of `/api/v1`
 * @property {() => Promise<unknown> | null} [prepare] what must be done before a request, e.g. renewing tokens
 * @property {typeof globalThis.fetch} [fetch]
 * @property {() => string} [guest] the token of a guest, who has no cookie; '': none
 */

/** The REST interface, for requests of who has this browser's cookie, or a guest's token. */
export class Rest {
  #options;

  /** @param {RestOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** @param {string} path @param {Record<string, string | number | undefined>} [query] */
  url(path, query = {}) {
    const q = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== '') q.set(key, String(value));
    const text = q.toString();
    return `${this.#options.base}${path}${text && `?${text}`}`;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: object, query?: Record<string, string | number | undefined>}} [ask]
   * @returns {Promise<any>} rejects with a RondoError
   */
  async ask(method, path, { body, query } = {}) {
    const text = await this.#fetch(this.url(path, query), { method, cache: 'no-store', ...(body && { body: JSON.stringify(body) }) }, (r) => r.text());
    return text ? parse(text) : undefined;
  }

  /** @param {string} path @returns {Promise<Blob>} */
  blob(path) {
    return this.#fetch(this.url(path), {}, (r) => r.blob());
  }

  /**
   * @template T
   * @param {string} url
   * @param {RequestInit} init
   * @param {(response: Response) => Promise<T>} read
   * @returns {Promise<T>}
   */
  async #fetch(url, init, read) {
    const headers = await this.#headers();
    if (init.body) headers['Content-Type'] = 'application/json';
    const fetch = this.#options.fetch ?? globalThis.fetch;
    let response, answer;
    try {
      response = await fetch(url, { ...init, headers, credentials: 'same-origin', redirect: 'error', signal: AbortSignal.timeout(timeout) });
      if (response.ok) answer = await read(response);
      else throw toProblem(response, await response.text().catch(() => ''));
    } catch (err) {
      throw err instanceof RondoError ? err : new RondoError('offline', 'The server cannot be reached.');
    }
    return answer;
  }

  /**
   * Sends a file, which fetch tells no progress of.
   *
   * @param {string} path
   * @param {Blob} file
   * @param {{query?: Record<string, string>, progress?: (part: number) => void, signal?: AbortSignal}} [options] part: of the whole, 0 to 1
   * @returns {Promise<any>}
   */
  async upload(path, file, { query, progress, signal } = {}) {
    const headers = await this.#headers();
    headers['Content-Type'] = 'application/octet-stream'; // what it is, its bytes say
    return new Promise((resolve, reject) => {
      const x = new XMLHttpRequest();
      x.open('POST', this.url(path, query));
      for (const [name, value] of Object.entries(headers)) x.setRequestHeader(name, value);
      x.upload.onprogress = (e) => progress?.(e.total ? e.loaded / e.total : 0);
      x.onerror = x.ontimeout = () => reject(new RondoError('offline', 'The server cannot be reached.'));
      x.onabort = () => reject(new RondoError('closed', 'No longer wanted.'));
      x.onload = () => {
        if (x.status < 200 || x.status > 299) reject(toProblem({ status: x.status, headers: { get: (name) => x.getResponseHeader(name) } }, x.responseText));
        else resolve(parse(x.responseText));
      };
      signal?.addEventListener('abort', () => x.abort());
      if (signal?.aborted) x.abort();
      else x.send(file);
    });
  }

  /** @returns {Promise<Record<string, string>>} */
  async #headers() {
    await Promise.resolve(this.#options.prepare?.()).catch(() => {}); // what is missing the server will say
    const guest = this.#options.guest?.();
    return guest ? { Authorization: `Bearer ${guest}` } : {};
  }
}
