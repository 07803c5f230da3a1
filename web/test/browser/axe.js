// Goes through the page as a user would, at phone and desktop size, in both
// themes, and lets axe-core look at every view:
//
//   node test/browser/axe.js http://127.0.0.1:8080 [folder for screenshots]
//
// Ends with 1 if axe finds a violation, a script throws, or something is wider
// than the window.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { launch } from './chromium.js';
import { fakeAPI } from './fake-api.js';

const [base, folder, only] = process.argv.slice(2); // only: the name of one walk
if (!base) throw new Error('usage: axe.js <url> [folder]');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pause = (ms) => new Promise((r) => setTimeout(r, ms));
let bad = 0;

const complain = (...words) => {
  bad++;
  console.log(...words);
};

/** Looks at what is shown now. */
async function look(page, view) {
  await pause(450);
  if (folder) await page.shot(`${folder}/${view.replaceAll(' ', '-')}.png`);
  await page.eval(`${axe}; 0`);
  const found = await page.eval(`axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => ({ id: v.id, help: v.help, nodes: v.nodes.slice(0, 4).map((n) => n.target.join(' ') + ': ' + (n.any[0]?.message ?? n.all[0]?.message ?? '')) })))`);
  for (const v of found) complain(`${view}: ${v.id} (${v.help})\n    ${v.nodes.join('\n    ')}`);
  const wide = await page.eval(`document.documentElement.scrollWidth > innerWidth ? 'the page' : [...document.querySelectorAll('.view:not([hidden]) *')].filter((e) => e.checkVisibility() && !e.closest('.orbit, .tiles, .preview, .radar, svg, .hush, .label, .switch') && (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)).map((e) => e.className || e.tagName).slice(0, 3).join(', ')`);
  if (wide) complain(`${view}: wider than the window: ${wide}`);
  const small = await page.eval(`[...document.querySelectorAll('button, a[href], select, input, textarea, summary')].filter((e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.closest('.sub, .skip, .chips, .modes, .log') && !(e.matches('[type=checkbox], [type=radio]'))).filter((e) => { const r = e.getBoundingClientRect(); return r.width > 1 && (r.height < 43.5 || r.width < 43.5); }).map((e) => (e.id || e.className) + ' ' + Math.round(e.getBoundingClientRect().width) + 'x' + Math.round(e.getBoundingClientRect().height)).join(', ')`);
  if (small) complain(`${view}: smaller than 44 px: ${small}`);
  console.log(`looked at ${view}`);
}

const prefs = (more) => `localStorage.setItem('rondo.prefs', JSON.stringify(${JSON.stringify({ low: true, ...more })}))`;

/** A person on the landing page. */
async function person(browser, size, name, more = {}) {
  const page = await browser.page(size);
  await page.go(`${base}/`);
  await page.eval(prefs({ name, ...more }));
  await page.reload();
  await page.until(`document.documentElement.dataset.connection === 'open'`, `${name} is connected`);
  return page;
}

const inView = (view) => `document.documentElement.dataset.view === '${view}'`;
const frames = `document.querySelector('[data-testid=remote-video]')?.getVideoPlaybackQuality().totalVideoFrames > 3`;

async function tour(browser, title, size) {
  const tag = `tour ${title}`.replaceAll(' ', '');
  const ann = await person(browser, size, 'Ann', { tags: ['jazz', 'cooking', tag.slice(0, 24)], strict: true });
  await look(ann, `${title} landing`);
  await ann.eval(`document.querySelector('#more-options').open = true`);
  await look(ann, `${title} options`);
  await ann.eval(`document.querySelector('#more-options').open = false`);
  await ann.click('help');
  await look(ann, `${title} help`);
  await ann.key('Escape');
  await ann.click('create-room');
  await look(ann, `${title} create`);
  await ann.key('Escape');
  await ann.click('device-check-open');
  await ann.until(inView('check'));
  await ann.until(`document.querySelector('#check-preview').videoWidth > 0`, 'preview');
  await look(ann, `${title} check`);
  await ann.click('check-start');
  await ann.until(inView('search'));
  await look(ann, `${title} search`);
  const bo = await person(browser, size, 'Boris', { tags: [tag.slice(0, 24)], strict: true });
  await bo.click('start');
  await ann.until(inView('call'));
  await ann.until(frames, 'frames');
  await ann.type('chat-input', 'Hello!');
  await ann.key('Enter');
  await bo.until(inView('call'));
  if (!(await bo.eval(`document.querySelector('#view-call').classList.contains('chat-open')`))) await bo.click('toggle-chat');
  await bo.type('chat-input', 'Hi Ann, which records do you like?');
  await bo.key('Enter');
  await pause(2500);
  await look(ann, `${title} call`);
  if (size.touch) {
    await ann.click('more');
    await look(ann, `${title} menu`);
    await ann.click('more');
  }
  await look(bo, `${title} chat`);
  await bo.key('Escape');
  await bo.click('stop');
  await ann.until(`!document.querySelector('#alone').hidden`, 'Boris left');
  await look(ann, `${title} ended`);
  await ann.click('stop');
  for (const page of [ann, bo]) for (const e of page.errors) complain(`${title}: ${e}`);
  for (const page of [ann, bo]) await browser.send('Target.disposeBrowserContext', { browserContextId: page.context });
}

async function others(browser, title, size) {
  const ann = await person(browser, size, 'Ann', { checked: true });
  await ann.click('create-room');
  await ann.type('room-name', 'Monday evening');
  await ann.type('room-passcode', 'x');
  await ann.click('create-room-submit');
  await ann.until(inView('call'));
  await look(ann, `${title} room alone`);
  const link = await ann.eval('location.href');
  const guests = [];
  for (const name of ['Boris', 'Chidi', 'Dana']) {
    const page = await person(browser, size, name, { checked: true });
    await page.go(link);
    await page.until(`!document.querySelector('#join-room').disabled && document.querySelector('#lobby-title').textContent === 'Monday evening'`, 'lobby');
    if (name === 'Boris') await look(page, `${title} lobby`);
    await page.type('lobby-passcode', 'x');
    await page.click('join-room');
    await page.until(inView('call'));
    guests.push(page);
  }
  await ann.until(`[...document.querySelectorAll('[data-testid=remote-video]')].filter((v) => v.getVideoPlaybackQuality().totalVideoFrames > 3).length === 3`, 'three pictures', 30000);
  await guests[1].click('toggle-camera');
  await pause(1500);
  await look(ann, `${title} room`);
  for (const page of [ann, ...guests]) for (const e of page.errors) complain(`${title}: ${e}`);
  for (const page of [ann, ...guests]) await browser.send('Target.disposeBrowserContext', { browserContextId: page.context });

  const [cy, di] = [await person(browser, size, 'Cy', { checked: true, mode: 'text' }), await person(browser, size, 'Di', { mode: 'text' })];
  for (const page of [cy, di]) await page.click('start');
  for (const page of [cy, di]) await page.until(inView('call'));
  await di.type('chat-input', 'Good evening');
  await di.key('Enter');
  await cy.until(`document.querySelector('#chat-log li[data-off]')`);
  await look(cy, `${title} text`);
  for (const page of [cy, di]) await browser.send('Target.disposeBrowserContext', { browserContextId: page.context });
}

/** Every dialog of an account. The server's part is played by the page's fetch. */
async function accounts(browser, title, size) {
  const ann = await person(browser, size, 'Ann', { checked: true, mode: 'text' });
  await ann.eval(`(async () => { window.rondo.authenticate = async () => {}; })()`);
  await ann.eval(fakeAPI);
  const title2 = (t) => ann.until(`document.querySelector('#sign-title').textContent === '${t}'`, t);
  const submit = async (id) => ann.click(id);
  await look(ann, `${title} landing accounts`);
  await ann.click('account');
  await look(ann, `${title} login`);
  await ann.type('login-name', 'ann');
  await ann.type('login-password', 'wrong');
  await submit('login-submit');
  await ann.until(`!document.querySelector('#login-error').hidden`, 'wrong');
  await look(ann, `${title} login wrong`);
  await ann.click('to-signup');
  await title2('Create an account');
  await look(ann, `${title} signup`);
  await ann.type('signup-email', 'ann.of.green.gables@example.org');
  await ann.type('signup-username', 'ann');
  await ann.type('signup-password', 'correct horse battery');
  await submit('signup-submit');
  await title2('Look into your mail');
  await look(ann, `${title} code`);
  await ann.type('mail-code', '1234 5679');
  await ann.until(`!document.querySelector('#code-error').hidden`, 'wrong code');
  await look(ann, `${title} code wrong`);
  await ann.eval(`document.querySelector('#mail-code').select()`);
  await ann.type('mail-code', ' 1234-5678 ');
  await ann.until(`document.documentElement.dataset.account === 'in'`, 'in');
  await look(ann, `${title} landing in`);
  await ann.click('account');
  await look(ann, `${title} profile`);
  await ann.click('tab-devices');
  await ann.until(`document.querySelectorAll('[data-testid=device]').length === 2`, 'devices');
  await look(ann, `${title} devices`);
  await ann.click('device-rename');
  await look(ann, `${title} device rename`);
  await ann.key('Escape');
  await ann.click('tab-security');
  await look(ann, `${title} security`);
  await ann.click('totp-on');
  await look(ann, `${title} confirm`);
  await ann.type('confirm-password', 'correct horse battery');
  await ann.click('confirm-submit');
  await ann.until(`document.querySelector('#totp-qr svg')`, 'qr');
  await look(ann, `${title} totp`);
  await ann.type('totp-code', '123456');
  await ann.until(`document.querySelectorAll('#recovery-list li').length === 10`, 'recovery codes');
  await look(ann, `${title} recovery`);
  await ann.click('recovery-done');
  await look(ann, `${title} security on`);
  await ann.click('tab-data');
  await look(ann, `${title} data`);
  await ann.click('delete');
  await look(ann, `${title} delete`);
  await ann.key('Escape');
  await ann.click('tab-profile');
  await ann.click('logout');
  await ann.until(`document.documentElement.dataset.account === 'out'`, 'out');
  await ann.click('account');
  await ann.type('login-name', 'ann');
  await ann.type('login-password', 'correct horse battery');
  await submit('login-submit');
  await title2('One more step');
  await look(ann, `${title} second`);
  await ann.click('second-other');
  await look(ann, `${title} second recovery`);
  await ann.eval(`document.querySelector('#step-second [data-step=login]').click()`);
  await ann.click('to-forgot');
  await look(ann, `${title} forgot`);
  await ann.type('forgot-email', 'ann@example.org');
  await ann.click('forgot-submit');
  await title2('Look into your mail');
  await look(ann, `${title} reset`);
  for (const e of ann.errors) complain(`${title}: ${e}`);
  await browser.send('Target.disposeBrowserContext', { browserContextId: ann.context });
}

const sizes = { phone: { width: 390, height: 844, touch: true }, desktop: { width: 1280, height: 800 } };
const browser = await launch();
try {
  for (const [name, size] of Object.entries(sizes)) {
    for (const dark of [false, true]) {
      const title = `${name} ${dark ? 'dark' : 'light'}`;
      for (const walk of [tour, others, accounts]) if (!only || only === walk.name) await walk(browser, title, { ...size, dark });
    }
  }
} catch (err) {
  complain(err);
} finally {
  await browser.close();
}
console.log(bad ? `${bad} complaints` : 'nothing to complain about');
process.exitCode = bad ? 1 : 0;
