// What a person on this page is called, and which clients they have been: kept in the browser, the
// name for good and the clients for as long as the tab lives.

import { text } from './text.js'

export class Names {
  #key
  clients

  /** `seat`: 0 for the page's first person, 1 for the second. */
  constructor(seat) {
    this.#key = `forebay.${seat}`
    this.clients = new Set(JSON.parse(sessionStorage.getItem(`${this.#key}.clients`) ?? '[]'))
    if (!this.current) {
      const names = text('names').split(',')
      this.rename(names[Math.floor(Math.random() * names.length)])
    }
  }

  get current() {
    return localStorage.getItem(`${this.#key}.name`)
  }

  rename(name) {
    localStorage.setItem(`${this.#key}.name`, name)
  }

  addClient(id) {
    this.clients.add(id)
    sessionStorage.setItem(`${this.#key}.clients`, JSON.stringify([...this.clients].slice(-50)))
  }
}
