// One person's view of the chat: a client of its own, what was said, who is here, and a way to speak.
//
// Rules: what somebody says shows at once as being on its way, and as said when it comes back through
// the log, which is when everybody has it. What was said is text, never markup.

import { Client, TRANSPORT_CLOSED } from './client.js'
import { People } from './people.js'
import { forgetLanguage, number, onLanguage, text, translate } from './text.js'

export const CHANNEL = 'lobby'
const HISTORY_AT_MOST = 100
const SHOWN_AT_MOST = 300
const TRY_AGAIN_MS = 700
const POOL_SHUT = 111
const OUTCOME_UNKNOWN = [1, TRANSPORT_CLOSED, 400]
const HUES = 8

export class Chat {
  #client
  #people
  #names
  #mine
  #pending = []
  #early = null
  #offset = 0
  #arrived = []

  constructor(transports, names) {
    this.#names = names
    this.#mine = names.clients
    this.root = document.querySelector('#pane').content.cloneNode(true).firstElementChild
    translate(this.root)
    this.#find('.name').value = names.current
    this.#client = new Client(transports)
    this.#people = new People(this.#client, CHANNEL)
    this.#listen()
    onLanguage(this.show)
    this.#client.open()
    this.rates = setInterval(() => this.#showRate(), 500)
  }

  close() {
    clearInterval(this.rates)
    forgetLanguage(this.show)
    this.#people.stop()
    this.#client.close()
    this.root.remove()
  }

  show = () => {
    this.#showState()
    this.#showPeople()
    this.#showRate()
    for (const each of this.root.querySelectorAll('.message')) each.rename?.()
  }

  #find(selector) {
    return this.root.querySelector(selector)
  }

  #listen() {
    this.#client.onstate = () => this.#changed()
    this.#people.onchange = () => this.show()
    this.#people.onjoin = (id) => this.#note(() => text('joined', { name: this.#nameOf(id) }))
    this.#people.onleave = (id) => this.#note(() => text('left', { name: this.#nameOf(id) }))
    const on = {
      subscribed: (how) => this.#subscribed(how),
      publication: (publication) => this.#take(publication),
      join: (info) => this.#people.joined(info),
      leave: (info) => this.#people.left(info),
    }
    this.#client.subscribe(CHANNEL, on, { joinLeave: true })
    this.#find('form').onsubmit = (event) => {
      event.preventDefault()
      this.#say(this.#find('.say'))
    }
    this.#find('.name').onchange = ({ target }) => {
      this.#names.rename(target.value.trim() || this.#names.current)
      target.value = this.#names.current
      this.#people.announce(this.#names.current)
    }
  }

  #changed() {
    if (this.#client.state === 'connected') {
      this.#names.addClient(this.#client.id)
      this.#people.announce(this.#names.current)
    }
    this.#showState()
  }

  async #subscribed({ isFirst, recovered }) {
    this.#people.ask()
    if (recovered && !this.#early) return
    if (!isFirst && !recovered) this.#note(() => text('missed'))
    // What comes in meanwhile is shown after the history, and once.
    this.#early ??= []
    try {
      for (const each of await this.#client.history(CHANNEL, HISTORY_AT_MOST)) this.#add(each)
    } catch (refused) {
      // Asked for again with the next subscription; until then what comes in still waits.
      if (refused.code === TRANSPORT_CLOSED) return
    }
    const early = this.#early
    this.#early = null
    for (const each of early) this.#add(each)
    this.#find('.empty').hidden = this.#offset > 0
  }

  #take(publication) {
    this.#arrived.push(performance.now())
    if (this.#early) this.#early.push(publication)
    else this.#add(publication)
  }

  #add({ data, info, offset }) {
    if (offset <= this.#offset) return
    this.#offset = offset
    this.#find('.empty').hidden = true
    const said = typeof data === 'string' ? data : (data?.text ?? JSON.stringify(data))
    const isMine = this.#mine.has(info?.client)
    if (isMine) this.#settle(said)
    const message = this.#message(said, info?.client, isMine)
    message.querySelector('.offset').textContent = offset
    this.#append(message)
  }

  #message(said, client, isMine) {
    const message = document.querySelector('#message').content.cloneNode(true).firstElementChild
    message.classList.toggle('mine', isMine)
    message.dataset.hue = hueOf(client ?? '')
    message.querySelector('.said').textContent = said
    message.rename = () => {
      message.querySelector('.who').textContent = isMine
        ? this.#names.current
        : this.#nameOf(client)
    }
    message.rename()
    return message
  }

  #append(message) {
    const list = this.#find('.messages')
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80
    list.insertBefore(message, list.querySelector('.pending:not(.failed)'))
    if (list.children.length > SHOWN_AT_MOST) list.firstElementChild.remove()
    if (isAtEnd) list.scrollTop = list.scrollHeight
  }

  #note(words) {
    const note = document.createElement('li')
    note.className = 'message note'
    note.rename = () => {
      note.textContent = words()
    }
    note.rename()
    this.#append(note)
  }

  #say(field) {
    const said = field.value.trim()
    if (!said) return
    field.value = ''
    const message = this.#message(said, this.#client.id, true)
    message.classList.add('pending')
    this.#find('.messages').append(message)
    this.#find('.empty').hidden = true
    this.#find('.messages').scrollTop = this.#find('.messages').scrollHeight
    const pending = { said, message }
    this.#pending.push(pending)
    this.#publish(pending)
  }

  async #publish(pending) {
    tell(pending, 'waiting')
    try {
      await this.#client.publish(CHANNEL, pending.said)
    } catch (refused) {
      if (refused.code === POOL_SHUT || this.#client.state !== 'connected') {
        tell(pending, 'again')
        setTimeout(() => this.#pending.includes(pending) && this.#publish(pending), TRY_AGAIN_MS)
      } else if (OUTCOME_UNKNOWN.includes(refused.code)) {
        tell(pending, 'unknown')
      } else {
        this.#pending.splice(this.#pending.indexOf(pending), 1)
        pending.message.classList.add('failed')
        tell(pending, 'refused', { reason: refused.message })
      }
    }
  }

  #settle(said) {
    const at = this.#pending.findIndex((each) => each.said === said)
    if (at >= 0) this.#pending.splice(at, 1)[0].message.remove()
  }

  #nameOf(id = '') {
    return this.#people.nameOf(id) ?? text('guest', { id: id.slice(0, 8) })
  }

  #showState() {
    const state = this.#find('.state')
    state.dataset.state = this.#client.state
    state.querySelector('.word').textContent = text(this.#client.state)
  }

  #showPeople() {
    const list = this.#find('.people')
    const ids = this.#people.here
    list.replaceChildren(
      ...(ids ?? []).sort().map((id) => {
        const person = document.createElement('li')
        person.dataset.hue = hueOf(id)
        const name = this.#nameOf(id)
        person.textContent = id === this.#client.id ? text('hereMe', { name }) : name
        return person
      }),
    )
    this.#find('.count').textContent = ids ? ids.length : text('hereUnknown')
  }

  #showRate() {
    const since = performance.now() - 1000
    while (this.#arrived[0] < since) this.#arrived.shift()
    this.#find('.rate').textContent = text('persecond', { rate: number(this.#arrived.length) })
  }
}

function tell({ message }, key, values) {
  message.querySelector('.fate').textContent = text(key, values)
}

function hueOf(id) {
  let sum = 0
  for (const letter of id) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0
  return sum % HUES
}
