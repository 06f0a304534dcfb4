// Clients with a state of their own elsewhere: asked for when they may have missed something.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectedClient,
  dataOf,
  follow,
  freshChannel,
  fronts,
  inSeconds,
  makeToken,
  nextEvent,
} from './support.mjs';

/** A client whose state is the channel's position, one who publishes, and how the first misses. */
async function stateful(t) {
  const channel = freshChannel('members'); // keeps five
  const token = makeToken({ sub: '42', exp: inSeconds(60) });
  const other = await follow(await connectedClient(t, fronts[1], { token }), channel);
  const position = async () => {
    const { offset, epoch } = await other.subscription.history({ limit: 0 });
    return { offset, epoch };
  };
  await other.subscription.publish('before');
  const client = await connectedClient(t, fronts[0], { token });
  const asked = [];
  const getState = async () => {
    asked.push(await position());
    return asked.at(-1);
  };
  const followed = await follow(client, channel, { getState });
  /** Away while so many are published; then one more comes. */
  const miss = async (count) => {
    client.disconnect();
    for (let number = 1; number <= count; number += 1) {
      await other.subscription.publish(number);
    }
    const back = nextEvent(followed.subscription, 'subscribed');
    client.connect();
    const context = await back;
    await other.subscription.publish('afterwards');
    return context;
  };
  return { ...followed, asked, other, miss };
}

test('a client asks for its state once and reads on from there', async (t) => {
  const { asked, other, until } = await stateful(t);

  await other.subscription.publish('next');

  assert.deepEqual(dataOf(await until(1)), ['next']);
  assert.deepEqual(asked.map(({ offset }) => offset), [1]);
});

test('a client that missed what is kept recovers, and needs no other state', async (t) => {
  const { asked, until, miss } = await stateful(t);

  const { recovered } = await miss(3);

  assert.equal(recovered, true);
  assert.deepEqual(dataOf(await until(4)), [1, 2, 3, 'afterwards']);
  assert.equal(asked.length, 1);
});

test('a client that missed more than is kept is told so, and asks for it again', async (t) => {
  const { asked, until, miss } = await stateful(t);

  const { streamPosition } = await miss(8);

  assert.deepEqual(dataOf(await until(1)), ['afterwards']);
  assert.deepEqual(asked.map(({ offset }) => offset), [1, 9]);
  assert.equal(streamPosition.offset, 9);
});
