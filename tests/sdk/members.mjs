// Members of a room, who know themselves whether they are in it; and what others must see of them.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { makeClient } from './support.mjs';

const PATIENCE_MS = 10_000;

/** A client that is to be in a room and to read in another channel. Nothing has begun yet. */
export function makeMember(test, url, room, reading) {
  const client = makeClient(test, url);
  const subscriptions = [room, reading].map((channel) => client.newSubscription(channel));
  const read = [];
  let id;
  client.on('connected', (context) => {
    id = context.client;
  });
  subscriptions[1].on('publication', ({ data }) => read.push(data));
  return {
    client,
    read,
    id: () => id,
    isIn: () => subscriptions[0].state === 'subscribed',
    subscribe: () => subscriptions.forEach((each) => each.subscribe()),
    unsubscribe: () => subscriptions.forEach((each) => each.unsubscribe()),
    ready: () => Promise.all(subscriptions.map((each) => each.ready(PATIENCE_MS))),
  };
}

/** Those who are in the room by their own account. */
export const ownList = (members) =>
  members.filter((member) => member.isIn()).map((member) => member.id()).sort();

/** Waits until a room's presence, as this client is told, is the members' own list. */
export async function agree(client, room, members, inMs) {
  const deadline = Date.now() + inMs;
  for (;;) {
    const seen = await presenceOf(client, room);
    if (seen?.join() === ownList(members).join()) {
      return;
    }
    if (Date.now() > deadline) {
      assert.deepEqual(seen, ownList(members));
    }
    await pause(20);
  }
}

async function presenceOf(client, room) {
  try {
    return Object.keys((await client.presence(room)).clients).sort();
  } catch (error) {
    // Half an answer would look like a whole one, so there is none while a front may be dead.
    assert.equal(error.code, 100);
    return undefined;
  }
}
