// A client's frames by requests that wait for an answer: long polling, for who has nothing else.
//
// Rules
// - What is said goes with the next request, again and again until an answer says that it was taken;
//   what is told is asked for again until an answer arrives. So a request that is lost loses nothing.
// - One request at a time. To say something, the one that waits is given up for another; but never
//   so soon after it began that its answer may still be under way, or no answer would ever arrive.
// - A session that nobody asks for lives on for a while, so leaving is said: by `close`, and when the
//   page goes away.

import { CUT } from './websocket.js'

const PATIENCE_MS = 250
const AGAIN_MS = 1_000
const AGAIN_AT_MOST = 3
const LONGEST_PATIENCE_MS = 4_000
// Too much at once, or a later request of ours that overtook this one.
const COME_AGAIN = [503, 409]

export class PollTransport {
  name = 'poll'
  #url
  #place = { ack: 0, sent: 0 }
  #unsent = []
  #isAsking = false
  #isOver = false
  #request = null
  #askedMs = 0
  #patienceMs = PATIENCE_MS
  #failures = 0
  #timer = 0
  #leave = () => this.#sayLeaving()
  onframe = () => {}
  onclose = () => {}

  constructor(base) {
    this.#url = `${base}/connection/poll`
  }

  open(frame) {
    addEventListener('pagehide', this.#leave)
    this.send(frame)
    this.#ask()
  }

  send(frame) {
    this.#unsent.push(...frame.split('\n'))
    // The first request has to tell how to name the session.
    if (this.#isAsking && this.#place.session) this.#giveUpSoon()
  }

  close() {
    if (this.#isOver) return
    this.#stop()
    // A first request is left to come back: its answer says what there is to leave.
    if (this.#place.session) {
      this.#request?.abort()
      this.#sayLeaving()
    }
  }

  #giveUpSoon() {
    clearTimeout(this.#timer)
    const waitedMs = performance.now() - this.#askedMs
    this.#timer = setTimeout(() => {
      this.#patienceMs = Math.min(LONGEST_PATIENCE_MS, 2 * this.#patienceMs)
      this.#request.abort()
    }, this.#patienceMs - waitedMs)
  }

  async #ask() {
    while (!this.#isOver) {
      const request = (this.#request = new AbortController())
      try {
        this.#askedMs = performance.now()
        this.#isAsking = true
        await this.#take(await this.#post(request.signal))
      } catch {
        if (!request.signal.aborted) await this.#fail()
      } finally {
        this.#isAsking = false
        clearTimeout(this.#timer)
      }
    }
  }

  #post(signal) {
    const body = JSON.stringify({ ...this.#place, data: this.#unsent.join('\n') })
    return fetch(this.#url, { method: 'POST', body, signal })
  }

  async #take(response) {
    if (COME_AGAIN.includes(response.status)) throw new Error(response.statusText)
    if (!response.ok) return this.#end()
    const { session, node, seq, taken, data } = await response.json()
    this.#unsent.splice(0, taken - this.#place.sent)
    this.#place = { session, node, ack: seq, sent: taken }
    this.#failures = 0
    this.#patienceMs = PATIENCE_MS
    if (this.#isOver) this.#sayLeaving()
    else if (data) this.onframe(data.trimEnd())
  }

  /** What failed is asked again a few times, if there is a session to ask for. */
  async #fail() {
    this.#failures++
    if (!this.#place.session || this.#failures > AGAIN_AT_MOST) this.#end()
    else await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }

  #sayLeaving() {
    if (!this.#place.session) return
    const body = JSON.stringify({ ...this.#place, leave: true })
    // Nobody may be here any more to hear what became of it.
    fetch(this.#url, { method: 'POST', body, keepalive: true }).catch(() => {})
  }

  #end() {
    if (this.#isOver) return
    const { onclose } = this
    this.#stop()
    onclose(CUT)
  }

  #stop() {
    this.#isOver = true
    this.onframe = this.onclose = () => {}
    clearTimeout(this.#timer)
    removeEventListener('pagehide', this.#leave)
  }
}
