/**
 * Calls fn when the machine changed to a network of another kind, for instance
 * from Wi-Fi to mobile, where the browser tells (Android does). A computer's
 * browser tells only `online` and `offline`.
 *
 * @param {() => void} fn
 * @returns {() => void} stops it
 */
export function onNetworkType(fn) {
  const connection = /** @type {any} */ (globalThis.navigator)?.connection;
  let type = connection?.type;
  const changed = () => {
    if (connection.type === type) return; // only its speed
    type = connection.type;
    fn();
  };
  connection?.addEventListener?.('change', changed);
  return () => connection?.removeEventListener?.('change', changed);
}

/**
 * Calls fn when the machine's network changed: it is online again, or (where
 * the browser tells) of another kind.
 *
 * @param {() => void} fn
 * @returns {() => void} stops it
 */
export function onNetworkChange(fn) {
  const stop = onNetworkType(fn);
  globalThis.addEventListener?.('online', fn);
  return () => {
    stop();
    globalThis.removeEventListener?.('online', fn);
  };
}
