import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectedClient,
  dataOf,
  follow,
  freshChannel,
  fronts,
  nextEvent,
  offsetsOf,
  startBalancer,
} from './support.mjs';

const FROM_ANYWHERE = { since: {} };

test('a client that asks for it gets the latest value when it subscribes', async (t) => {
  const channel = freshChannel('latest');
  const publisher = await connectedClient(t, fronts[0]);
  for (const value of [1, 2, 3]) {
    await publisher.publish(channel, value);
  }

  const client = await connectedClient(t, fronts[1]);
  const { context, until, publications } = await follow(client, channel, FROM_ANYWHERE);
  await until(1);
  await publisher.publish(channel, 4);
  await until(2);

  assert.equal(context.recovered, true);
  assert.deepEqual(dataOf(publications), [3, 4]);
  assert.deepEqual(offsetsOf(publications), [3, 4]);
});

test('a client that does not ask gets it where that is automatic, elsewhere not', async (t) => {
  const [gauge, latest] = [freshChannel('gauge'), freshChannel('latest')];
  const publisher = await connectedClient(t, fronts[0]);
  for (const value of [1, 2]) {
    await publisher.publish(gauge, value);
    await publisher.publish(latest, value);
  }

  const client = await connectedClient(t, fronts[0]);
  const [automatic, other] = [await follow(client, gauge), await follow(client, latest)];
  await publisher.publish(gauge, 3);
  await publisher.publish(latest, 3);

  assert.deepEqual(dataOf(await automatic.until(2)), [2, 3]);
  assert.deepEqual(dataOf(await other.until(1)), [3]);
  assert.equal(automatic.context.wasRecovering, false);
});

test('a client that comes back gets the latest alone, however much it missed', async (t) => {
  const channel = freshChannel('latest');
  const balancer = await startBalancer(t, fronts[0]);
  const client = await connectedClient(t, balancer.url, {
    minReconnectDelay: 500,
    maxReconnectDelay: 1000,
  });
  const { subscription, until } = await follow(client, channel);
  const publisher = await connectedClient(t, fronts[0]);
  await publisher.publish(channel, 'seen');
  await until(1);

  const [away, back] = [nextEvent(client, 'connecting'), nextEvent(subscription, 'subscribed')];
  balancer.moveTo(fronts[1]);
  await away;
  for (const value of ['missed', 'missed too', 'latest']) {
    await publisher.publish(channel, value);
  }
  const resumed = await back;
  await publisher.publish(channel, 'afterwards');

  assert.equal(resumed.recovered, true);
  const publications = await until(3);
  assert.deepEqual(dataOf(publications), ['seen', 'latest', 'afterwards']);
  assert.deepEqual(offsetsOf(publications), [1, 4, 5]);
});

test('a client that comes back and missed nothing gets nothing', async (t) => {
  const channel = freshChannel('gauge');
  const balancer = await startBalancer(t, fronts[0]);
  const client = await connectedClient(t, balancer.url);
  const { subscription, until } = await follow(client, channel);
  await subscription.publish(1);
  await until(1);

  const back = nextEvent(subscription, 'subscribed');
  balancer.moveTo(fronts[1]);
  const resumed = await back;
  await subscription.publish(2);

  assert.equal(resumed.recovered, true);
  assert.deepEqual(dataOf(await until(2)), [1, 2]);
});
