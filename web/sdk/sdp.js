/**
 * What little the SDK reads of session descriptions.
 *
 * A description's `o=` line names the connection object that made it: the
 * session id stays the same as long as that RTCPeerConnection lives, the
 * version rises with each description (RFC 8866, section 5.2; RFC 9429,
 * section 5.2.1).
 *
 * @param {string | undefined} sdp
 * @returns {{session: string, version: string}} empty strings where there is none
 */
export function origin(sdp) {
  const m = /^o=\S+ (\S+) (\S+) /m.exec(sdp ?? '');
  return { session: m?.[1] ?? '', version: m?.[2] ?? '' };
}

/**
 * Names one description, so that an answer can say which offer it answers.
 *
 * @param {string | undefined} sdp
 */
export function label(sdp) {
  const { session, version } = origin(sdp);
  return `${session} ${version}`;
}
