import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectedClient,
  dataOf,
  droppable,
  follow,
  freshChannel,
  fronts,
  inSeconds,
  makeToken,
  nextEvent,
  offsetsOf,
  startBalancer,
} from './support.mjs';

test('a client whose connection is dropped recovers what it missed', async (t) => {
  const channel = freshChannel();
  const { line, drop } = droppable();
  // The pause before it comes back is long enough to publish in.
  const options = { ...line, minReconnectDelay: 500, maxReconnectDelay: 1000 };
  const client = await connectedClient(t, fronts[0], options);
  const { subscription, context, publications, until } = await follow(client, channel);
  const other = await connectedClient(t, fronts[1]);
  await other.publish(channel, 1);
  await until(1);

  const [away, back] = [nextEvent(client, 'connecting'), nextEvent(subscription, 'subscribed')];
  drop();
  await away;
  await other.publish(channel, 2);
  await other.publish(channel, 3);
  const resumed = await back;
  await other.publish(channel, 4);

  assert.equal(context.recoverable, true);
  assert.equal(context.wasRecovering, false);
  assert.equal(resumed.wasRecovering, true);
  assert.equal(resumed.recovered, true);
  await until(4);
  assert.deepEqual(dataOf(publications), [1, 2, 3, 4]);
  assert.deepEqual(offsetsOf(publications), [1, 2, 3, 4]);
});

test('a client that comes back to another front recovers what it missed', async (t) => {
  const channel = freshChannel();
  const balancer = await startBalancer(t, fronts[0]);
  const client = await connectedClient(t, balancer.url, {
    minReconnectDelay: 500,
    maxReconnectDelay: 1000,
  });
  const { subscription, until } = await follow(client, channel);
  const other = await connectedClient(t, fronts[0]);
  await other.publish(channel, 1);
  await until(1);

  const [away, back] = [nextEvent(client, 'connecting'), nextEvent(subscription, 'subscribed')];
  balancer.moveTo(fronts[1]);
  await away;
  await other.publish(channel, 2);
  const resumed = await back;
  await subscription.publish(3);

  assert.equal(resumed.recovered, true);
  const publications = await until(3);
  assert.deepEqual(dataOf(publications), [1, 2, 3]);
  assert.deepEqual(offsetsOf(publications), [1, 2, 3]);
});

test('a client that missed nothing recovers nothing', async (t) => {
  const { line, drop } = droppable();
  const client = await connectedClient(t, fronts[0], line);
  const { subscription, until } = await follow(client, freshChannel());
  await subscription.publish(1);
  await until(1);

  const back = nextEvent(subscription, 'subscribed');
  drop();
  const resumed = await back;
  await subscription.publish(2);

  assert.equal(resumed.recovered, true);
  assert.deepEqual(dataOf(await until(2)), [1, 2]);
});

test('a client that missed more than is kept is told so', async (t) => {
  const channel = freshChannel('members'); // keeps five
  const { line, drop } = droppable();
  const token = makeToken({ sub: '42', exp: inSeconds(60) });
  const slow = { token, ...line, minReconnectDelay: 500, maxReconnectDelay: 1000 };
  const client = await connectedClient(t, fronts[0], slow);
  const { subscription, publications, until } = await follow(client, channel);
  const other = await follow(await connectedClient(t, fronts[1], { token }), channel);
  await other.subscription.publish('seen');
  await until(1);

  const [away, back] = [nextEvent(client, 'connecting'), nextEvent(subscription, 'subscribed')];
  drop();
  await away;
  const missed = Array.from({ length: 10 }, (_, number) => number);
  await Promise.all(missed.map((number) => other.subscription.publish(number)));
  const resumed = await back;

  assert.equal(resumed.wasRecovering, true);
  assert.equal(resumed.recovered, false);
  assert.equal(resumed.streamPosition.offset, 11);
  await other.subscription.publish('afterwards');
  await until(2);
  assert.deepEqual(dataOf(publications), ['seen', 'afterwards']);
});
