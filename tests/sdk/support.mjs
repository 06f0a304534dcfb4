// What the scenarios share: clients of the unmodified SDK, tokens, waiting for events, and a
// balancer whose connections can be cut and sent to another front.

import { createHmac, randomUUID } from 'node:crypto';
import { createServer, connect as openSocket } from 'node:net';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as CentrifugeProtobuf } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

export const fronts = process.env.FRONT_URLS.split(' ');

/** The transport of all clients of this run: "websocket", "http_stream" or "sse". */
export const transport = process.env.TRANSPORT;

/** The encoding of all clients of this run that are not said to have another one. */
export const encoding = process.env.ENCODING;

const SECRET = process.env.TOKEN_SECRET;
const PATIENCE_MS = 10_000;

/** A channel nobody has used before. */
export function freshChannel(namespace = 'open') {
  return `${namespace}:${randomUUID()}`;
}

/** A connection token, signed here so that nothing of the server's takes part in making it. */
export function makeToken(claims, secret = SECRET) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** Seconds since 1970, so many from now. */
export function inSeconds(seconds) {
  return Math.floor(Date.now() / 1000) + seconds;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const toBytes = (value) => encoder.encode(JSON.stringify(value));

/** What an SDK in Protobuf tells, with its payloads, which are bytes to it, read as JSON. */
function read(value) {
  if (value instanceof Uint8Array) {
    return value.length ? JSON.parse(decoder.decode(value)) : undefined;
  }
  if (Array.isArray(value)) {
    return value.map(read);
  }
  // Others hold no payload: words, errors.
  const isPlain = value !== null && typeof value === 'object' && !(value instanceof Error);
  if (!isPlain) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, read(each)]));
}

/** The SDK in Protobuf for an application whose payloads are JSON. */
class ClientInProtobuf extends CentrifugeProtobuf {
  constructor(endpoint, { data, ...options }) {
    super(endpoint, data === undefined ? options : { ...options, data: toBytes(data) });
  }

  send(data) {
    return super.send(toBytes(data));
  }

  publish(channel, data) {
    return super.publish(channel, toBytes(data));
  }

  async rpc(method, data) {
    return read(await super.rpc(method, toBytes(data)));
  }

  async history(...asked) {
    return read(await super.history(...asked));
  }

  async presence(...asked) {
    return read(await super.presence(...asked));
  }

  emit(name, ...told) {
    return super.emit(name, ...told.map(read));
  }

  newSubscription(...parameters) {
    const subscription = super.newSubscription(...parameters);
    const emit = subscription.emit.bind(subscription);
    subscription.emit = (name, ...told) => emit(name, ...told.map(read));
    return subscription;
  }
}

/** A client that is disconnected when the test ends. `test` is the test's context. */
export function makeClient(test, url = fronts[0], options = {}) {
  const { speaks = encoding, ...rest } = options;
  const Client = speaks === 'protobuf' ? ClientInProtobuf : Centrifuge;
  const client = new Client(transport === 'websocket' ? url : endpointsOf(url), {
    websocket: WebSocket,
    eventsource: EventSource,
    emulationEndpoint: emulationOf(url),
    minReconnectDelay: 50,
    maxReconnectDelay: 500,
    ...rest,
  });
  test.after(() => client.disconnect());
  return client;
}

/** The same front without WebSockets. */
function endpointsOf(url) {
  return [{ transport, endpoint: httpUrl(url, `/connection/${transport}`) }];
}

/** Where commands go if not over the connection: to another front, which must forward them. */
function emulationOf(url) {
  const at = fronts.indexOf(url);
  return emulationAt(at < 0 ? url : fronts[(at + 1) % fronts.length]);
}

/** Where this front takes commands. */
export function emulationAt(url) {
  return httpUrl(url, '/emulation');
}

function httpUrl(url, path) {
  return new URL(path, url.replace(/^ws/, 'http')).href;
}

/** A client that has connected. */
export async function connectedClient(test, url = fronts[0], options = {}) {
  const client = makeClient(test, url, options);
  const connected = nextEvent(client, 'connected');
  client.connect();
  await connected;
  return client;
}

/** The next such event's context. */
export function nextEvent(emitter, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no "${name}" in time`)), PATIENCE_MS);
    emitter.once(name, (context) => {
      clearTimeout(timer);
      resolve(context);
    });
  });
}

/** Follows a channel: the subscription, what it has received, and a way to wait for more. */
export async function follow(client, channel, options = {}) {
  const subscription = client.newSubscription(channel, options);
  const publications = [];
  subscription.on('publication', (publication) => publications.push(publication));
  const subscribed = nextEvent(subscription, 'subscribed');
  subscription.subscribe();
  const context = await subscribed;
  const until = async (count) => {
    while (publications.length < count) {
      await nextEvent(subscription, 'publication');
    }
    return publications;
  };
  return { subscription, publications, context, until };
}

/** Options of a client whose connections can be dropped, and the way to drop the last one. */
export function droppable() {
  const drops = [];
  class DroppableWebSocket extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      drops.push(() => this.terminate());
    }
  }
  // A stream is the request that is not one of /emulation.
  const droppableFetch = (url, options) => {
    if (String(url).endsWith('/emulation')) {
      return fetch(url, options);
    }
    const cut = new AbortController();
    // Not an AbortError, by which the SDK would think that it was itself.
    drops.push(() => cut.abort(new Error('cut')));
    return fetch(url, { ...options, signal: AbortSignal.any([options.signal, cut.signal]) });
  };
  class DroppableEventSource extends EventSource {
    constructor(url, options) {
      super(url, { ...options, fetch: droppableFetch });
    }
  }
  return {
    line: {
      websocket: DroppableWebSocket,
      eventsource: DroppableEventSource,
      fetch: droppableFetch,
    },
    drop: () => drops.at(-1)(),
  };
}

/**
 * What stands before several fronts: one URL, and connections that go to these fronts in turn, past
 * those that do not listen.
 */
export async function startBalancer(test, ...urls) {
  let targets = urls.map((url) => new URL(url));
  const { pathname } = targets[0];
  const sockets = new Set();
  const join = (inner, outer) => {
    for (const [socket, other] of [[inner, outer], [outer, inner]]) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  };
  const reach = (inner, attempts) => {
    targets.push(targets.shift());
    const outer = openSocket(Number(targets[0].port), targets[0].hostname);
    const fail = () => (attempts > 1 ? reach(inner, attempts - 1) : inner.destroy());
    outer.once('error', fail);
    outer.once('connect', () => {
      outer.off('error', fail);
      join(inner, outer);
    });
  };
  const server = createServer((inner) => {
    inner.on('error', () => inner.destroy());
    reach(inner, targets.length);
  });
  const cut = () => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.after(() => {
    server.close();
    cut();
  });
  return {
    url: `ws://127.0.0.1:${server.address().port}${pathname}`,
    moveTo: (url) => {
      targets = [new URL(url)];
      cut();
    },
    cut,
  };
}

/** Only what the scenarios compare. */
export const dataOf = (publications) => publications.map(({ data }) => data);
export const offsetsOf = (publications) => publications.map(({ offset }) => offset);
