// A client's frames over a WebSocket, both ways. What every transport has:
//
// - `open(frame)`: begin, with what is to be said first; `send(frame)`: say more, once a frame came;
//   `close()`: end it, upon which nothing more is told.
// - `onframe(frame)`: what the server says, whole lines; `onclose(code)`: it is over, with the
//   server's code, or `CUT`; told once.
// - `name`: what it is called.

export const CUT = 1006

export class WebSocketTransport {
  name = 'websocket'
  #url
  #socket = null
  onframe = () => {}
  onclose = () => {}

  constructor(base) {
    this.#url = `${base.replace(/^http/, 'ws')}/connection/websocket`
  }

  open(frame) {
    let socket
    try {
      socket = new WebSocket(this.#url)
    } catch {
      queueMicrotask(() => this.onclose(CUT))
      return
    }
    this.#socket = socket
    socket.onopen = () => socket.send(frame)
    socket.onmessage = ({ data }) => this.onframe(data)
    socket.onclose = ({ code }) => this.onclose(code)
  }

  send(frame) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame)
  }

  close() {
    this.onframe = this.onclose = () => {}
    this.#socket?.close(1000)
  }
}
