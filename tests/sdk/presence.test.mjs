import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  connectedClient,
  follow,
  freshChannel,
  fronts,
  inSeconds,
  makeClient,
  makeToken,
  nextEvent,
} from './support.mjs';

// Within this a subscribe anywhere is seen everywhere.
const SEEN_MS = 1_000;

/** A client that has connected, and its id. */
async function present(t, front, options = {}) {
  const client = makeClient(t, fronts[front], options);
  const connected = nextEvent(client, 'connected');
  client.connect();
  return { client, id: (await connected).client };
}

/** Waits until a client's presence is these clients, and no others. */
async function sees(client, channel, ids) {
  const expected = [...ids].sort();
  const deadline = Date.now() + SEEN_MS;
  for (;;) {
    const seen = Object.keys((await client.presence(channel)).clients).sort();
    if (Date.now() > deadline || seen.join() === expected.join()) {
      assert.deepEqual(seen, expected);
      return;
    }
    await pause(20);
  }
}

/** Joins and leaves, each with the client's id. */
function movementsOf(subscription) {
  const movements = [];
  for (const kind of ['join', 'leave']) {
    subscription.on(kind, ({ info }) => movements.push([kind, info.client]));
  }
  const until = async (count) => {
    const deadline = Date.now() + SEEN_MS;
    while (movements.length < count && Date.now() < deadline) {
      await pause(5);
    }
    return movements;
  };
  return { movements, until };
}

test('clients of two fronts see each other', async (t) => {
  const channel = freshChannel('room');
  const token = makeToken({ sub: 'ada', exp: inSeconds(60), info: { name: 'Ada' } });
  const here = await present(t, 0, { token });
  const there = await present(t, 1, {
    token: makeToken({ sub: 'bob', exp: inSeconds(60) }),
  });
  const { subscription } = await follow(here.client, channel);
  await follow(there.client, channel);

  for (const { client } of [here, there]) {
    await sees(client, channel, [here.id, there.id]);
  }

  const { clients } = await subscription.presence();
  assert.deepEqual(clients[here.id].connInfo, { name: 'Ada' });
  assert.equal(clients[there.id].user, 'bob');
  assert.deepEqual(await subscription.presenceStats(), { numClients: 2, numUsers: 2 });
});

test("presence is the clients' own list after subscribe and unsubscribe loops", async (t) => {
  const channel = freshChannel('room');
  const all = [];
  for (const front of [0, 1, 0, 1]) {
    all.push(await present(t, front));
  }
  const subscriptions = all.map(({ client }) => client.newSubscription(channel));

  for (let round = 0; round < 20; round += 1) {
    for (const subscription of subscriptions) {
      subscription.subscribe();
      subscription.unsubscribe();
    }
  }
  const subscribed = subscriptions
    .slice(0, 3)
    .map((subscription) => nextEvent(subscription, 'subscribed'));
  for (const subscription of subscriptions.slice(0, 3)) {
    subscription.subscribe();
  }
  await Promise.all(subscribed);

  for (const { client } of all) {
    await sees(client, channel, all.slice(0, 3).map(({ id }) => id));
  }
  all[0].client.disconnect();
  await sees(all[3].client, channel, [all[1].id, all[2].id]);
});

test('a subscriber is told who joins and leaves, itself first', async (t) => {
  const channel = freshChannel('room');
  const here = await present(t, 0);
  const there = await present(t, 1);
  const watched = here.client.newSubscription(channel, { joinLeave: true });
  const { until } = movementsOf(watched);
  watched.subscribe();
  assert.deepEqual(await until(1), [['join', here.id]]);

  const { subscription } = await follow(there.client, channel);
  await until(2);
  subscription.unsubscribe();
  await until(3);
  await follow(await connectedClient(t, fronts[1]), channel);
  await until(4);

  const movements = await until(4);
  assert.deepEqual(movements.slice(1, 3), [
    ['join', there.id],
    ['leave', there.id],
  ]);
  assert.equal(movements[3][0], 'join');
});

test('a subscriber that does not ask is not told', async (t) => {
  const channel = freshChannel('room');
  const { subscription } = await follow(await connectedClient(t, fronts[0]), channel);
  const { movements } = movementsOf(subscription);

  await follow(await connectedClient(t, fronts[0]), channel);
  await follow(await connectedClient(t, fronts[1]), channel);
  await pause(200);

  assert.deepEqual(movements, []);
});

test('where there is no presence the client is told so', async (t) => {
  const client = await connectedClient(t);

  await assert.rejects(client.presence(freshChannel('open')), { code: 108 });
});
