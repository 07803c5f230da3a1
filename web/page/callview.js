import { ChatPanel } from './chat.js';
import { cornered } from './drag.js';
import { Pictures, drawFace } from './picture.js';
import { Tile } from './tile.js';
import { $, copyText, say, setIcon } from './ui.js';
import { count, endWords } from './words.js';

/** @typedef {import('../sdk/rondo.js').Room} Room */
/** @typedef {import('../sdk/rondo.js').Call} Call */

/**
 * @typedef {object} CallViewOptions
 * @property {import('./media.js').LocalMedia} media
 * @property {import('./prefs.js').Prefs} prefs
 * @property {() => void} save
 * @property {import('./picture.js').FindPicture} picture
 */

const desktop = matchMedia('(min-width: 900px)');

/** The call: tiles, own picture, controls, chat. */
export class CallView {
  chat = new ChatPanel();

  #o;
  #view = $('view-call', HTMLElement);
  #tiles = $('tiles', HTMLElement);
  #self = $('self', HTMLElement);
  #localVideo = $('local-video', HTMLVideoElement);
  /** @type {Map<string, Tile>} */
  #people = new Map();
  /** @type {Room | null} */
  #room = null;
  /** @type {Call | null} */
  #call = null;
  /** @type {(() => void)[]} */
  #stops = [];
  #pictures;

  /** @param {CallViewOptions} options */
  constructor(options) {
    this.#o = options;
    this.#pictures = new Pictures(options.picture, (id, picture) => this.#drawPicture(id, picture));
    const { media, prefs } = options;
    cornered(this.#self, prefs.corner, (corner) => {
      prefs.corner = corner;
      options.save();
    });
    media.on('change', () => this.#drawControls());
    media.on('track', ({ kind, track, screen }) => void this.#call?.setTrack(kind, track, { screen }));
    $('toggle-mic', HTMLButtonElement).addEventListener('click', () => this.toggleMicrophone());
    $('toggle-camera', HTMLButtonElement).addEventListener('click', () => this.toggleCamera());
    $('share-screen', HTMLButtonElement).addEventListener('click', () => void this.toggleScreen());
    $('pip', HTMLButtonElement).addEventListener('click', () => void this.togglePip());
    $('toggle-chat', HTMLButtonElement).addEventListener('click', () => this.showChat(!this.#chatOpen));
    $('chat-close', HTMLButtonElement).addEventListener('click', () => {
      this.showChat(false);
      $('toggle-chat', HTMLButtonElement).focus();
    });
    for (const id of ['copy-link', 'alone-copy']) $(id, HTMLButtonElement).addEventListener('click', () => void this.#copyLink());
    this.#wireMenu();
    this.chat.onUnread = (n) => this.#drawUnread(n);
    for (const type of ['enterpictureinpicture', 'leavepictureinpicture']) this.#tiles.addEventListener(type, () => this.#drawControls(), true);
    $('share-screen', HTMLElement).hidden = !navigator.mediaDevices?.getDisplayMedia;
    $('pip', HTMLElement).hidden = !document.pictureInPictureEnabled;
  }

  /** The room on show. */
  get room() {
    return this.#room;
  }

  /** @param {Room} room */
  open(room) {
    this.#detach();
    this.#room = room;
    this.#view.dataset.kind = room.kind;
    this.#view.dataset.mode = room.mode;
    document.documentElement.dataset.room = room.id;
    document.documentElement.dataset.mode = room.mode;
    $('alone', HTMLElement).hidden = true;
    this.#pictures.clear();
    this.chat.clear();
    this.chat.open(room, this.#pictures);
    if (room.match) this.chat.note([`You met ${room.match.peer.name}.`, sharedWords(room)].filter((w) => w).join(' ').replace(/([^.])$/, '$1.'));
    for (const peer of room.peers.values()) {
      this.#add(peer.id);
      void this.#pictures.ask(peer);
    }
    this.#follow(room);
    if (room.mode !== 'text') this.#start(room);
    this.showChat(room.mode === 'text' || desktop.matches, { focus: room.mode === 'text' && desktop.matches });
    this.#drawPeople();
    this.#drawControls();
  }

  /** The room is over; what was said stays in sight. @param {string} title @param {string} words */
  ended(title, words) {
    this.#detach();
    this.#seatSelf(false);
    for (const id of [...this.#people.keys()]) this.#drop(id);
    if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
    $('alone', HTMLElement).hidden = false;
    $('alone-title', HTMLElement).textContent = title;
    $('alone-words', HTMLElement).textContent = words;
    $('alone-copy', HTMLElement).hidden = true;
    this.chat.note(title + '.');
    this.chat.close();
    this.#drawControls();
  }

  /** Forgets the call. */
  close() {
    this.#detach();
    this.#seatSelf(false);
    for (const id of [...this.#people.keys()]) this.#drop(id);
    if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
    this.chat.clear();
    delete document.documentElement.dataset.room;
    delete document.documentElement.dataset.mode;
  }

  toggleMicrophone() {
    if (!this.#room || this.#room.mode === 'text') return;
    void this.#o.media.toggleMicrophone().then(() => {
      say(this.#o.media.sends('audio') ? 'Microphone on' : 'Microphone muted');
    });
  }

  toggleCamera() {
    if (this.#room?.mode !== 'video') return;
    const { media } = this.#o;
    void media.toggleCamera().then(() => {
      const on = media.picture !== null;
      say(on ? 'Camera on' : media.wanted.video ? 'The camera cannot be opened' : 'Camera off');
    });
  }

  async toggleScreen() {
    const { media } = this.#o;
    if (this.#room?.mode !== 'video' || !navigator.mediaDevices?.getDisplayMedia) return;
    if (media.sharing) media.stopSharing();
    else if (await media.share()) say('You share your screen');
  }

  async togglePip() {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.#people.values().next().value?.video.requestPictureInPicture();
    } catch {
      say('Picture in picture works once there is a picture');
    }
    this.#drawControls();
  }

  /**
   * @param {boolean} open
   * @param {{focus?: boolean}} [options]
   */
  showChat(open, { focus = open } = {}) {
    if (this.#room?.mode === 'text') open = true;
    this.#view.classList.toggle('chat-open', open);
    $('toggle-chat', HTMLButtonElement).setAttribute('aria-expanded', String(open));
    this.chat.setVisible(open);
    this.#menu(false);
    if (open && focus) this.chat.focus();
  }

  /** Plays the sound where the user wants it. */
  applySpeaker() {
    for (const tile of this.#people.values()) this.#setSink(tile.video);
  }

  // ---- the room ----

  /** @param {Room} room */
  #follow(room) {
    this.#stops.push(
      room.on('joined', (peer) => {
        this.#add(peer.id);
        void this.#pictures.ask(peer);
        this.#drawPeople();
        this.chat.note(`${peer.name} came in.`);
        say(`${peer.name} came in`);
      }),
      room.on('left', ({ peer }) => {
        if (room.kind !== 'named') return;
        this.#drop(peer.id);
        this.#drawPeople();
        this.chat.note(`${peer.name} left.`);
        say(`${peer.name} left`);
      }),
      room.on('away', (peer) => this.#people.get(peer.id)?.setAway(true)),
      room.on('back', ({ peer }) => this.#people.get(peer.id)?.setAway(false)),
      room.on('connection', (there) => {
        for (const tile of this.#people.values()) tile.setCut(!there);
      }),
      room.on('updated', (peer) => {
        const tile = this.#people.get(peer.id);
        if (tile) tile.name = peer.name;
        void this.#pictures.ask(peer);
        this.#drawPeople();
      }),
      room.on('reset', () => this.#redrawPeople(room)),
      room.on('resync', () => this.#redrawPeople(room)),
      room.on('ended', (reason) => {
        const words = endWords(reason, room.match?.peer.name ?? 'They');
        if (reason === 'left' || reason === 'next') return;
        this.ended(words.title, words.words);
        say(words.title, { quiet: true });
      }),
    );
  }

  /** How a call is made, now or when somebody is found. @returns {import('../sdk/call.js').CallOptions} */
  options() {
    const { media, prefs } = this.#o;
    return { stream: () => media.stream, relay: prefs.relay, maxBitrate: prefs.low ? 250_000 : undefined };
  }

  /** @param {Room} room */
  #start(room) {
    const { media } = this.#o;
    const early = room.call !== null; // it began in the moment in which they were found
    const call = room.startCall(this.options());
    this.#call = call;
    if (media.sharing) void call.setTrack('video', media.picture, { screen: true });
    else if (early) {
      void call.setTrack('audio', media.microphone);
      void call.setTrack('video', media.picture);
    }
    this.#stops.push(
      call.on('remote', ({ peer, stream }) => this.#remote(call, peer, stream)),
      call.on('state', ({ peer, state, reason }) => this.#linkState(peer, state, reason)),
      call.on('quality', ({ peer, quality }) => this.#people.get(peer)?.setQuality(quality)),
      call.on('media', ({ peer, media: m }) => this.#people.get(peer)?.setMedia(m)),
      call.on('hangup', ({ peer }) => this.#people.get(peer)?.setState('closed', '')),
    );
    for (const id of call.peers) {
      const link = call.link(id);
      if (!link) continue;
      this.#people.get(id)?.setState(link.state, '');
      if (early) this.#people.get(id)?.setMedia(link.media);
      if (link.stream.getTracks().length > 0) this.#remote(call, id, link.stream);
    }
  }

  /**
   * @param {Call} call
   * @param {string} peer
   * @param {MediaStream} stream
   */
  #remote(call, peer, stream) {
    const tile = this.#people.get(peer);
    if (!tile) return;
    call.attach(peer, tile.video);
    tile.play(stream);
    this.#setSink(tile.video);
  }

  /**
   * @param {string} peer
   * @param {import('../sdk/link.js').LinkState} state
   * @param {import('../sdk/types.js').FailReason | ''} reason
   */
  #linkState(peer, state, reason) {
    const tile = this.#people.get(peer);
    if (!tile) return;
    tile.setState(state, reason);
    if (state === 'connected') say(`Connected with ${tile.name}`, { quiet: true });
    if (state === 'reconnecting') say(`Reconnecting to ${tile.name}`, { quiet: true });
    if (state === 'failed') say(`The call with ${tile.name} failed. You can try again, use the relay, or go on.`, { quiet: true });
  }

  #detach() {
    for (const stop of this.#stops.splice(0)) stop();
    this.#room = null;
    this.#call = null;
  }

  // ---- people ----

  /** @param {string} id */
  #add(id) {
    const room = this.#room;
    const peer = room?.peers.get(id);
    if (!room || !peer || this.#people.has(id) || room.mode === 'text') return;
    const tile = new Tile({ id, name: peer.name, mode: room.mode, onRetry: (options) => void room.call?.retry(id, options.relay ? { relay: true } : {}) });
    tile.setAway(peer.away);
    tile.picture = this.#pictures.of(id);
    this.#people.set(id, tile);
    this.#tiles.append(tile.element);
  }

  /** @param {string} id */
  #drop(id) {
    this.#people.get(id)?.remove();
    this.#people.delete(id);
  }

  /** @param {Room} room */
  #redrawPeople(room) {
    for (const id of [...this.#people.keys()]) if (!room.peers.has(id)) this.#drop(id);
    for (const [id, peer] of room.peers) {
      this.#add(id);
      void this.#pictures.ask(peer);
      this.#people.get(id)?.setAway(peer.away);
    }
    this.#drawPeople();
  }

  /**
   * @param {string} id
   * @param {string} picture
   */
  #drawPicture(id, picture) {
    const tile = this.#people.get(id);
    if (tile) tile.picture = picture;
    this.chat.drawPicture(id);
    this.#drawPeople();
  }

  #drawPeople() {
    const room = this.#room;
    if (!room) return;
    const [first] = room.peers.values();
    const face = $('remote-face', HTMLElement);
    face.hidden = room.kind === 'named' || !first;
    if (first) drawFace(face, first.name, this.#pictures.of(first.id));
    const inGrid = room.kind === 'named' && room.peers.size > 0;
    this.#tiles.dataset.count = String(room.peers.size + (inGrid ? 1 : 0));
    this.#seatSelf(inGrid);
    const names = [...room.peers.values()].map((p) => p.name);
    $('remote-name', HTMLElement).textContent = room.kind === 'named' ? room.name || 'Room' : (names[0] ?? '');
    $('shared', HTMLElement).textContent = room.kind === 'named' ? count(room.peers.size + 1, 'person', 'people') + ` of ${room.capacity}` : sharedWords(room);
    $('call-title', HTMLElement).textContent = names.length ? `In a call with ${names.join(', ')}` : 'In the room, alone';
    const alone = room.kind === 'named' && room.peers.size === 0;
    const box = $('alone', HTMLElement);
    box.hidden = !alone;
    if (!alone) return;
    $('alone-title', HTMLElement).textContent = room.name || 'Your room is open';
    $('alone-words', HTMLElement).textContent = 'You are the first one here. Send the link to whom you want to see.';
    $('alone-copy', HTMLElement).hidden = false;
  }

  /**
   * Our own picture sits among the others in a room, and in a corner in a call of two.
   * @param {boolean} inGrid
   */
  #seatSelf(inGrid) {
    const home = inGrid ? this.#tiles : $('stage', HTMLElement);
    this.#self.classList.toggle('in-grid', inGrid);
    if (inGrid ? this.#tiles.lastElementChild === this.#self : this.#self.parentElement === home) return;
    home.append(this.#self);
    if (this.#localVideo.srcObject) void this.#localVideo.play().catch(() => {});
  }

  // ---- controls ----

  get #chatOpen() {
    return this.#view.classList.contains('chat-open');
  }

  #drawControls() {
    const { media } = this.#o;
    this.#drawMic(media);
    this.#drawCamera(media);
    this.#press('share-screen', media.sharing, media.sharing ? 'Stop sharing the screen' : 'Share screen', 'S');
    this.#press('pip', document.pictureInPictureElement !== null, 'Picture in picture', 'P');
    for (const id of ['settings', 'copy-link', 'block']) {
      const b = $(id, HTMLButtonElement);
      b.title = b.textContent?.trim() ?? '';
    }
    const open = this.#room !== null && !this.#room.ended;
    $('block', HTMLButtonElement).disabled = this.#room?.kind !== 'matched';
    for (const id of ['share-screen', 'pip']) $(id, HTMLButtonElement).disabled = !open;
    $('stop-words', HTMLElement).textContent = this.#view.dataset.kind === 'named' ? 'Leave' : 'Stop';
    $('stop', HTMLElement).setAttribute('aria-label', this.#view.dataset.kind === 'named' ? 'Leave' : 'Stop');
    $('stop', HTMLElement).title = 'E';
    $('next', HTMLElement).title = 'Next (N)';
  }

  /** @param {import('./media.js').LocalMedia} media */
  #drawMic(media) {
    const mic = $('toggle-mic', HTMLButtonElement);
    const off = !media.sends('audio');
    mic.setAttribute('aria-pressed', String(off));
    const label = media.microphone ? 'Mute microphone' : 'Microphone muted: none works';
    mic.setAttribute('aria-label', label);
    mic.title = `${off ? 'Unmute' : 'Mute'} (M)`;
    setIcon(mic, off ? 'mic-off' : 'mic');
    const badge = $('self-badge', HTMLElement);
    badge.hidden = !off;
    badge.textContent = 'muted';
  }

  /** @param {import('./media.js').LocalMedia} media */
  #drawCamera(media) {
    const camera = $('toggle-camera', HTMLButtonElement);
    const off = media.picture === null;
    camera.setAttribute('aria-pressed', String(off));
    camera.setAttribute('aria-label', 'Turn camera off');
    camera.title = `${off ? 'Camera on' : 'Camera off'} (V)`;
    setIcon(camera, off ? 'cam-off' : 'cam');
    this.#self.classList.toggle('no-video', off);
    this.#self.classList.toggle('screen', media.sharing);
    showTrack(this.#localVideo, media.picture);
  }

  /**
   * @param {string} id
   * @param {boolean} pressed
   * @param {string} label
   * @param {string} key
   */
  #press(id, pressed, label, key) {
    const b = $(id, HTMLButtonElement);
    b.setAttribute('aria-pressed', String(pressed));
    b.title = `${label} (${key})`;
  }

  /** @param {number} n */
  #drawUnread(n) {
    const badge = $('unread', HTMLElement);
    badge.hidden = n === 0;
    badge.textContent = n > 9 ? '9+' : String(n);
    $('toggle-chat', HTMLElement).setAttribute('aria-label', n ? `Chat, ${count(n, 'new message', 'new messages')}` : 'Chat');
  }

  #wireMenu() {
    const more = $('more', HTMLButtonElement);
    const extras = $('extras', HTMLElement);
    more.addEventListener('click', () => this.#menu(!extras.classList.contains('open')));
    extras.addEventListener('click', () => this.#menu(false));
    addEventListener('pointerdown', (e) => {
      if (e.target instanceof Node && !extras.contains(e.target) && !more.contains(e.target)) this.#menu(false);
    });
    addEventListener('keydown', (e) => {
      if (e.key !== 'Escape' || document.querySelector('dialog[open]')) return;
      if (extras.classList.contains('open')) {
        this.#menu(false);
        more.focus();
      } else if (this.#chatOpen && !desktop.matches && this.#room?.mode !== 'text') {
        this.showChat(false);
        $('toggle-chat', HTMLButtonElement).focus();
      }
    });
  }

  /** @param {boolean} open */
  #menu(open) {
    const extras = $('extras', HTMLElement);
    const was = extras.classList.contains('open');
    extras.classList.toggle('open', open);
    $('more', HTMLElement).setAttribute('aria-expanded', String(open));
    if (open && !was) /** @type {HTMLElement | null} */ (extras.querySelector('.ctl:not([hidden], :disabled)'))?.focus();
  }

  async #copyLink() {
    const room = this.#room;
    if (!room) return;
    const link = `${location.origin}/r/${room.id}`;
    say((await copyText(link)) ? 'Link copied' : link);
  }

  /** @param {HTMLVideoElement} video */
  #setSink(video) {
    const speaker = this.#o.prefs.speaker;
    if ('setSinkId' in video) video.setSinkId(speaker).catch(() => {});
  }
}

/**
 * Shows a track in an element, or nothing.
 *
 * @param {HTMLVideoElement} video
 * @param {MediaStreamTrack | null} track
 */
export function showTrack(video, track) {
  const now = /** @type {MediaStream | null} */ (video.srcObject)?.getVideoTracks()[0] ?? null;
  if (now === track) return;
  video.srcObject = track ? new MediaStream([track]) : null;
  if (track) void video.play().catch(() => {});
}

/**
 * What the two have in common, in words.
 *
 * @param {Room} room
 */
export function sharedWords(room) {
  const tags = room.match?.shared?.tags ?? [];
  if (tags.length) return `You both like ${tags.join(', ')}`;
  const language = room.match?.shared?.language;
  if (!language) return '';
  try {
    return `You both speak ${new Intl.DisplayNames(['en'], { type: 'language' }).of(language) ?? language}`;
  } catch {
    return '';
  }
}
