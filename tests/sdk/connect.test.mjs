import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectedClient,
  droppable,
  follow,
  freshChannel,
  fronts,
  inSeconds,
  makeClient,
  makeToken,
  nextEvent,
  transport,
} from './support.mjs';

test('a client without a token connects as anonymous', async (t) => {
  const client = makeClient(t);
  const connected = nextEvent(client, 'connected');
  client.connect();

  const context = await connected;

  assert.match(context.client, /^[0-9a-f-]{36}$/);
  assert.equal(context.transport, transport);
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

test('a client may connect and disconnect as often as it likes', async (t) => {
  const channel = freshChannel('room');
  const watcher = await connectedClient(t, fronts[1]);
  const client = makeClient(t, fronts[0]);
  const subscription = client.newSubscription(channel);
  subscription.subscribe();

  for (let round = 0; round < 20; round += 1) {
    client.connect();
    if (round % 2) {
      await nextEvent(client, 'connected');
    }
    client.disconnect();
  }
  client.connect();
  await nextEvent(subscription, 'subscribed');

  const deadline = Date.now() + 1_000;
  let clients = {};
  do {
    ({ clients } = await watcher.presence(channel));
  } while (Object.keys(clients).length !== 1 && Date.now() < deadline);
  assert.equal(Object.keys(clients).length, 1);
});

test("a token's channels are followed without being asked for, and recovered", async (t) => {
  const channel = freshChannel();
  const token = makeToken({ sub: '42', exp: inSeconds(60), channels: [channel] });
  const { line, drop } = droppable();
  // Away for long enough to miss something.
  const client = makeClient(t, fronts[0], { token, ...line, minReconnectDelay: 1000 });
  const received = [];
  client.on('publication', (context) => received.push([context.channel, context.data.n]));
  const subscribed = nextEvent(client, 'subscribed');
  client.connect();
  assert.equal((await subscribed).channel, channel);

  const other = await connectedClient(t, fronts[1]);
  const first = nextEvent(client, 'publication');
  await other.publish(channel, { n: 1 });
  await first;
  const away = nextEvent(client, 'connecting');
  drop();
  await away;
  const back = nextEvent(client, 'subscribed');
  await other.publish(channel, { n: 2 });
  await other.publish(channel, { n: 3 });

  assert.equal((await back).recovered, true);
  while (received.length < 3) {
    await nextEvent(client, 'publication');
  }
  assert.deepEqual(received, [1, 2, 3].map((n) => [channel, n]));
});

test('a refresh with other channels has the client connect again, into them', async (t) => {
  const [first, second] = [freshChannel(), freshChannel()];
  const client = makeClient(t, fronts[0], {
    token: makeToken({ sub: '42', exp: inSeconds(2), channels: [first] }),
    getToken: async () => makeToken({ sub: '42', exp: inSeconds(60), channels: [second] }),
  });
  const subscribed = nextEvent(client, 'subscribed');
  client.connect();
  assert.equal((await subscribed).channel, first);

  assert.equal((await nextEvent(client, 'subscribed')).channel, second);
});
