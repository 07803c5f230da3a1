/** Plain words for what the machine says. */

/** @typedef {import('../sdk/types.js').FailReason} FailReason */
/** @typedef {import('../sdk/types.js').Reach} Reach */
/** @typedef {import('../sdk/types.js').Waiting} Waiting */
/** @typedef {import('../sdk/devices.js').DeviceState} DeviceState */

/**
 * @param {number} ms
 * @returns {string} "8 s", "2 min"
 */
export function duration(ms) {
  const s = Math.max(1, Math.round(ms / 1000));
  return s < 90 ? `${s} s` : `${Math.round(s / 60)} min`;
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
export function count(n, one, many) {
  return `${n} ${n === 1 ? one : many}`;
}

/**
 * @param {Reach} reach
 * @param {{tags: string[], languages: string[]}} wish
 */
export function reachWords(reach, wish) {
  switch (reach) {
    case 'tags':
      return wish.tags.length ? 'Someone who shares an interest' : 'Someone who speaks your language';
    case 'language':
      return wish.languages.length ? 'Anyone who speaks your language' : 'Anyone, whatever their interests';
    default:
      return 'Anyone at all';
  }
}

/**
 * How many search and how long it takes; nothing where nothing is known.
 *
 * @param {Waiting | null} w
 */
export function waitingWords(w) {
  if (!w) return '';
  const others = Math.max(0, w.waiting - 1);
  if (others === 0) return 'Nobody else is searching right now. We will keep looking.';
  const here = `${count(others, 'other person is', 'other people are')} searching now.`;
  return w.estimate_ms === null || w.estimate_ms === undefined ? here : `${here} It usually takes about ${duration(w.estimate_ms)}.`;
}

/**
 * Why a call failed, and what to do.
 *
 * @param {FailReason | ''} reason
 * @param {string} name of the other one
 * @returns {{title: string, words: string, relay: boolean}} relay: offer the way through the relay
 */
export function failWords(reason, name) {
  switch (reason) {
    case 'ice-timeout':
      return { title: 'No way through', words: `Your network and ${name}’s do not let the call pass directly. The relay often gets through.`, relay: true };
    case 'ice-disconnected':
      return { title: 'The connection broke', words: 'Picture and sound stopped and did not come back. Your network may have changed.', relay: true };
    case 'dtls':
      return { title: 'No secure connection', words: 'The encrypted connection could not be set up. A firewall may be in between. Try again, or go on.', relay: true };
    case 'no-turn':
      return { title: 'The relay cannot be reached', words: 'The call may only go through the relay, and your network does not let you reach it. Another network may help.', relay: false };
    case 'media-denied':
      return { title: 'No camera or microphone', words: 'This page may not use them. You can still write.', relay: false };
    default:
      return { title: 'The call did not work', words: 'Something unexpected happened. Try again, or go on to the next person.', relay: true };
  }
}

/**
 * @param {import('../sdk/room.js').EndReason} reason
 * @param {string} name
 * @returns {{title: string, words: string}}
 */
export function endWords(reason, name) {
  switch (reason) {
    case 'peer-next':
      return { title: `${name} went on`, words: 'It happens to everyone. Someone else is out there.' };
    case 'peer-lost':
      return { title: `${name} lost the connection`, words: 'They did not come back in time.' };
    case 'expired':
      return { title: 'This room has ended', words: 'It was empty for a while.' };
    case 'lost':
      return { title: 'The connection to Rondo was lost', words: 'It was away for too long, so the call ended.' };
    default:
      return { title: `${name} left`, words: 'Ready for someone else?' };
  }
}

/**
 * What is wrong with the devices, and what to do; empty when all is well.
 *
 * @param {DeviceState} audio
 * @param {DeviceState} video
 */
export function deviceWords(audio, video) {
  if (audio === 'insecure' || video === 'insecure') return 'Browsers give camera and microphone to secure pages only. Open this page by https, or use text.';
  const both = bad(audio) && bad(video);
  if (audio === 'denied' || video === 'denied') {
    const what = both ? 'your camera and microphone' : audio === 'denied' ? 'your microphone' : 'your camera';
    const go = both ? 'You can still see and hear others, and write.' : video === 'denied' ? 'They will hear you, and not see you.' : 'They will see you, and not hear you.';
    return `This page may not use ${what}. To change that, click the icon beside the address, allow it, and reload. ${go}`;
  }
  if (both) return `We found no camera and no microphone that works. You can still see and hear others, and write.`;
  if (video === 'missing') return 'We found no camera. They will hear you, and not see you.';
  if (audio === 'missing') return 'We found no microphone. They will see you, and you can write.';
  if (video === 'busy') return 'The camera gives no picture; another program may be using it. They will hear you, and not see you.';
  if (audio === 'busy') return 'The microphone gives no sound; another program may be using it.';
  return '';
}

/** @param {DeviceState} state */
function bad(state) {
  return state !== 'ok' && state !== 'off';
}

/**
 * @param {string} code of a RondoError
 * @param {string} message the server's own words
 */
export function errorWords(code, message) {
  switch (code) {
    case 'offline':
    case 'timeout':
      return 'Rondo cannot be reached right now. Check your network; we keep trying.';
    case 'rate_limited':
      return 'That was a little too fast. Wait a moment and try again.';
    case 'unavailable':
      return 'A part of Rondo is down for a moment. Try again soon.';
    case 'room_full':
      return 'This room is full. Try again when someone has left.';
    case 'passcode':
      return 'That is not the passcode of this room.';
    case 'not_found':
      return 'This room does not exist, or it has ended.';
    case 'already':
      return 'You are already in a call or searching, maybe in another tab.';
    case 'session_lost':
      return 'The connection was away for too long. Please start again.';
    default:
      return message || 'Something went wrong. Try again.';
  }
}

/**
 * Why the connection to the server ended for good.
 *
 * @param {string} reason
 */
export function closedWords(reason) {
  switch (reason) {
    case 'replaced':
      return 'Rondo goes on in another tab or window. Close this one, or reload it to start anew here.';
    case 'banned':
      return 'This server does not let you in at the moment.';
    case 'origin':
      return 'This server does not accept calls from this address.';
    case 'version':
      return 'This page is older than the server. Reload it.';
    case 'bye':
      return 'You have left.';
    default:
      return 'The connection to Rondo ended. Reload the page to come back.';
  }
}

/**
 * That the server cannot be reached, and what becomes of what is on.
 *
 * @param {string} view
 * @param {boolean} offline the machine has no network at all
 */
export function reconnectWords(view, offline) {
  const start = offline ? 'You are offline' : 'Reconnecting to Rondo';
  if (view === 'call') return offline ? `${start}. Your call waits for you.` : `${start} … You stay in your call.`;
  if (view === 'search') return offline ? `${start}. Your place is kept for a moment.` : `${start} … Your place is kept.`;
  return '';
}

/**
 * What went wrong with an account.
 *
 * @param {any} err
 */
export function accountWords(err) {
  switch (err?.code) {
    case 'credentials':
      return 'The name or the password is wrong.';
    case 'needs_totp':
      return 'Write the code of your authenticator app, or a recovery code.';
    case 'code_invalid':
      return 'That code is wrong or over. Look again, or ask for a new one.';
    case 'cancelled':
      return 'No passkey was chosen. Try again when you like.';
    case 'already':
      return 'That is there already.';
    case 'unsupported':
      return 'This browser cannot use a passkey here.';
    case 'taken':
      return 'Somebody has that username. Choose another one.';
    case 'changed':
      return 'It was changed elsewhere meanwhile. This is how it is now.';
    case 'rate_limited':
      return `Too many tries. Please wait ${duration(err.retryMs || 1000)} and try again.`;
    case 'unauthorized':
      return 'You are logged out. Log in again.';
    case 'forbidden':
      return 'That is not allowed. The account may be disabled.';
    case 'offline':
      return 'The server cannot be reached. Please try again.';
    case 'unavailable':
      return 'That does not work at the moment. Please try again soon.';
    case 'bad_request': {
      const words = String(err.message).replace(/^[a-z_]+: ?/, '');
      return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? '' : '.');
    }
    default:
      return 'That did not work. Please try again.';
  }
}

/**
 * How long ago something was.
 *
 * @param {number} at Unix milliseconds
 * @param {number} now
 */
export function ago(at, now) {
  const minutes = Math.floor((now - at) / 60_000);
  if (minutes < 2) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return count(Math.floor(minutes / 60), 'hour', 'hours') + ' ago';
  return count(Math.floor(minutes / 1440), 'day', 'days') + ' ago';
}

// ---- conversations ----

const times = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const days = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' });
const dates = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** @param {number} at */
export function clock(at) {
  return times.format(at);
}

/** @param {number} at */
export function fullTime(at) {
  return full.format(at);
}

/** @param {number} at @returns {string} the same for all of one day, here */
export function dayKey(at) {
  const d = new Date(at);
  return `${d.getFullYear()}-${d.getMonth() + 1}-${d.getDate()}`;
}

/** @param {number} at @param {number} now */
export function dayWords(at, now) {
  if (dayKey(at) === dayKey(now)) return 'Today';
  if (dayKey(at) === dayKey(now - 86_400_000)) return 'Yesterday';
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? days.format(at) : dates.format(at);
}

/** When something was, as short as it can be said. @param {number} at @param {number} now */
export function shortTime(at, now) {
  if (dayKey(at) === dayKey(now)) return clock(at);
  if (dayKey(at) === dayKey(now - 86_400_000)) return 'Yesterday';
  return dates.format(at).replace(new Date(now).getFullYear().toString(), '').replace(/[, ]+$/, '');
}

/** @param {number} n */
export function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 1_000_000) return `${Math.round(n / 1000)} kB`;
  return `${(n / 1_000_000).toFixed(1)} MB`;
}

/** @param {'sent' | 'delivered' | 'read' | 'sending'} state */
export function receiptWords(state) {
  return { sending: 'Sending', sent: 'Sent', delivered: 'Delivered', read: 'Read' }[state];
}

/** @param {string} language of the original @param {boolean} original it is shown */
export function translatedWords(language, original) {
  if (original) return 'Show the translation';
  let name = '';
  try {
    name = language ? (new Intl.DisplayNames(['en'], { type: 'language' }).of(language) ?? '') : '';
  } catch {
    // then without
  }
  return name ? `Translated from ${name} · Show original` : 'Translated · Show original';
}

/** @param {{name: string}[]} people */
export function typingWords(people) {
  if (people.length === 0) return '';
  if (people.length === 1) return `${people[0].name || 'Somebody'} is writing …`;
  if (people.length === 2) return `${people[0].name} and ${people[1].name} are writing …`;
  return `${people.length} people are writing …`;
}

/** @param {string} kind @param {number} members @param {number} online */
export function membersWords(kind, members, online) {
  const here = online > 0 ? `, ${online} here now` : '';
  return kind === 'topic' || kind === 'group' ? count(members, 'member', 'members') + here : '';
}

/**
 * What went wrong in a conversation.
 *
 * @param {any} err
 */
export function convWords(err) {
  switch (err?.code) {
    case 'rate_limited':
      return err.retryMs > 1500 ? `Not so fast: wait ${duration(err.retryMs)}.` : 'Not so fast. Wait a moment.';
    case 'forbidden':
      return 'You may not do that here.';
    case 'not_found':
      return 'It is not there, or not for you.';
    case 'already':
      return 'That is so already.';
    case 'passcode':
      return 'That is not the passcode.';
    case 'too_large':
      return 'That is too large.';
    case 'rejected':
      return 'This service does not want that text: it has a word that is blocked, or too many links.';
    case 'unauthorized':
      return 'Log in for that.';
    case 'offline':
    case 'timeout':
    case 'session_lost':
    case 'closed':
      return 'No connection. It will be sent when there is one.';
    case 'unavailable':
      return 'That does not work at the moment. Please try again soon.';
    default:
      return accountWords(err);
  }
}
