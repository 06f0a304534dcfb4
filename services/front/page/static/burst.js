// Sending more than a person can: a burst, or a steady flow, and counting what comes of it.
//
// Rules
// - No more unanswered publishes than the server allows a session; the next frame waits for room.
// - What the pool does not take (error 111) is sent again; what has an unknown outcome is not, for
//   then it would come twice.
// - Counted by number: sent is what was answered, delivered what came back, each once.

import { Client } from './client.js'

const CHANNEL = 'burst:demo'
const FRAME_COMMANDS = 50
const TRY_AGAIN_MS = 150
const FLOW_STEP_MS = 50
const LOOK_EVERY_MS = 4
const POOL_SHUT = 111

export class Burst {
  #client
  #limit
  #run = Math.random().toString(36).slice(2)
  #next = 0
  #delivered = new Set()
  #unanswered = 0
  #again = []
  #lastOffset = 0
  sent = 0
  asked = 0
  twice = 0
  isInOrder = true
  #running = 0
  startedMs = 0
  endedMs = 0

  /** `limit`: how many publishes a session may await. */
  constructor(transports, limit) {
    this.#limit = limit
    this.#client = new Client(transports)
    this.#client.subscribe(CHANNEL, {
      publication: (publication) => this.#take(publication),
      subscribed: ({ recovered }) => {
        if (!recovered) this.#lastOffset = 0
      },
    })
    this.#client.open()
  }

  get isBusy() {
    return this.#running > 0
  }

  get delivered() {
    return this.#delivered.size
  }

  /** What was answered and did not come, and will not: counted once nothing moves any more. */
  get lost() {
    return this.isBusy ? 0 : this.sent - this.delivered
  }

  /** Send so many as fast as they are taken. */
  async burst(count) {
    this.#begin(count)
    let left = count
    while (left > 0 || this.#again.length > 0 || this.#unanswered > 0) {
      const room = Math.min(FRAME_COMMANDS, this.#limit - this.#unanswered)
      if (this.#client.state !== 'connected' || room <= 0 || left + this.#again.length === 0) {
        await sleep(LOOK_EVERY_MS)
        continue
      }
      left -= this.#send(room, left)
    }
    await this.#arrival()
  }

  /** Send steadily for a time. */
  async flow(seconds, perSecond) {
    this.#begin(0)
    const untilMs = performance.now() + seconds * 1000
    let due = 0
    while (performance.now() < untilMs || this.#again.length > 0 || this.#unanswered > 0) {
      if (performance.now() < untilMs) due += (perSecond * FLOW_STEP_MS) / 1000
      const room = Math.min(FRAME_COMMANDS, this.#limit - this.#unanswered)
      if (this.#client.state === 'connected' && room > 0) {
        const sent = this.#send(room, Math.floor(due))
        due -= sent
        this.asked += sent
      }
      await sleep(FLOW_STEP_MS)
    }
    await this.#arrival()
  }

  #begin(count) {
    if (!this.isBusy) {
      this.#delivered.clear()
      this.#run = Math.random().toString(36).slice(2)
      this.#next = this.sent = this.asked = this.twice = 0
      this.isInOrder = true
      this.startedMs = performance.now()
    }
    this.#running++
    this.asked += count
  }

  /** Send a frame: first what was not taken before, then new ones; give how many are new. */
  #send(room, fresh) {
    const numbers = this.#again.splice(0, room)
    const created = Math.min(fresh, room - numbers.length)
    for (let i = 0; i < created; i++) numbers.push(this.#next++)
    if (numbers.length === 0) return 0
    this.#unanswered += numbers.length
    const run = this.#run
    const answers = this.#client.publishAll(
      CHANNEL,
      numbers.map((n) => ({ run, n })),
    )
    answers.forEach((answer, i) => this.#await(answer, numbers[i]))
    return created
  }

  async #await(answer, n) {
    try {
      await answer
      this.sent++
    } catch ({ code }) {
      if (code === POOL_SHUT) {
        await sleep(TRY_AGAIN_MS)
        this.#again.push(n)
      }
    }
    this.#unanswered--
  }

  #take({ data, offset }) {
    if (this.#lastOffset && offset !== this.#lastOffset + 1) this.isInOrder = false
    this.#lastOffset = offset
    if (data?.run !== this.#run) return
    if (this.#delivered.has(data.n)) this.twice++
    this.#delivered.add(data.n)
  }

  /** Wait for the rest to come, as long as it comes at all. */
  async #arrival() {
    let quietMs = 0
    let before = this.delivered
    while (this.delivered < this.sent && quietMs < 15_000) {
      await sleep(25)
      quietMs = this.delivered === before ? quietMs + 25 : 0
      before = this.delivered
    }
    this.endedMs = performance.now()
    this.#running--
  }
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
