// What stands between a browser and the page in some networks: it lets through what it knows.

import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import { PAGE_URL } from './support.mjs'

const { hostname, port } = new URL(PAGE_URL)
const LOST = () => {}

/** Where each of the page's transports begins, in the order in which it tries them. */
export const PATHS = {
  websocket: '/connection/websocket',
  http_stream: '/connection/http_stream',
  sse: '/connection/sse',
  poll: '/connection/poll',
}
export const NAMES = Object.keys(PATHS)

/**
 * Run a scenario with the address of a proxy that cuts off requests for some of the paths, and leaves
 * WebSockets of others without an answer.
 */
export async function behindProxy(refused, scenario, unanswered = []) {
  const isRefused = ({ url }) => refused.some((path) => url.startsWith(path))
  const isUnanswered = ({ url }) => unanswered.some((path) => url.startsWith(path))
  const sockets = new Set()
  const proxy = createServer((asked, answer) => {
    if (isRefused(asked)) return asked.socket.destroy()
    const { method, url: path, headers } = asked
    const passedOn = request({ hostname, port, method, path, headers }, (answered) => {
      answer.writeHead(answered.statusCode, answered.headers)
      answered.on('error', () => answer.destroy()).pipe(answer)
    })
    passedOn.on('error', () => answer.destroy())
    answer.on('close', () => passedOn.destroy())
    return asked.on('error', LOST).pipe(passedOn)
  })
  proxy.on('upgrade', (asked, socket, head) => {
    if (isRefused(asked)) return socket.destroy()
    if (isUnanswered(asked)) return socket.on('error', LOST)
    const far = connect(port, hostname, () => {
      far.write(`${asked.method} ${asked.url} HTTP/1.1\r\n`)
      for (let i = 0; i < asked.rawHeaders.length; i += 2) {
        far.write(`${asked.rawHeaders[i]}: ${asked.rawHeaders[i + 1]}\r\n`)
      }
      far.write('\r\n')
      far.write(head)
      far.pipe(socket).pipe(far)
    })
    for (const [one, other] of [[far, socket], [socket, far]]) {
      one.on('error', LOST).on('close', () => other.destroy())
    }
    return far
  })
  proxy.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise((resolve) => proxy.listen(0, 'localhost', resolve))
  try {
    return await scenario(`http://localhost:${proxy.address().port}/`)
  } finally {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  }
}
