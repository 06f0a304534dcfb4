// Which transport the page's clients use: the first of these that works here, for all of them.
//
// Rules: one that ended before anything came by it is followed by the next, and the last by the
// first; one that worked is kept for as long as the page lives.

import { HttpStreamTransport } from './http_stream.js'
import { PollTransport } from './poll.js'
import { SseTransport } from './sse.js'
import { WebSocketTransport } from './websocket.js'

const KINDS = {
  websocket: WebSocketTransport,
  http_stream: HttpStreamTransport,
  sse: SseTransport,
  poll: PollTransport,
}

export class Transports {
  #base
  #names
  #at = 0
  #isKept = false
  onkept = () => {}

  /** `only`: the name of the one that is to be used, if somebody wants to see it. */
  constructor(base, only) {
    this.#base = base
    this.#names = Object.hasOwn(KINDS, only) ? [only] : Object.keys(KINDS)
  }

  make() {
    return new KINDS[this.#names[this.#at]](this.#base)
  }

  /** The name of the one that works here; empty as long as none is known to. */
  get kept() {
    return this.#isKept ? this.#names[this.#at] : ''
  }

  keep({ name }) {
    this.#at = this.#names.indexOf(name)
    this.#isKept = true
    this.onkept()
  }

  /** Turn to the next one; whether there is one that was not tried yet. */
  giveUp({ name }) {
    if (this.#isKept) return false
    // Another client may have turned to it already.
    if (this.#names[this.#at] === name) this.#at = (this.#at + 1) % this.#names.length
    return this.#at > 0
  }
}
