import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Timers } from '../sdk/timers.js';

test('timers: one of a name, the newest; it may set itself again', (t) => {
  t.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ['setTimeout'] });
  const timers = new Timers();
  /** @type {string[]} */
  const ran = [];
  timers.set('a', 100, () => ran.push('first'));
  timers.set('a', 200, () => {
    ran.push('second');
    assert.equal(timers.has('a'), false, 'it has run');
    timers.set('a', 50, () => ran.push('again'));
  });
  mock.timers.tick(199);
  assert.deepEqual(ran, []);
  assert.equal(timers.has('a'), true);
  mock.timers.tick(1);
  assert.deepEqual(ran, ['second']);
  assert.equal(timers.has('a'), true);
  mock.timers.tick(50);
  assert.deepEqual(ran, ['second', 'again']);
});

test('timers: what is cleared does not run', (t) => {
  t.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ['setTimeout'] });
  const timers = new Timers();
  /** @type {string[]} */
  const ran = [];
  for (const name of ['a', 'b', 'c', 'd']) timers.set(name, 10, () => ran.push(name));
  timers.clear('a', 'c', 'never set');
  mock.timers.tick(10);
  assert.deepEqual(ran, ['b', 'd']);
  for (const name of ['a', 'b']) timers.set(name, 10, () => ran.push(name));
  timers.clearAll();
  assert.equal(timers.has('a') || timers.has('b'), false);
  mock.timers.tick(10);
  assert.deepEqual(ran, ['b', 'd']);
});
