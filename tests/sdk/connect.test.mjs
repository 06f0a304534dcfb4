import assert from 'node:assert/strict';
import { test } from 'node:test';
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

test('a client without a token connects as anonymous', async (t) => {
  const client = makeClient(t);
  const connected = nextEvent(client, 'connected');
  client.connect();

  const context = await connected;

  assert.match(context.client, /^[0-9a-f-]{36}$/);
  assert.equal(context.transport, 'websocket');
});

test('every front accepts clients', async (t) => {
  for (const url of fronts) {
    await connectedClient(t, url);
  }
});

test("a client with a token publishes in its user's name", async (t) => {
  const token = makeToken({ sub: '42', exp: inSeconds(60), info: { name: 'Ada' } });
  const client = await connectedClient(t, fronts[0], { token });
  const { subscription, until } = await follow(client, freshChannel('members'));

  await subscription.publish({ hello: 'world' });

  const [publication] = await until(1);
  assert.equal(publication.info.user, '42');
  assert.deepEqual(publication.info.connInfo, { name: 'Ada' });
});

test('a client with a forged token is disconnected for good', async (t) => {
  const token = makeToken({ sub: '42' }, 'not the secret of these tests at all');
  const client = makeClient(t, fronts[0], { token });
  const disconnected = nextEvent(client, 'disconnected');
  client.connect();

  assert.equal((await disconnected).code, 3500);
  assert.equal(client.state, 'disconnected');
});

test('a client with an expired token connects with the next one', async (t) => {
  let asked = 0;
  const client = makeClient(t, fronts[0], {
    token: makeToken({ sub: '42', exp: inSeconds(-60) }),
    getToken: async () => {
      asked += 1;
      return makeToken({ sub: '42', exp: inSeconds(60) });
    },
  });
  const connected = nextEvent(client, 'connected');
  client.connect();

  await connected;

  assert.equal(asked, 1);
});

test('a client that disconnects is told so and nothing else', async (t) => {
  const client = await connectedClient(t);
  const disconnected = nextEvent(client, 'disconnected');
  client.disconnect();

  assert.equal((await disconnected).code, 0);
});
