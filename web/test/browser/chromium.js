// Drives Chromium over a pipe (no port, gone with its parent), for looking at
// the page and checking it; the end-to-end tests proper are in ../../e2e.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--use-fake-device-for-media-stream', '--allow-loopback-in-peer-connection', '--disable-quic',
  '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars', '--remote-debugging-pipe',
];

/** Starts a browser with a profile of its own. */
export async function launch({ fakeUI = true, fakeDevices = true, extra = [] } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'rondo-chromium-'));
  const args = [...flags.filter((f) => fakeDevices || f !== '--use-fake-device-for-media-stream'), ...(fakeUI ? ['--use-fake-ui-for-media-stream'] : []), ...extra, `--user-data-dir=${profile}`];
  const child = spawn(process.env.CHROMIUM ?? 'chromium', args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const waiting = new Map();
  const sessions = new Map();
  let id = 0;
  let buffer = '';
  child.stdio[4].setEncoding('utf8');
  child.stdio[4].on('data', (text) => {
    buffer += text;
    for (let end; (end = buffer.indexOf('\0')) >= 0; buffer = buffer.slice(end + 1)) {
      const m = JSON.parse(buffer.slice(0, end));
      if (m.id) {
        const w = waiting.get(m.id);
        waiting.delete(m.id);
        if (m.error) w.reject(new Error(`${w.method}: ${m.error.message}`));
        else w.resolve(m.result);
      } else sessions.get(m.sessionId)?.(m.method, m.params);
    }
  });
  const send = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      waiting.set(++id, { resolve, reject, method });
      child.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
    });
  return {
    send,
    /** Opens a page; one context is one person. */
    async page({ width = 1280, height = 800, touch = false, dark = false, context } = {}) {
      const browserContextId = context ?? (await send('Target.createBrowserContext')).browserContextId;
      const { targetId } = await send('Target.createTarget', { url: 'about:blank', browserContextId });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      const page = new Page((method, params) => send(method, params, sessionId), browserContextId);
      sessions.set(sessionId, (method, params) => page.event(method, params));
      await page.send('Page.enable');
      await page.send('Runtime.enable');
      await page.send('Log.enable');
      await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: touch });
      if (touch) await page.send('Emulation.setTouchEmulationEnabled', { enabled: true });
      await page.theme(dark);
      return page;
    },
    async close() {
      await Promise.race([send('Browser.close').catch(() => {}), new Promise((r) => setTimeout(r, 2000))]);
      child.kill('SIGKILL');
      for (let tries = 0; tries < 20; tries++) {
        await new Promise((r) => setTimeout(r, 100)); // its children write until they notice
        try {
          rmSync(profile, { recursive: true, force: true });
          break;
        } catch {
          // again
        }
      }
    },
  };
}

class Page {
  errors = [];
  #listeners = new Map();
  constructor(send, context) {
    this.send = send;
    this.context = context;
  }
  event(method, params) {
    if (method === 'Runtime.exceptionThrown') this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Runtime.consoleAPICalled' && params.type !== 'debug') this.errors.push(`console.${params.type}: ${params.args.map((a) => a.value ?? a.description).join(' ')}`);
    if (method === 'Log.entryAdded' && params.entry.level !== 'verbose') this.errors.push(`${params.entry.level}: ${params.entry.text} ${params.entry.url ?? ''}`);
    this.#listeners.get(method)?.(params);
  }
  async theme(dark) {
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
  }
  async go(url) {
    const loaded = new Promise((resolve) => this.#listeners.set('Page.loadEventFired', resolve));
    await this.send('Page.navigate', { url });
    await loaded;
  }
  async reload() {
    const loaded = new Promise((resolve) => this.#listeners.set('Page.loadEventFired', resolve));
    await this.send('Page.reload');
    await loaded;
  }
  async eval(expression) {
    const r = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true, userGesture: true });
    if (r.exceptionDetails) throw new Error(r.exceptionDetails.exception?.description ?? r.exceptionDetails.text);
    return r.result.value;
  }
  /** A real click in the middle of the element. */
  async click(testid) {
    const p = await this.eval(`(() => { const e = document.querySelector('[data-testid="${testid}"]'); e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();
      const x = r.x + r.width / 2, y = r.y + r.height / 2; const hit = document.elementFromPoint(x, y); return { x, y, hit: e === hit || e.contains(hit) || hit?.contains(e) || (e.labels?.[0]?.contains(hit) ?? false), what: hit?.outerHTML.slice(0, 120) }; })()`);
    if (!p.hit) throw new Error(`click ${testid}: covered by ${p.what}`);
    for (const type of ['mousePressed', 'mouseReleased']) await this.send('Input.dispatchMouseEvent', { type, x: p.x, y: p.y, button: 'left', clickCount: 1 });
  }
  async type(testid, text) {
    await this.eval(`document.querySelector('[data-testid="${testid}"]').focus()`);
    await this.send('Input.insertText', { text });
  }
  async key(key, code = key) {
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', key, code, text: key === 'Enter' ? '\r' : key.length === 1 ? key : undefined, windowsVirtualKeyCode: { Enter: 13, Escape: 27 }[key] ?? 0 });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key, code });
  }
  async until(expression, what = expression, ms = 15000) {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      if (await this.eval(expression).catch(() => false)) return;
      await new Promise((r) => setTimeout(r, 100));
    }
    throw new Error(`waited in vain: ${what}`);
  }
  async shot(file) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(file, Buffer.from(data, 'base64'));
  }
}
