// What stands for a browser: runs a page's script with a WebSocket and a console, and nothing else.
//
// The WebSocket is npm's ws, which has the browser's interface. Its address is moved from the
// tutorial's port to the one that the server under test has, and it sends the Origin of a local file.

import { readFile } from 'node:fs/promises';
import { createContext, runInContext } from 'node:vm';
import { WebSocket } from 'ws';

const TUTORIAL = new URL('tutorial.js', import.meta.url);
const PATIENCE_MS = 10_000;

export const server = new URL(process.env.FRONT_URL);

/** A WebSocket class whose connections go to a host and port instead of the named ones. */
function movedTo(host) {
  return class extends WebSocket {
    constructor(address) {
      const url = new URL(address);
      url.host = host;
      super(url, { origin: 'null' });
    }
  };
}

/** A page that runs the tutorial's client; `lines` is what its console shows. */
export async function openPage(test, host = server.host) {
  const lines = [];
  const waiting = new Set();
  const log = (line) => {
    lines.push(line);
    waiting.forEach((look) => look());
  };
  const page = createContext({ WebSocket: movedTo(host), console: { log } });
  runInContext(await readFile(TUTORIAL, 'utf8'), page);
  const close = () => runInContext('closeConnection()', page);
  test.after(close);
  const until = (claim) =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (claim(lines)) {
          clearTimeout(timer);
          waiting.delete(look);
          resolve(lines);
        }
      };
      const timer = setTimeout(() => reject(new Error(`in time: ${lines.join(' | ')}`)), PATIENCE_MS);
      waiting.add(look);
      look();
    });
  return { lines, until, close, send: (text) => runInContext(`socket.send(${JSON.stringify(text)})`, page) };
}
