// A client's frames by Server-Sent Events; what it says goes by requests (`emulation`).

import { Emulation } from './emulation.js'
import { CUT } from './websocket.js'

export class SseTransport {
  name = 'sse'
  #url
  #emulation
  #events = null
  onframe = () => {}
  onclose = () => {}

  constructor(base) {
    this.#url = `${base}/connection/sse`
    this.#emulation = new Emulation(base, () => this.#end())
  }

  open(frame) {
    this.#events = new EventSource(`${this.#url}?cf_connect=${encodeURIComponent(frame)}`)
    this.#events.onmessage = ({ data }) => {
      this.#emulation.learn(data)
      this.onframe(data)
    }
    // It would come back by itself, with a connect that is out of date.
    this.#events.onerror = () => this.#end()
  }

  send(frame) {
    this.#emulation.send(frame)
  }

  close() {
    this.onframe = this.onclose = () => {}
    this.#emulation.close()
    this.#events?.close()
  }

  #end() {
    const { onclose } = this
    this.close()
    onclose(CUT)
  }
}
