// What a team's handlers (tests/apps/team.py) say to the SDK's clients, and have fronts do to them.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
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

const tokenOf = (sub) => makeToken({ sub, exp: inSeconds(60) });
const newUser = () => `user-${randomUUID()}`;

/** A client of a user, and another's, elsewhere, who has something done with it. */
async function twoUsers(t) {
  const user = newUser();
  const client = await connectedClient(t, fronts[0], { token: tokenOf(user) });
  const other = await connectedClient(t, fronts[1], { token: tokenOf(newUser()) });
  const order = (what, rest = {}) => other.rpc('order', { what, user, ...rest });
  return { client, order };
}

test('a call is answered', async (t) => {
  const client = await connectedClient(t);

  assert.deepEqual(await client.rpc('double', 21), { data: 42 });
});

test("a call is refused with the team's own code and words", async (t) => {
  const client = await connectedClient(t);

  await assert.rejects(client.rpc('refuse', {}), { code: 777, message: 'not today' });
  await assert.rejects(client.rpc('nobody', {}), { code: 108 });
  assert.equal(client.state, 'connected');
});

test('what is sent arrives at a handler', async (t) => {
  const channel = freshChannel();
  const client = await connectedClient(t, fronts[0], { token: tokenOf('ada') });
  const { until } = await follow(await connectedClient(t, fronts[1]), channel);

  await client.send({ channel, said: 'hello' });

  const [publication] = await until(1);
  assert.deepEqual(publication.data, { from: 'ada', said: 'hello' });
});

test('a publication is changed or refused', async (t) => {
  const client = await connectedClient(t);
  const { subscription, until } = await follow(client, freshChannel());

  await subscription.publish({ n: 1, how: 'change' });
  await assert.rejects(subscription.publish({ how: 'refuse' }), {
    code: 1234,
    message: 'not here',
  });

  const [publication] = await until(1);
  assert.deepEqual(publication.data, { n: 1, seen: true });
});

test('who connects is told what the connect handler says', async (t) => {
  const channel = freshChannel();
  const data = { how: 'welcome', user: 'grace', channels: [channel] };
  const client = makeClient(t, fronts[0], { data });
  const [connected, subscribed] = ['connected', 'subscribed'].map((name) =>
    nextEvent(client, name),
  );
  client.connect();

  assert.deepEqual((await connected).data, { motd: 'hello' });
  assert.equal((await subscribed).channel, channel);
  const { data: known } = await client.rpc('whoami', null);
  assert.deepEqual([known.user, known.info], ['grace', { name: 'Grace' }]);
});

test('who may not connect is told why, and stays away', async (t) => {
  for (const [how, ...expected] of [
    ['refuse', 778, 'closed today'],
    ['disconnect', 4501, 'go away'],
  ]) {
    const client = makeClient(t, fronts[0], { data: { how } });
    const disconnected = nextEvent(client, 'disconnected');
    client.connect();

    const { code, reason } = await disconnected;
    assert.deepEqual([code, reason], expected);
  }
});

test('the subscribe handler says what a subscriber is told, or why it is none', async (t) => {
  const client = await connectedClient(t);
  const { context } = await follow(client, `${freshChannel('asked')}-welcome`);
  const refused = client.newSubscription(`${freshChannel('asked')}-refuse`);
  const unsubscribed = nextEvent(refused, 'unsubscribed');
  refused.subscribe();

  assert.deepEqual(context.data, { topic: 'boats' });
  const { code, reason } = await unsubscribed;
  assert.deepEqual([code, reason], [779, 'members only']);
});

test('a message reaches the user that it is for', async (t) => {
  const { client, order } = await twoUsers(t);
  const message = nextEvent(client, 'message');

  await order('send', { data: { hello: 'you' } });

  assert.deepEqual((await message).data, { hello: 'you' });
});

test('a client is put into a channel while it is connected, and taken out', async (t) => {
  const channel = freshChannel();
  const { client, order } = await twoUsers(t);
  const subscribed = nextEvent(client, 'subscribed');
  await order('subscribe', { channel, data: { why: 'invited' } });
  const { channel: into, data } = await subscribed;
  assert.deepEqual([into, data], [channel, { why: 'invited' }]);

  const publication = nextEvent(client, 'publication');
  await client.publish(channel, { n: 1 });
  assert.deepEqual((await publication).data, { n: 1 });

  const unsubscribed = nextEvent(client, 'unsubscribed');
  await order('unsubscribe', { channel });
  assert.equal((await unsubscribed).channel, channel);
  assert.equal(client.state, 'connected');
});

test('a client that is sent away with 4501 does not come back', async (t) => {
  const { client, order } = await twoUsers(t);
  const disconnected = nextEvent(client, 'disconnected');

  await order('disconnect', { code: 4501, reason: 'not any more' });

  const { code, reason } = await disconnected;
  assert.deepEqual([code, reason], [4501, 'not any more']);
  assert.equal(client.state, 'disconnected');
});

test('a client that is sent away with 4001 comes back', async (t) => {
  const { client, order } = await twoUsers(t);
  const [connecting, connected] = ['connecting', 'connected'].map((name) =>
    nextEvent(client, name),
  );

  await order('disconnect', { code: 4001, reason: 'come again' });

  const { code, reason } = await connecting;
  assert.deepEqual([code, reason], [4001, 'come again']);
  await connected;
});

test('a client whose session has expired comes back', async (t) => {
  const { client, order } = await twoUsers(t);
  const [connecting, connected] = ['connecting', 'connected'].map((name) =>
    nextEvent(client, name),
  );

  await order('expire');

  assert.equal((await connecting).code, 3005);
  await connected;
});
