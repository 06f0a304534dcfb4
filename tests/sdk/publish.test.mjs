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
} from './support.mjs';

test("a subscriber receives its own publications and another front's, in order", async (t) => {
  const channel = freshChannel();
  const [here, there] = [await connectedClient(t, fronts[0]), await connectedClient(t, fronts[1])];
  const mine = await follow(here, channel);
  const theirs = await follow(there, channel);

  await mine.subscription.publish({ number: 1 });
  await theirs.subscription.publish({ number: 2 });
  await mine.subscription.publish({ number: 3 });

  const expected = [{ number: 1 }, { number: 2 }, { number: 3 }];
  for (const { until } of [mine, theirs]) {
    const publications = await until(3);
    assert.deepEqual(dataOf(publications), expected);
    assert.deepEqual(offsetsOf(publications), [1, 2, 3]);
  }
});

test('publishes that do not wait for each other keep their order', async (t) => {
  const client = await connectedClient(t);
  const { subscription, until } = await follow(client, freshChannel());
  const numbers = Array.from({ length: 50 }, (_, number) => number);

  // Each batch is one request where every request is a way of its own.
  client.startBatching();
  const published = numbers.map((number) => subscription.publish(number));
  client.stopBatching();
  await Promise.all(published);

  assert.deepEqual(dataOf(await until(50)), numbers);
});

test('a payload arrives as it was sent', async (t) => {
  const client = await connectedClient(t);
  const { subscription, until } = await follow(client, freshChannel());
  const payloads = [
    { text: 'Grüße, 世界 🌊', lines: 'a\nb', quoted: '"\\/' },
    [1, 2.5, -3e-7, null, true, []],
    'only text',
    0,
    false,
    { deep: { deeper: { deepest: [{}] } } },
  ];

  for (const payload of payloads) {
    await subscription.publish(payload);
  }

  assert.deepEqual(dataOf(await until(payloads.length)), payloads);
});

test('a client publishes to a channel that it does not follow', async (t) => {
  const channel = freshChannel();
  const { until } = await follow(await connectedClient(t, fronts[0]), channel);

  await (await connectedClient(t, fronts[1])).publish(channel, 'from outside');

  assert.deepEqual(dataOf(await until(1)), ['from outside']);
});

test('a channel without history delivers, without offsets', async (t) => {
  const client = await connectedClient(t);
  const { subscription, context, until } = await follow(client, freshChannel('fleeting'));

  await subscription.publish('now or never');

  const [publication] = await until(1);
  assert.equal(publication.data, 'now or never');
  assert.equal(publication.offset, undefined);
  assert.equal(context.recoverable, false);
});

test('who unsubscribes receives nothing until it subscribes again', async (t) => {
  const channel = freshChannel();
  const { subscription, publications, until } = await follow(await connectedClient(t), channel);
  const other = await connectedClient(t, fronts[1]);
  await other.publish(channel, 'before');
  await until(1);

  const unsubscribed = nextEvent(subscription, 'unsubscribed');
  subscription.unsubscribe();
  assert.equal((await unsubscribed).code, 0);
  await other.publish(channel, 'meanwhile');
  assert.deepEqual(dataOf(publications), ['before']);

  subscription.subscribe();
  assert.deepEqual(dataOf(await until(2)), ['before', 'meanwhile']);
});

test('a channel of an unknown namespace is refused', async (t) => {
  const client = await connectedClient(t);
  const subscription = client.newSubscription(freshChannel('nowhere'));
  const unsubscribed = nextEvent(subscription, 'unsubscribed');
  subscription.subscribe();

  assert.equal((await unsubscribed).code, 102);
});

test('an anonymous client is refused what is for members', async (t) => {
  const client = await connectedClient(t);
  const channel = freshChannel('members');
  const subscription = client.newSubscription(channel);
  const unsubscribed = nextEvent(subscription, 'unsubscribed');
  subscription.subscribe();

  assert.equal((await unsubscribed).code, 103);
  await assert.rejects(client.publish(channel, 'let me in'), { code: 103 });
  assert.equal(client.state, 'connected');
});
