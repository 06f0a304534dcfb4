import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { openPage, server } from './page.mjs';

const has = (...words) => (lines) => words.every((word) => lines.some((line) => line.includes(word)));

test('the page connects, is welcomed, and gets a receipt for its greeting', async (t) => {
  const page = await openPage(t);

  await page.until(has('服务器已收到'));

  assert.equal(page.lines[0], '连接已建立');
  assert.match(page.lines[1], /^收到服务器消息: 欢迎, [0-9a-f]{8}! 已加入频道 lobby$/);
  assert.equal(page.lines[2], '收到服务器消息: 服务器已收到: 你好,服务器!');
});

test('what one page sends the others hear, and it hears only its receipt', async (t) => {
  const [first, second] = [await openPage(t), await openPage(t)];
  await first.until(has('服务器已收到'));
  await second.until(has('服务器已收到'));

  first.send('大家好');

  await second.until((lines) => lines.some((line) => /^收到服务器消息: [0-9a-f]{8}: 大家好$/.test(line)));
  await first.until(has('服务器已收到: 大家好'));
  assert.equal(first.lines.filter((line) => line.includes('大家好')).length, 1);
});

test('a page that closes is told so, and nothing after it', async (t) => {
  const page = await openPage(t);
  await page.until(has('服务器已收到'));

  page.close();

  const lines = await page.until(has('连接已关闭'));
  assert.equal(lines.at(-1), '连接已关闭');
  assert.ok(!lines.includes('WebSocket 错误'));
});

test('a close without a code is a clean one', async () => {
  const socket = new WebSocket(server, { origin: 'null' });
  const closed = new Promise((resolve) => { socket.onclose = resolve; });
  socket.onopen = () => socket.close();

  const event = await closed;

  assert.equal(event.code, 1005);
  assert.equal(event.wasClean, true);
});

test('where nobody listens, the page is told of an error and of the end', async (t) => {
  const port = await new Promise((resolve) => {
    const listener = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = listener.address();
      listener.close(() => resolve(free));
    });
  });

  const page = await openPage(t, `127.0.0.1:${port}`);

  assert.deepEqual(await page.until(has('连接已关闭')), ['WebSocket 错误', '连接已关闭']);
});

test('a page of another origin is told of an error and of the end', async () => {
  const told = [];
  const socket = new WebSocket(server, { origin: 'https://elsewhere.example' });
  const closed = new Promise((resolve) => { socket.onclose = resolve; });
  socket.onerror = () => told.push('error');
  socket.onopen = () => told.push('open');

  await closed;

  assert.deepEqual(told, ['error']);
});
