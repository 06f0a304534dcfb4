import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Centrifuge as CentrifugeProtobuf } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import {
  connectedClient,
  dataOf,
  follow,
  freshChannel,
  fronts,
  nextEvent,
  offsetsOf,
} from './support.mjs';

/** A client of the SDK as it is in Protobuf: payloads are bytes. */
async function bytesClient(t, front) {
  const client = new CentrifugeProtobuf(fronts[front], { websocket: WebSocket });
  t.after(() => client.disconnect());
  const connected = nextEvent(client, 'connected');
  client.connect();
  await connected;
  return client;
}

test('clients in JSON and in Protobuf get the same of one channel', async (t) => {
  const channel = freshChannel();
  const followed = [];
  for (const [at, speaks] of [[0, 'json'], [0, 'protobuf'], [1, 'json'], [1, 'protobuf']]) {
    followed.push(await follow(await connectedClient(t, fronts[at], { speaks }), channel));
  }

  for (const [at, { subscription }] of followed.entries()) {
    await subscription.publish({ from: at, text: 'ü "quoted"\n' });
  }

  const expected = followed.map((_, at) => ({ from: at, text: 'ü "quoted"\n' }));
  const senders = [];
  for (const { until, subscription } of followed) {
    const publications = await until(4);
    assert.deepEqual(dataOf(publications), expected);
    assert.deepEqual(offsetsOf(publications), [1, 2, 3, 4]);
    senders.push(publications.map(({ info }) => info.client).join());
    assert.deepEqual(dataOf((await subscription.history({ limit: 9 })).publications), expected);
  }
  assert.equal(new Set(senders).size, 1);
});

test('any bytes pass where data is binary, and come back from the history', async (t) => {
  const channel = freshChannel('bytes');
  const payload = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const here = await follow(await bytesClient(t, 0), channel);
  const there = await follow(await bytesClient(t, 1), channel);

  await here.subscription.publish(payload);

  for (const { until, subscription } of [here, there]) {
    assert.deepEqual([...(await until(1))[0].data], [...payload]);
    const { publications } = await subscription.history({ limit: 1 });
    assert.deepEqual([...publications[0].data], [...payload]);
  }
});

test('a client in JSON is told that a channel of binary data is not for it', async (t) => {
  const client = await connectedClient(t, fronts[0], { speaks: 'json' });
  const subscription = client.newSubscription(freshChannel('bytes'));
  const unsubscribed = nextEvent(subscription, 'unsubscribed');
  subscription.subscribe();

  assert.equal((await unsubscribed).code, 108);
  await assert.rejects(client.publish(freshChannel('bytes'), 1), { code: 108 });
});

test('what is no JSON is refused where data is JSON, and the client stays', async (t) => {
  const client = await bytesClient(t, 0);

  await assert.rejects(client.publish(freshChannel(), Uint8Array.of(0, 255)), { code: 107 });
  assert.equal(client.state, 'connected');
});
