import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectedClient,
  dataOf,
  follow,
  freshChannel,
  fronts,
  offsetsOf,
} from './support.mjs';

/** A followed channel that holds the numbers from 1 to 5 at these offsets. */
async function channelOfFive(t) {
  const client = await connectedClient(t);
  const { subscription } = await follow(client, freshChannel());
  for (const number of [1, 2, 3, 4, 5]) {
    await subscription.publish(number);
  }
  return subscription;
}

test('a publication whose publish was answered is in the history', async (t) => {
  const client = await connectedClient(t);
  const { subscription } = await follow(client, freshChannel());

  await subscription.publish('written');

  assert.deepEqual(dataOf((await subscription.history({ limit: 10 })).publications), ['written']);
});

test('history without a limit tells the position only', async (t) => {
  const subscription = await channelOfFive(t);

  const { publications, offset, epoch } = await subscription.history({ limit: 0 });

  assert.deepEqual(publications, []);
  assert.equal(offset, 5);
  assert.ok(epoch);
});

test('history is limited from its oldest end', async (t) => {
  const subscription = await channelOfFive(t);

  const { publications, offset } = await subscription.history({ limit: 2 });

  assert.deepEqual(dataOf(publications), [1, 2]);
  assert.deepEqual(offsetsOf(publications), [1, 2]);
  assert.equal(offset, 5);
});

test('history goes on after a position', async (t) => {
  const subscription = await channelOfFive(t);
  const { epoch } = await subscription.history({ limit: 0 });

  const page = await subscription.history({ limit: 2, since: { offset: 2, epoch } });
  const rest = await subscription.history({ limit: 10, since: { offset: 4, epoch } });

  assert.deepEqual(dataOf(page.publications), [3, 4]);
  assert.deepEqual(dataOf(rest.publications), [5]);
});

test('history in reverse begins with the newest', async (t) => {
  const subscription = await channelOfFive(t);
  const { epoch } = await subscription.history({ limit: 0 });

  const newest = await subscription.history({ limit: 2, reverse: true });
  const older = await subscription.history({
    limit: 2,
    reverse: true,
    since: { offset: 4, epoch },
  });

  assert.deepEqual(dataOf(newest.publications), [5, 4]);
  assert.deepEqual(dataOf(older.publications), [3, 2]);
});

test('history is the same on every front', async (t) => {
  const subscription = await channelOfFive(t);
  const elsewhere = await follow(await connectedClient(t, fronts[1]), subscription.channel);

  const here = await subscription.history({ limit: 10 });
  const there = await elsewhere.subscription.history({ limit: 10 });

  assert.deepEqual(there, here);
});

test('history since a position of another epoch is refused', async (t) => {
  const subscription = await channelOfFive(t);
  const since = { offset: 2, epoch: 'another' };

  await assert.rejects(subscription.history({ limit: 2, since }), { code: 112 });
});

test('a channel without history says so', async (t) => {
  const client = await connectedClient(t);
  const { subscription } = await follow(client, freshChannel('fleeting'));

  await assert.rejects(subscription.history({ limit: 2 }), { code: 108 });
});
