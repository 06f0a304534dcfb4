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

const DELTA = { delta: 'fossil' };

/** States of a document that have much in common, in characters of one to four bytes. */
const STATES = ['draft', 'entwürfe', '草稿', '😀', '😁', '😁!'].map((title, version) => ({
  before: 'the same é€😀 '.repeat(20),
  title,
  after: 'the same "quoted"\n'.repeat(20),
  version: version % 2,
}));

const comeBackSlowly = { minReconnectDelay: 500, maxReconnectDelay: 1000 };

async function publishAll(client, channel, states) {
  for (const state of states) {
    await client.publish(channel, state);
  }
}

test('a client that asks for deltas sees what others see, in a fraction of the bytes', async (t) => {
  const channel = freshChannel('document');
  const followed = [];
  for (const at of [0, 1]) {
    const client = await connectedClient(t, fronts[at]);
    followed.push(await follow(client, channel, DELTA));
  }
  const plain = await follow(await connectedClient(t, fronts[0]), channel);
  const publisher = await connectedClient(t, fronts[1]);

  await publishAll(publisher, channel, STATES);

  for (const { until, subscription } of [...followed, plain]) {
    const publications = await until(STATES.length);
    assert.deepEqual(dataOf(publications), STATES);
    assert.deepEqual(offsetsOf(publications), [1, 2, 3, 4, 5, 6]);
    assert.ok(subscription !== plain.subscription || publications[0].info);
  }
  for (const { subscription } of followed) {
    const stats = subscription.deltaStats();
    assert.equal(stats.numFullPayloads, 1);
    assert.equal(stats.numDeltaPayloads, STATES.length - 1);
    assert.ok(stats.compressionRatio > 0.5, JSON.stringify(stats));
  }
  assert.equal(plain.subscription.deltaStats().numPublications, 0);
});

test('a client that comes back to another front goes on with deltas', async (t) => {
  const channel = freshChannel('document');
  const balancer = await startBalancer(t, fronts[0]);
  const client = await connectedClient(t, balancer.url, comeBackSlowly);
  const { subscription, until } = await follow(client, channel, DELTA);
  const publisher = await connectedClient(t, fronts[0]);
  await publishAll(publisher, channel, STATES.slice(0, 2));
  await until(2);

  const [away, back] = [nextEvent(client, 'connecting'), nextEvent(subscription, 'subscribed')];
  balancer.moveTo(fronts[1]);
  await away;
  await publishAll(publisher, channel, STATES.slice(2, 4));
  const resumed = await back;
  await publishAll(publisher, channel, STATES.slice(4));

  assert.equal(resumed.recovered, true);
  const publications = await until(STATES.length);
  assert.deepEqual(dataOf(publications), STATES);
  assert.deepEqual(offsetsOf(publications), [1, 2, 3, 4, 5, 6]);
  // The first of all, and the first after it came back.
  assert.equal(subscription.deltaStats().numFullPayloads, 2);
});

test('a client that joins while others are told deltas begins with the whole', async (t) => {
  const channel = freshChannel('document');
  const early = await follow(await connectedClient(t, fronts[0]), channel, DELTA);
  const publisher = await connectedClient(t, fronts[1]);
  await publishAll(publisher, channel, STATES.slice(0, 3));
  await early.until(3);
  const late = await follow(await connectedClient(t, fronts[0]), channel, DELTA);
  await publishAll(publisher, channel, STATES.slice(3));

  assert.deepEqual(dataOf(await early.until(6)), STATES);
  assert.deepEqual(dataOf(await late.until(3)), STATES.slice(3));
  assert.equal(early.subscription.deltaStats().numFullPayloads, 1);
  assert.equal(late.subscription.deltaStats().numFullPayloads, 1);
});

test('the history of such a channel is as it is of others', async (t) => {
  const channel = freshChannel('document');
  const client = await connectedClient(t, fronts[0]);
  const { subscription, until } = await follow(client, channel, DELTA);
  await publishAll(client, channel, STATES);
  await until(STATES.length);

  assert.deepEqual(dataOf((await subscription.history({ limit: 9 })).publications), STATES);
});

test('where deltas are not told a client that asks for them is told the whole', async (t) => {
  const channel = freshChannel('open');
  const client = await connectedClient(t, fronts[0]);
  const { subscription, until } = await follow(client, channel, DELTA);
  await publishAll(client, channel, STATES);

  assert.deepEqual(dataOf(await until(STATES.length)), STATES);
  assert.equal(subscription.deltaStats().numPublications, 0);
});
