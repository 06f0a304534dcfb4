// Clients that come and go without end, through one address before two fronts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { agree, makeMember, ownList } from './members.mjs';
import { connectedClient, freshChannel, fronts, startBalancer } from './support.mjs';

// Within this a subscribe anywhere is seen everywhere.
const SEEN_MS = 1_000;
const PATIENCE_MS = 10_000;
const ROUNDS = 8;

/** Six members through one address; four will stay and two will leave. */
async function makeMembers(t) {
  const [room, reading] = [freshChannel('room'), freshChannel()];
  const { url } = await startBalancer(t, ...fronts);
  const members = Array.from({ length: 6 }, () => makeMember(t, url, room, reading));
  return { room, reading, members, staying: members.slice(0, 4), leaving: members.slice(4) };
}

/** All fronts tell of the room what its members do; these, and no others, read on. */
async function assertAgreed(t, { room, reading, members, staying }) {
  assert.equal(ownList(members).length, staying.length);
  const watchers = await Promise.all(fronts.map((url) => connectedClient(t, url)));
  await Promise.all(watchers.map((watcher) => agree(watcher, room, members, SEEN_MS)));

  const numbers = [1, 2, 3];
  for (const number of numbers) {
    await watchers[0].publish(reading, number);
  }
  const deadline = Date.now() + SEEN_MS;
  while (staying.some(({ read }) => read.length < numbers.length) && Date.now() < deadline) {
    await pause(5);
  }
  const expected = members.map((member) => (staying.includes(member) ? numbers : []));
  assert.deepEqual(members.map(({ read }) => read), expected);
}

test('after connect and disconnect loops presence is who is there, on every front', async (t) => {
  const all = await makeMembers(t);
  all.members.forEach((member) => member.subscribe());

  for (let round = 0; round < ROUNDS; round += 1) {
    const waited = [];
    for (const [number, { client }] of all.members.entries()) {
      client.connect();
      if (number % 3 === round % 3) {
        waited.push(client.ready(PATIENCE_MS));
      } else {
        client.disconnect();
      }
    }
    await Promise.all(waited);
  }
  all.leaving.forEach(({ client }) => client.disconnect());
  all.staying.forEach(({ client }) => client.connect());
  await Promise.all(all.staying.map((member) => member.ready()));

  await assertAgreed(t, all);
});

test('after loops in one tick presence is who is subscribed, on every front', async (t) => {
  const all = await makeMembers(t);
  all.members.forEach(({ client }) => client.connect());
  await Promise.all(all.members.map(({ client }) => client.ready(PATIENCE_MS)));

  for (let round = 0; round < ROUNDS; round += 1) {
    for (const member of all.members) {
      for (let turn = 0; turn <= round % 4; turn += 1) {
        member.subscribe();
        member.unsubscribe();
      }
      member.subscribe();
    }
    if (round % 3 === 0) {
      await Promise.all(all.members.map((member) => member.ready()));
    }
  }
  all.leaving.forEach((member) => member.unsubscribe());
  await Promise.all(all.staying.map((member) => member.ready()));

  await assertAgreed(t, all);
});

test('an rpc that nobody answers is refused, and the client stays', async (t) => {
  const client = await connectedClient(t);

  await assert.rejects(client.rpc('nobody', { any: 'thing' }), { code: 108 });

  assert.equal(client.state, 'connected');
});
