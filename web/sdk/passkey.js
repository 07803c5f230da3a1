import { RondoError } from './errors.js';

/**
 * What the server asks a browser for (docs/openapi.yaml, PasskeyStart).
 *
 * @typedef {object} PasskeyStart
 * @property {string} state
 * @property {any} public_key options of WebAuthn, their bytes in base64url
 * @property {number} expires_at
 */

/** @typedef {Pick<CredentialsContainer, 'create' | 'get'>} Credentials */

/**
 * Whether passkeys can work on this page: the browser has them, and the page's
 * address is a name.
 *
 * @param {any} [scope] the window
 * @returns {boolean}
 */
export function passkeysWork(scope = globalThis) {
  const host = String(scope.location?.hostname ?? '');
  return typeof scope.PublicKeyCredential === 'function' && scope.isSecureContext === true && host !== '' && !/^[\d.]+$|:/.test(host);
}

/**
 * Whether the browser offers passkeys where a username is typed.
 *
 * @param {any} [scope] the window
 * @returns {Promise<boolean>}
 */
export async function passkeysFill(scope = globalThis) {
  if (!passkeysWork(scope)) return false;
  try {
    return (await scope.PublicKeyCredential.isConditionalMediationAvailable?.()) === true;
  } catch {
    return false;
  }
}

/**
 * Makes a passkey.
 *
 * @param {Credentials | undefined} credentials
 * @param {any} options
 * @returns {Promise<object>} as PublicKeyCredential.toJSON() has it
 */
export async function createPasskey(credentials, options) {
  const publicKey = {
    ...options,
    challenge: toBytes(options.challenge),
    user: { ...options.user, id: toBytes(options.user.id) },
    excludeCredentials: (options.excludeCredentials ?? []).map(decoded),
  };
  const made = await asked(() => credentials?.create({ publicKey }));
  const { clientDataJSON, attestationObject } = made.response;
  return written(made, {
    clientDataJSON: fromBytes(clientDataJSON),
    attestationObject: fromBytes(attestationObject),
    transports: made.response.getTransports?.() ?? [],
  });
}

/**
 * Asks for a passkey.
 *
 * @param {Credentials | undefined} credentials
 * @param {any} options
 * @param {{fill?: boolean, signal?: AbortSignal}} [how] fill: only where a username is typed, and until then in silence
 * @returns {Promise<object>}
 */
export async function showPasskey(credentials, options, { fill = false, signal } = {}) {
  const publicKey = { ...options, challenge: toBytes(options.challenge), allowCredentials: (options.allowCredentials ?? []).map(decoded) };
  /** @type {any} */
  const request = { publicKey, ...(fill ? { mediation: 'conditional' } : {}), ...(signal ? { signal } : {}) };
  const shown = await asked(() => credentials?.get(request));
  const { clientDataJSON, authenticatorData, signature, userHandle } = shown.response;
  return written(shown, {
    clientDataJSON: fromBytes(clientDataJSON),
    authenticatorData: fromBytes(authenticatorData),
    signature: fromBytes(signature),
    ...(userHandle ? { userHandle: fromBytes(userHandle) } : {}),
  });
}

/**
 * @param {() => Promise<Credential | null> | undefined} ask
 * @returns {Promise<any>}
 */
async function asked(ask) {
  let credential;
  try {
    credential = await ask();
  } catch (err) {
    const name = /** @type {any} */ (err)?.name;
    if (name === 'NotAllowedError' || name === 'AbortError') throw new RondoError('cancelled', 'It was cancelled, or took too long.');
    if (name === 'InvalidStateError') throw new RondoError('already', 'There is a passkey already.');
    throw new RondoError('unsupported', 'This browser cannot do that.');
  }
  if (!credential) throw new RondoError('unsupported', 'This browser cannot do that.');
  return credential;
}

/**
 * @param {any} credential
 * @param {object} response
 */
function written(credential, response) {
  const id = fromBytes(credential.rawId);
  return { id, rawId: id, type: 'public-key', response, clientExtensionResults: {} };
}

/** @param {any} descriptor */
function decoded(descriptor) {
  return { ...descriptor, id: toBytes(descriptor.id) };
}

/** @param {string} text base64url */
function toBytes(text) {
  return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
}

/** @param {ArrayBuffer} buffer @returns {string} base64url */
function fromBytes(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');
}
