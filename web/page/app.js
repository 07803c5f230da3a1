import { Rondo, RondoError } from '../sdk/rondo.js';
import { AccountPart } from './account.js';
import { CallView, sharedWords } from './callview.js';
import { Chats } from './chats.js';
import { CheckView, Permissions } from './check.js';
import { DevicePanel } from './devices.js';
import { Keys } from './keys.js';
import { Landing } from './landing.js';
import { Lobby } from './lobby.js';
import { LocalMedia } from './media.js';
import { loadPrefs, ownLanguages, savePrefs } from './prefs.js';
import { SearchView } from './search.js';
import { Tabs } from './tabs.js';
import { $, calm, complain, currentView, el, openDialog, say, setIcon, showView } from './ui.js';
import { closedWords, endWords, errorWords, reconnectWords } from './words.js';

/** @typedef {import('../sdk/rondo.js').Room} Room */
/** @typedef {import('../sdk/types.js').Mode} Mode */

/**
 * What the user is about to do, while devices are checked.
 *
 * @typedef {{do: 'find'} | {do: 'create', options: {name?: string, mode?: Mode, capacity?: number, passcode?: string}} | {do: 'join', id: string, passcode: string}} Intent
 */

const countsEvery = 10_000;
const drawAfter = 250; // ms that a call may take to find its way before it is drawn
const returnPatience = 8000; // ms to find back after a reload

/** The page: it holds the parts together and decides which view is shown. */
class App {
  #prefs = loadPrefs();
  #accounts = new AccountPart();
  #rondo = new Rondo({
    name: this.#accounts.account.known ? undefined : this.#prefs.name || undefined, // a user's is in the account
    prepare: () => this.#accounts.account.fresh(),
  });
  #media = new LocalMedia(() => this.#prefs);
  #save = () => savePrefs(this.#prefs);
  #landing = new Landing({ rondo: this.#rondo, prefs: this.#prefs, save: this.#save });
  #check = new CheckView({ media: this.#media, prefs: this.#prefs, save: this.#save });
  #settings = new DevicePanel({ prefix: 'set', media: this.#media, prefs: this.#prefs, save: this.#save, speakerChanged: () => this.#call.applySpeaker() });
  #search = new SearchView(this.#media);
  #call = new CallView({ media: this.#media, prefs: this.#prefs, save: this.#save, picture: (name) => this.#accounts.account.picture(name) });
  #lobby = new Lobby(this.#rondo);
  #keys = new Keys();
  #tabs = new Tabs(() => this.#drawOtherTabs());
  #chats = new Chats(this.#rondo, {
    language: () => (this.#accounts.account.user?.language || this.#landing.languages[0] || ownLanguages(navigator.languages)[0] || 'en').split('-')[0],
    signIn: () => this.#accounts.open('login'),
  });
  #permissions = new Permissions();
  /** @type {Intent} */
  #intent = { do: 'find' };
  #since = 0; // when the user asked for it
  #roomId = roomOfPath();
  #ready = false; // the first session is there
  #away = false; // the user was told that the server cannot be reached
  /** @type {any} */
  #wakeLock = null;

  start() {
    Object.assign(window, { rondo: this.#rondo });
    this.#wireTop();
    this.#wireLanding();
    this.#wireCheck();
    this.#wireCall();
    this.#wireRondo();
    this.#wireKeys();
    this.#accounts.attach(this.#rondo, { name: () => this.#prefs.name, changed: () => void this.#drawCounts(), profile: (user) => this.#landing.follow(user) });
    addEventListener('popstate', () => this.#walkTo());
    this.#begin();
  }

  // ---- beginning ----

  #begin() {
    this.#connection(this.#rondo.status, 0);
    const wasBusy = takeMark();
    if (wasBusy) {
      $('start-words', HTMLElement).textContent = wasBusy === 'call' ? 'Coming back to your call …' : 'Coming back …';
      setTimeout(() => this.#firstView(), returnPatience);
    } else {
      this.#firstView();
    }
    this.#rondo.open().then(
      () => this.#firstView(),
      () => this.#firstView(),
    );
    setInterval(() => void this.#drawCounts(), countsEvery);
  }

  /** Shows where the user is, once it is known. */
  #firstView() {
    if (currentView() === 'chats' && !this.#rondo.room && !this.#rondo.search) return;
    if (!['start', 'landing', 'lobby', 'chats'].includes(currentView())) return;
    const { room, search, status } = this.#rondo;
    if (room) this.#enter(room);
    else if (search) this.#showSearch();
    else if (this.#roomId) this.#showLobby(status === 'open');
    else if (Chats.place(location.pathname) !== null) this.#chats.show(Chats.place(location.pathname) ?? '');
    else showView('landing', document.body);
  }

  // ---- wiring ----

  #wireTop() {
    $('theme', HTMLButtonElement).addEventListener('click', () => this.#nextTheme());
    $('extras-theme', HTMLButtonElement).addEventListener('click', () => this.#nextTheme());
    for (const id of ['help', 'extras-help']) $(id, HTMLButtonElement).addEventListener('click', () => this.#help());
    $('brand', HTMLAnchorElement).addEventListener('click', (e) => {
      if (e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      this.#goHome();
    });
    $('lobby-home', HTMLAnchorElement).addEventListener('click', (e) => {
      e.preventDefault();
      this.#goHome();
    });
    $('chats-open', HTMLAnchorElement).addEventListener('click', (e) => {
      if (e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      this.#goChats();
    });
    $('landing-topics', HTMLButtonElement).addEventListener('click', () => this.#goChats('topics'));
    $('account-chats', HTMLButtonElement).addEventListener('click', () => {
      $('account-dialog', HTMLDialogElement).close();
      if (currentView() === 'call') this.#call.showChat(true);
      else this.#goChats();
    });
    this.#drawTheme();
  }

  #wireLanding() {
    $('find-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      this.#since = e.timeStamp;
      this.#landing.commit();
      void this.#want({ do: 'find' });
    });
    $('device-check-open', HTMLButtonElement).addEventListener('click', () => {
      this.#landing.commit();
      this.#intent = { do: 'find' };
      this.#showCheck();
    });
    $('create-room', HTMLButtonElement).addEventListener('click', () => {
      this.#landing.commit();
      $('room-mode', HTMLSelectElement).value = this.#prefs.mode;
      openDialog($('room-dialog', HTMLDialogElement));
    });
    $('room-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      this.#createRoom();
    });
    $('lobby-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      this.#prefs.name = $('lobby-name', HTMLInputElement).value.trim();
      $('name', HTMLInputElement).value = this.#prefs.name;
      this.#save();
      void this.#want({ do: 'join', id: this.#roomId, passcode: $('lobby-passcode', HTMLInputElement).value });
    });
  }

  #wireCheck() {
    $('check-start', HTMLButtonElement).addEventListener('click', (e) => {
      this.#since = e.timeStamp;
      this.#prefs.checked = true;
      this.#save();
      void this.#go();
    });
    $('check-back', HTMLButtonElement).addEventListener('click', () => {
      void this.#media.release();
      if (this.#intent.do === 'join') this.#showLobby(true);
      else this.#home();
    });
    $('cancel', HTMLButtonElement).addEventListener('click', () => void this.#cancel());
  }

  #wireCall() {
    $('next', HTMLButtonElement).addEventListener('click', () => void this.#next());
    $('stop', HTMLButtonElement).addEventListener('click', () => void this.#stop());
    $('settings', HTMLButtonElement).addEventListener('click', () => {
      this.#settings.open({ audio: true, video: this.#call.room?.mode !== 'audio' });
      openDialog($('settings-dialog', HTMLDialogElement));
    });
    $('settings-dialog', HTMLDialogElement).addEventListener('close', () => this.#settings.close());
    $('block', HTMLButtonElement).addEventListener('click', () => openDialog($('block-dialog', HTMLDialogElement)));
    $('block-confirm', HTMLButtonElement).addEventListener('click', () => void this.#block());
  }

  #wireKeys() {
    const inCall = (/** @type {() => void} */ run) => () => {
      if (currentView() === 'call') run();
    };
    const keys = this.#keys;
    keys.on = this.#prefs.keys;
    keys.add('n', 'Next person', inCall(() => void this.#next()));
    keys.add('e', 'Stop or leave', () => {
      if (currentView() === 'call') void this.#stop();
      else if (currentView() === 'search') void this.#cancel();
    });
    keys.add('m', 'Microphone on or off', inCall(() => this.#call.toggleMicrophone()));
    keys.add('v', 'Camera on or off', inCall(() => this.#call.toggleCamera()));
    keys.add('c', 'Write a message', inCall(() => this.#call.showChat(true)));
    keys.add('s', 'Share your screen', inCall(() => void this.#call.toggleScreen()));
    keys.add('p', 'Picture in picture', inCall(() => void this.#call.togglePip()));
    keys.add('?', 'This help', () => this.#help());
    $('keys-list', HTMLElement).replaceChildren(...[...keys.list, { key: 'esc', words: 'Close chat, menu or dialog' }].flatMap(({ key, words }) => [el('dt', {}, el('kbd', {}, key.length === 1 ? key.toUpperCase() : 'Esc')), el('dd', {}, words)]));
    const box = $('keys-on', HTMLInputElement);
    box.checked = keys.on;
    box.addEventListener('change', () => {
      keys.on = this.#prefs.keys = box.checked;
      this.#save();
    });
  }

  #wireRondo() {
    const rondo = this.#rondo;
    rondo.on('connection', ({ status, reason, retryMs }) => {
      this.#connection(status, retryMs, reason);
      if (status !== 'closed') return;
      if (currentView() !== 'chats') {
        this.#leaveView();
        showView('landing');
      }
      if (reason === 'auth') void this.#loggedOut();
      else complain(closedWords(reason), reason);
    });
    rondo.on('session', ({ reset }) => {
      this.#ready = true;
      this.#chats.session();
      for (const id of ['landing-topics', 'account-chats']) $(id, HTMLElement).hidden = !this.#chats.there;
      this.#landing.poolsChanged();
      void this.#drawCounts();
      if (reset && currentView() === 'search' && !rondo.search) this.#quietly(this.#find());
    });
    rondo.on('user', () => this.#chats.session());
    rondo.on('waiting', (w) => {
      if (w && currentView() === 'search') this.#search.update(w);
    });
    rondo.on('found', ({ room }) => this.#found(room));
    rondo.on('room', (room) => {
      if (room && room.kind === 'named' && currentView() === 'start') this.#enter(room);
    });
    rondo.on('stopped', ({ reason }) => {
      this.#home();
      complain(reason === 'replaced' ? 'You search in another tab now.' : errorWords(reason, 'The search ended without a match. Please start again.'), reason);
    });
    rondo.on('error', (err) => console.debug('rondo:', err.code, err.message));
  }

  /** The server let us go as somebody who may not be here any more. */
  async #loggedOut() {
    if (!(await this.#accounts.ended())) complain(closedWords('auth'), 'auth');
  }

  // ---- doing ----

  /**
   * Does what the user wants, after a look at the devices where that is due.
   * @param {Intent} intent
   */
  async #want(intent) {
    calm();
    this.#intent = intent;
    const mode = this.#intentMode();
    const quick = new URLSearchParams(location.search).has('quick');
    const allowed = quick || this.#prefs.checked || this.#permissions.allow(mode);
    if (allowed === true || (await allowed)) await this.#go();
    else this.#showCheck();
  }

  /** @returns {Mode} */
  #intentMode() {
    if (this.#intent.do === 'create') return this.#intent.options.mode ?? 'video';
    if (this.#intent.do === 'join') return this.#lobby.info?.mode ?? 'video';
    return this.#prefs.mode;
  }

  async #go() {
    this.#check.close();
    const intent = this.#intent;
    const name = this.#newName();
    try {
      if (intent.do === 'find') {
        // What takes longest comes first: asking the server, then the devices.
        const found = name ? null : this.#find();
        void this.#media.use(this.#intentMode());
        await null; // they are asked for before anything is drawn
        this.#showSearch();
        if (name) await this.#rename(name);
        if (currentView() === 'search') await (found ?? this.#find()); // not cancelled meanwhile
        else await found;
        return;
      }
      // In a room everybody sees at once what we send, so it comes along.
      const devices = this.#media.use(this.#intentMode());
      if (name) await this.#rename(name);
      await devices;
      const room = intent.do === 'create' ? await this.#rondo.createRoom(intent.options) : await this.#rondo.joinRoom(intent.id, intent.passcode);
      history.pushState(null, '', `/r/${room.id}`);
      this.#roomId = room.id;
      this.#enter(room);
    } catch (err) {
      this.#failed(err);
    }
  }

  #find() {
    return this.#rondo.find(this.#landing.wish(), this.#plan());
  }

  /** The call that begins as soon as somebody is found. */
  #plan() {
    return { call: this.#call.options(), since: this.#since };
  }

  /** What the user wants to be called, if the server does not know; else ''. */
  #newName() {
    const name = this.#prefs.name;
    return name === this.#rondo.user?.name || this.#rondo.user?.guest === false ? '' : name;
  }

  /** @param {string} name */
  async #rename(name) {
    try {
      await this.#rondo.rename(name);
    } catch (err) {
      if (err instanceof RondoError && err.code === 'bad_request') throw new NameError(err.message);
      // too fast: the old name will do for this time
    }
  }

  /** @param {unknown} err */
  #failed(err) {
    const code = err instanceof RondoError ? err.code : err instanceof NameError ? 'name' : 'internal';
    if (code === 'closed') return;
    void this.#media.release();
    if (this.#intent.do === 'join') this.#showLobby(true);
    else this.#home();
    if (err instanceof NameError) this.#landing.nameError(err.message);
    else complain(errorWords(code, err instanceof Error ? err.message : ''), code);
  }

  /** @param {Promise<unknown>} work */
  #quietly(work) {
    work.catch((err) => this.#failed(err));
  }

  #createRoom() {
    const value = (/** @type {string} */ id) => $(id, HTMLInputElement).value.trim();
    const passcode = $('room-passcode', HTMLInputElement).value;
    $('room-dialog', HTMLDialogElement).close();
    void this.#want({
      do: 'create',
      options: {
        name: value('room-name'),
        mode: /** @type {Mode} */ ($('room-mode', HTMLSelectElement).value),
        capacity: Number($('room-capacity', HTMLSelectElement).value),
        ...(passcode ? { passcode } : {}),
      },
    });
  }

  async #cancel() {
    this.#home();
    void this.#media.release();
    say('Search cancelled');
    const { room } = this.#rondo; // found in this moment
    await (room ? this.#rondo.leave() : this.#rondo.cancel()).catch(() => {});
  }

  async #next() {
    if (this.#call.room?.kind === 'named') return;
    this.#since = performance.now();
    calm();
    this.#intent = { do: 'find' };
    const wish = this.#rondo.wish.pool ? this.#rondo.wish : this.#landing.wish();
    const found = this.#rondo.next(wish, this.#plan());
    this.#call.close();
    this.#showSearch();
    void this.#media.use(this.#prefs.mode);
    this.#quietly(found);
  }

  async #stop() {
    this.#leaveView();
    this.#home();
    say('You left');
    await this.#rondo.leave().catch(() => {});
  }

  async #block() {
    $('block-dialog', HTMLDialogElement).close();
    const room = this.#call.room;
    const peer = room?.match?.peer;
    if (!room || !peer) return;
    try {
      await room.block(peer.id);
      say(`You will not meet ${peer.name} again`);
    } catch (err) {
      complain(errorWords(err instanceof RondoError ? err.code : 'internal', 'Blocking did not work. You were moved on all the same.'), 'block');
    }
    await this.#next();
  }

  // ---- views ----

  /**
   * Shows the call once it has found its way: drawing holds up the script,
   * which is needed until then and not after.
   *
   * @param {Room} room
   */
  #found(room) {
    const { call } = room;
    if (!call) {
      this.#enter(room);
      return;
    }
    const draw = () => {
      clearTimeout(timer);
      for (const stop of stops) stop();
      if (room === this.#rondo.room || (room.ended && room.ended !== 'left')) this.#enter(room);
    };
    const timer = setTimeout(draw, drawAfter);
    const stops = [call.on('path', draw), room.on('ended', draw)];
  }

  /** @param {Room} room */
  #enter(room) {
    calm();
    this.#search.close();
    this.#check.close();
    this.#chats.leave();
    if (room.kind === 'matched') this.#prefs.mode = room.mode;
    if (room.ended) {
      // It was over before it was shown.
      const words = endWords(room.ended, room.match?.peer.name ?? 'They');
      complain(`${words.title}. ${words.words}`, room.ended);
      this.#home();
      return;
    }
    void this.#media.use(room.mode);
    this.#tabs.set('call');
    mark('call');
    showView('call');
    this.#call.open(room);
    void this.#keepAwake(true);
    const name = room.match?.peer.name;
    say(name ? [`You met ${name}`, sharedWords(room)].filter((w) => w).join('. ') : room.name ? `You are in ${room.name}` : 'You are in the room');
    if (room.kind === 'named' && location.pathname !== `/r/${room.id}`) history.replaceState(null, '', `/r/${room.id}`);
  }

  #showSearch() {
    const wish = this.#rondo.search ? this.#rondo.wish : this.#landing.wish();
    const pool = this.#rondo.pools.find((p) => p.name === (this.#rondo.search?.pool ?? wish.pool)) ?? this.#rondo.pools[0];
    this.#tabs.set('search');
    mark('search');
    if (this.#rondo.search) void this.#media.use(pool?.mode ?? 'text');
    showView('search');
    this.#search.open(pool, wish);
    if (this.#rondo.search) this.#search.update(this.#rondo.search);
    this.#drawOtherTabs();
  }

  #showCheck() {
    const words = { find: 'Start', create: 'Make the room', join: 'Join' };
    const mode = this.#intentMode();
    showView('check');
    void this.#check.open(mode === 'text' ? 'video' : mode, words[this.#intent.do]);
  }

  /** @param {boolean} ask the server is there to be asked */
  #showLobby(ask) {
    this.#tabs.set('idle');
    mark('');
    showView('lobby');
    if (ask) void this.#lobby.open(this.#roomId, this.#prefs.name);
    else $('lobby-name', HTMLInputElement).value = this.#prefs.name;
  }

  /** Leaves call, search, check and chats behind. */
  #leaveView() {
    this.#chats.leave();
    this.#check.close();
    this.#search.close();
    this.#call.close();
    void this.#media.release();
    void this.#keepAwake(false);
  }

  /** Shows the landing page. */
  #home() {
    this.#leaveView();
    this.#tabs.set('idle');
    mark('');
    this.#roomId = '';
    if (location.pathname !== '/') history.pushState(null, '', '/');
    showView('landing');
    this.#drawOtherTabs();
    void this.#drawCounts();
    setTimeout(() => this.#accounts.idle(), 0); // after what is left now was told
  }

  /** The user used the browser's buttons. */
  #walkTo() {
    const place = Chats.place(location.pathname);
    if (place === null) this.#goHome();
    else if (currentView() === 'chats') this.#chats.show(place);
    else this.#goChats(place);
  }

  /** To the chats, away from whatever was on. @param {string} [place] */
  #goChats(place = '') {
    calm();
    this.#leaveWork();
    this.#leaveView();
    this.#roomId = '';
    this.#tabs.set('idle');
    mark('');
    this.#chats.go(place);
    setTimeout(() => this.#accounts.idle(), 0);
  }

  #leaveWork() {
    const rondo = this.#rondo;
    if (rondo.room) void rondo.leave().catch(() => {});
    else if (rondo.search) void rondo.cancel().catch(() => {});
  }

  /** The user went away from whatever was on, to the start or (by the browser's buttons) to a room's door. */
  #goHome() {
    const room = roomOfPath();
    this.#leaveWork();
    this.#leaveView();
    if (room && room !== this.#roomId) {
      this.#roomId = room;
      this.#showLobby(true);
      return;
    }
    this.#home();
  }

  // ---- drawing ----

  /**
   * @param {import('../sdk/connection.js').Status} status
   * @param {number} retryMs
   * @param {string} [reason]
   */
  #connection(status, retryMs, reason = '') {
    document.documentElement.dataset.connection = status;
    const box = $('link-state', HTMLElement);
    const words = status === 'reconnecting' || (status === 'connecting' && retryMs > 0) ? 'Reconnecting …' : '';
    box.textContent = words;
    box.hidden = words === '';
    if (reason === 'restart') return; // it begins anew as somebody else
    if (status === 'reconnecting') {
      const words = reconnectWords(currentView(), reason === 'offline' || navigator.onLine === false);
      if (words) say(words);
      this.#away = true;
    } else if (status === 'open' && this.#away) {
      this.#away = false;
      if (this.#ready) say('Back again');
    }
  }

  async #drawCounts() {
    if (currentView() !== 'landing' || document.hidden || this.#rondo.status !== 'open') return;
    this.#landing.counts(await this.#rondo.stats().catch(() => null));
  }

  #drawOtherTabs() {
    const doing = this.#tabs.others;
    const words =
      doing === 'call'
        ? 'You are in a call in another tab of this browser. Two tabs are one person, so they never meet each other.'
        : 'Another tab of this browser is searching too. Two tabs are one person, so they never meet each other.';
    for (const id of ['other-tab', 'other-tab-landing']) {
      const box = $(id, HTMLElement);
      box.hidden = doing === 'idle';
      box.textContent = doing === 'idle' ? '' : words;
    }
  }

  #nextTheme() {
    const order = /** @type {const} */ (['auto', 'light', 'dark']);
    this.#prefs.theme = order[(order.indexOf(this.#prefs.theme) + 1) % order.length];
    this.#save();
    this.#drawTheme();
    say(`Theme: ${this.#prefs.theme === 'auto' ? 'as your system' : this.#prefs.theme}`);
  }

  #drawTheme() {
    const { theme } = this.#prefs;
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    for (const id of ['theme', 'extras-theme']) setIcon($(id, HTMLElement), theme);
    const label = `Theme: ${theme === 'auto' ? 'as your system' : theme}`;
    $('theme', HTMLElement).setAttribute('aria-label', label);
    $('theme', HTMLElement).title = label;
  }

  #help() {
    openDialog($('help-dialog', HTMLDialogElement));
  }

  /** @param {boolean} on */
  async #keepAwake(on) {
    try {
      if (!on) {
        await this.#wakeLock?.release();
        this.#wakeLock = null;
      } else if (!this.#wakeLock || this.#wakeLock.released) {
        this.#wakeLock = await /** @type {any} */ (navigator).wakeLock?.request('screen');
      }
    } catch {
      // the screen may sleep then
    }
  }
}

/** A name that the server will not have. */
class NameError extends Error {}

/** @returns {string} the room's id in the address, or '' */
function roomOfPath() {
  return /^\/r\/([A-Za-z0-9_-]+)$/.exec(location.pathname)?.[1] ?? '';
}

const markKey = 'rondo.busy';

/**
 * Remembers over a reload that a call or a search was on.
 * @param {'call' | 'search' | ''} what
 */
function mark(what) {
  try {
    if (what) sessionStorage.setItem(markKey, what);
    else sessionStorage.removeItem(markKey);
  } catch {
    // then the landing shows for a moment
  }
}

/** @returns {string} what was on before a reload */
function takeMark() {
  try {
    const what = sessionStorage.getItem(markKey) ?? '';
    sessionStorage.removeItem(markKey);
    return what;
  } catch {
    return '';
  }
}

new App().start();
