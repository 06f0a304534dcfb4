// What a client says whose connection only goes the other way: by requests of their own.
//
// Rules
// - Frames are sent one after the other, those that wait together: requests that overtake each other
//   would change the order of commands.
// - One that fails is not sent again, for nobody knows whether it was carried out; the connection is
//   over then, and what was to be answered is lost with it.

const TOGETHER_CHARACTERS = 32_768

export class Emulation {
  #url
  #whose = null
  #waiting = []
  #isBusy = false
  #onfailed

  constructor(base, onfailed) {
    this.#url = `${base}/emulation`
    this.#onfailed = onfailed
  }

  /** Look in what the server says for how to name the session, which is in the connect reply. */
  learn(frame) {
    if (this.#whose) return
    for (const line of frame.split('\n').filter(Boolean)) {
      const { session, node } = JSON.parse(line).connect ?? {}
      if (session) this.#whose = { session, node }
    }
  }

  send(frame) {
    this.#waiting.push(frame)
    if (!this.#isBusy) this.#sendAll()
  }

  close() {
    this.#waiting = []
    this.#onfailed = () => {}
  }

  async #sendAll() {
    this.#isBusy = true
    try {
      while (this.#waiting.length > 0) await this.#post(this.#together())
    } catch {
      this.#onfailed()
    }
    this.#isBusy = false
  }

  #together() {
    let frame = this.#waiting.shift()
    while (this.#waiting.length > 0 && frame.length + this.#waiting[0].length < TOGETHER_CHARACTERS) {
      frame += `\n${this.#waiting.shift()}`
    }
    return frame
  }

  async #post(data) {
    const body = JSON.stringify({ ...this.#whose, data })
    const response = await fetch(this.#url, { method: 'POST', body })
    if (!response.ok) throw new Error(response.statusText)
  }
}
