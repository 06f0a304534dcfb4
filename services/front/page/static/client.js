// A client of the Centrifuge protocol (JSON) over any of the transports: connects and comes back,
// subscribes and recovers, publishes, asks for history and presence, answers pings.
//
// Rules: a subscription goes on from its position, so what it gives is without gaps for as long as
// `onsubscribed` does not say otherwise; a command whose answer is lost with the connection fails
// with code 2, and nobody knows what became of it.
//
// Not here: how frames travel (`websocket` and its like), which of those is taken (`transports`).

import { CUT } from './websocket.js'

const ANSWER_MS = 5_000
const PING_GRACE_MS = 10_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 10_000

export const TRANSPORT_CLOSED = 2

/** What the server, or the lack of one, answered to a command. */
export class Refused extends Error {
  constructor({ code, message, temporary = false }) {
    super(message)
    Object.assign(this, { code, temporary })
  }
}

export class Client {
  #transports
  #transport = null
  #hasHeard = false
  #commands = new Map()
  #subscriptions = new Map()
  #nextId = 1
  #failures = 0
  #pingMs = 0
  #answersPings = false
  #watch = 0
  #retry = 0
  state = 'disconnected'
  id = ''
  onstate = () => {}

  constructor(transports) {
    this.#transports = transports
  }

  /** Connect, and stay connected until `close`. */
  open() {
    clearTimeout(this.#retry)
    this.#enter('connecting')
    const transport = (this.#transport = this.#transports.make())
    this.#hasHeard = false
    transport.onframe = (frame) => this.#take(frame)
    transport.onclose = (code) => this.#lose(code)
    transport.open(this.#greeting(transport))
  }

  close() {
    this.#lose(3500)
  }

  /** Follow a channel, from before `open` or from now on: `on` has `publication`, and perhaps `subscribed`, `join`, `leave`, `failed`. */
  subscribe(channel, on, { joinLeave = false } = {}) {
    const subscription = { channel, on, joinLeave, position: null }
    this.#subscriptions.set(channel, subscription)
    if (this.state === 'connected') this.#send([this.#subscribing(subscription)])
  }

  publish(channel, data) {
    return this.publishAll(channel, [data])[0]
  }

  /** Publish many in one frame; a promise for each. */
  publishAll(channel, many) {
    const answers = []
    const commands = many.map((data) => this.#command({ publish: { channel, data } }, answers))
    this.#send(commands)
    return answers
  }

  /** The latest publications, oldest first. */
  async history(channel, limit) {
    const { history } = await this.#ask({ history: { channel, limit, reverse: true } })
    return history.publications.reverse()
  }

  /** Who is subscribed: a client's facts by its id. */
  async presence(channel) {
    return (await this.#ask({ presence: { channel } })).presence.presence
  }

  #ask(request) {
    const answers = []
    this.#send([this.#command(request, answers)])
    return answers[0]
  }

  #command(request, answers) {
    const id = this.#nextId++
    answers.push(
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => this.#answer({ id, error: { code: 1, message: 'no answer', temporary: true } }),
          ANSWER_MS,
        )
        this.#commands.set(id, { resolve, reject, timer })
      }),
    )
    return { id, ...request }
  }

  #send(commands) {
    if (this.state === 'connected') {
      this.#transport.send(asFrame(commands))
    } else {
      for (const { id } of commands) this.#fail(id)
    }
  }

  /** What is said first: a connect, and the subscriptions. */
  #greeting(transport) {
    const answers = []
    const connect = this.#command({ connect: { name: 'forebay-demo' } }, answers)
    answers[0].then(
      ({ connect: { client, ping = 0, pong = false } }) => {
        this.id = client
        this.#failures = 0
        this.#pingMs = ping * 1000
        this.#answersPings = pong
        this.#enter('connected')
      },
      () => transport === this.#transport && this.#lose(CUT),
    )
    const subscriptions = [...this.#subscriptions.values()]
    return asFrame([connect, ...subscriptions.map((each) => this.#subscribing(each))])
  }

  #subscribing(subscription) {
    const { channel, position, joinLeave } = subscription
    const answers = []
    const request = { channel, flag: 1, ...(joinLeave && { join_leave: true }) }
    if (position) Object.assign(request, { recover: true, ...position })
    const command = this.#command({ subscribe: request }, answers)
    answers[0].then(
      ({ subscribe }) => this.#subscribed(subscription, subscribe),
      (refused) => this.#notSubscribed(subscription, refused),
    )
    return command
  }

  #subscribed(subscription, reply) {
    const { recoverable, recovered = false, publications = [], offset = 0, epoch = '' } = reply
    const isFirst = subscription.position === null
    subscription.position = recoverable ? { offset, epoch } : null
    subscription.on.subscribed?.({ isFirst, recovered })
    for (const publication of publications) this.#publication(subscription, publication)
  }

  #notSubscribed(subscription, refused) {
    if (!refused.temporary) subscription.on.failed?.(refused)
    else if (this.state === 'connected') setTimeout(() => this.#resubscribe(subscription), pause(1))
  }

  #resubscribe(subscription) {
    if (this.state === 'connected') this.#send([this.#subscribing(subscription)])
  }

  #publication(subscription, publication) {
    if (subscription.position) subscription.position.offset = publication.offset
    subscription.on.publication(publication)
  }

  #take(frame) {
    if (!this.#hasHeard) this.#transports.keep(this.#transport)
    this.#hasHeard = true
    this.#watchPings()
    for (const line of frame.split('\n')) {
      if (!line || !this.#transport) continue
      const reply = JSON.parse(line)
      if (reply.id) this.#answer(reply)
      else if (reply.push) this.#push(reply.push)
      else if (this.#answersPings) this.#transport.send('{}')
    }
  }

  #answer({ id, error, ...result }) {
    const command = this.#commands.get(id)
    if (!command) return
    this.#commands.delete(id)
    clearTimeout(command.timer)
    if (error) command.reject(new Refused(error))
    else command.resolve(result)
  }

  #push({ channel = '', pub, join, leave, unsubscribe, disconnect }) {
    if (disconnect) return this.#lose(disconnect.code)
    const subscription = this.#subscriptions.get(channel)
    if (!subscription) return
    if (pub) this.#publication(subscription, pub)
    else if (join) subscription.on.join?.(join.info)
    else if (leave) subscription.on.leave?.(leave.info)
    else if (unsubscribe?.code >= 2500) this.#resubscribe(subscription)
    else if (unsubscribe) subscription.on.failed?.(new Refused(unsubscribe))
  }

  #watchPings() {
    clearTimeout(this.#watch)
    if (this.#pingMs) {
      this.#watch = setTimeout(() => this.#lose(CUT), this.#pingMs + PING_GRACE_MS)
    }
  }

  #lose(code) {
    const transport = this.#transport
    this.#transport = null
    transport?.close()
    clearTimeout(this.#watch)
    clearTimeout(this.#retry)
    for (const id of [...this.#commands.keys()]) this.#fail(id)
    const isOver = code === 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000)
    this.#enter(isOver ? 'disconnected' : 'connecting')
    if (isOver) return
    // Who was told a code was heard, whatever else did not come.
    const isUseless = !this.#hasHeard && code < 3000
    const isAnother = isUseless && this.#transports.giveUp(transport)
    this.#retry = setTimeout(() => this.open(), isAnother ? 0 : pause(this.#failures++))
  }

  #fail(id) {
    const error = { code: TRANSPORT_CLOSED, message: 'connection closed', temporary: true }
    this.#answer({ id, error })
  }

  #enter(state) {
    if (state !== this.state) this.onstate((this.state = state))
  }
}

function asFrame(commands) {
  return commands.map((command) => JSON.stringify(command)).join('\n')
}

/** How long to wait before the next try: spread, so that not all come back at once. */
function pause(failures) {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures)
  return 50 + Math.random() * longest
}
