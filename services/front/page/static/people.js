// Who is here: the channel's presence, kept up by joins and leaves, with the names that people gave.
//
// The server knows anonymous clients by id alone. Names are published to a channel beside the chat,
// whose history tells them to whoever comes later.

const ASK_EVERY_MS = 15_000
const NAMES_AT_MOST = 100

export class People {
  #client
  #channel
  #namesChannel
  #names = new Map()
  #here = null
  #timer = 0
  onchange = () => {}
  onjoin = () => {}
  onleave = () => {}

  constructor(client, channel) {
    this.#client = client
    this.#channel = channel
    this.#namesChannel = `${channel}-names`
    client.subscribe(this.#namesChannel, {
      publication: ({ data }) => this.#name(data),
      subscribed: () => this.#readNames(),
    })
  }

  /** The ids of those who are here, or null: that is not told. */
  get here() {
    return this.#here && [...this.#here]
  }

  nameOf(id) {
    return this.#names.get(id)
  }

  /** Tell the others what this client is called. */
  announce(name) {
    this.#name({ client: this.#client.id, name })
    this.#client.publish(this.#namesChannel, { client: this.#client.id, name }).catch(() => {})
  }

  /** Ask who is here, now and every now and then. */
  async ask() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.ask(), ASK_EVERY_MS)
    if (this.#client.state !== 'connected') return
    try {
      this.#here = new Set(Object.keys(await this.#client.presence(this.#channel)))
    } catch (refused) {
      if (!refused.temporary) this.#here = null
    }
    this.onchange()
  }

  stop() {
    clearTimeout(this.#timer)
  }

  joined({ client }) {
    if (this.#here?.has(client)) return
    this.#here?.add(client)
    this.onchange()
    if (client !== this.#client.id) this.onjoin(client)
  }

  left({ client }) {
    if (!this.#here?.delete(client)) return
    this.onchange()
    this.onleave(client)
  }

  async #readNames() {
    try {
      const known = await this.#client.history(this.#namesChannel, NAMES_AT_MOST)
      for (const { data } of known) this.#name(data)
    } catch {
      // Names are an ornament; without them people are guests.
    }
  }

  #name(data) {
    if (typeof data?.client !== 'string' || typeof data?.name !== 'string') return
    this.#names.set(data.client, data.name.slice(0, 24))
    this.onchange()
  }
}
