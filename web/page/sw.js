// The page's service worker: it shows notifications, and opens the chat of one that is clicked. It has no part in how the
// page is loaded. It is a classic script: not all browsers take modules here.
{
  const worker = /** @type {any} */ (self);

  /**
   * What a push says; something is always shown, for browsers demand it.
   * @param {any} data PushMessageData
   * @returns {{room: string, title: string, body: string, url: string}}
   */
  const read = (data) => {
    let note;
    try {
      note = data.json();
    } catch {
      // then without
    }
    const text = (/** @type {unknown} */ v, /** @type {string} */ otherwise) => (typeof v === 'string' && v !== '' ? v : otherwise);
    const url = text(note?.url, '/c');
    return { room: text(note?.room, ''), title: text(note?.title, 'Rondo'), body: text(note?.body, 'A new message'), url: /^\/c\/c_[A-Za-z0-9_-]{1,62}$/.test(url) ? url : '/c' };
  };

  /** @returns {Promise<any[]>} the open tabs of this site */
  const tabs = () => worker.clients.matchAll({ type: 'window', includeUncontrolled: true });

  /** @param {any} data */
  const show = async (data) => {
    const note = read(data);
    const looked = (await tabs()).some((t) => t.focused && new URL(t.url).pathname === note.url);
    if (looked) return; // they see it happen
    await worker.registration.showNotification(note.title, { body: note.body, tag: note.room, renotify: note.room !== '', icon: '/apple-touch-icon.png', data: { url: note.url } });
  };

  /** @param {string} url */
  const open = async (url) => {
    const there = (await tabs()).find((t) => new URL(t.url).pathname === url);
    // A tab with something else may be in a call: it is left alone.
    await (there ? there.focus() : worker.clients.openWindow(url));
  };

  worker.addEventListener('push', (/** @type {any} */ e) => e.waitUntil(show(e.data)));
  worker.addEventListener('notificationclick', (/** @type {any} */ e) => {
    e.notification.close();
    e.waitUntil(open(e.notification.data?.url ?? '/c'));
  });
}
