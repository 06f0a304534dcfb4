// A client's frames by a response that does not end; what it says goes by requests (`emulation`).

import { Emulation } from './emulation.js'
import { CUT } from './websocket.js'

export class HttpStreamTransport {
  name = 'http_stream'
  #url
  #emulation
  #request = new AbortController()
  onframe = () => {}
  onclose = () => {}

  constructor(base) {
    this.#url = `${base}/connection/http_stream`
    this.#emulation = new Emulation(base, () => this.#end())
  }

  async open(frame) {
    try {
      await this.#read(frame)
    } catch {
      // However it ended, it is over.
    }
    this.#end()
  }

  send(frame) {
    this.#emulation.send(frame)
  }

  close() {
    this.onframe = this.onclose = () => {}
    this.#emulation.close()
    this.#request.abort()
  }

  async #read(frame) {
    const { signal } = this.#request
    const response = await fetch(this.#url, { method: 'POST', body: frame, signal })
    if (!response.ok) return
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let begun = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const lines = begun + value
      const end = lines.lastIndexOf('\n')
      begun = lines.slice(end + 1)
      if (end > 0) this.#tell(lines.slice(0, end))
    }
  }

  #tell(frame) {
    this.#emulation.learn(frame)
    this.onframe(frame)
  }

  #end() {
    const { onclose } = this
    this.close()
    onclose(CUT)
  }
}
