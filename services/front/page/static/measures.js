// The figures of the path: asked of the front several times a second, turned into rates, remembered
// for half a minute.
//
// Rules: asked for only while somebody looks; faster while something is going on.

const ADDRESS = '/demo/path'
const CALM_MS = 400
const BUSY_MS = 120
const RATE_SECONDS = 1
export const REMEMBERED_SECONDS = 30

export class Measures {
  #samples = []
  #isAnswering = true
  now = null
  rates = { offered: 0, settled: 0, deliveries: 0 }
  onnews = () => {}

  async run() {
    for (;;) {
      if (!document.hidden) await this.#ask()
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs()))
    }
  }

  get isAnswering() {
    return this.#isAnswering
  }

  /** What was in the pool and how fast it went, with the seconds since. */
  get samples() {
    return this.#samples
  }

  #pauseMs() {
    const isBusy = this.now && (this.now.pool_entries > 0 || this.rates.offered > 20)
    return isBusy ? BUSY_MS : CALM_MS
  }

  async #ask() {
    try {
      const response = await fetch(ADDRESS, { cache: 'no-store' })
      if (!response.ok) throw new Error(response.statusText)
      this.#take(await response.json())
      this.#isAnswering = true
    } catch {
      this.#isAnswering = false
    }
    this.onnews()
  }

  #take(now) {
    if (this.now?.front !== now.front) this.#samples = []
    const earlier =
      this.#samples.findLast((s) => s.at_seconds <= now.at_seconds - RATE_SECONDS) ??
      this.#samples[0]
    this.#rate(earlier, now)
    this.now = now
    this.#samples.push({ ...now, rate: this.rates.settled })
    const oldest = now.at_seconds - REMEMBERED_SECONDS - 1
    while (this.#samples[0].at_seconds < oldest) this.#samples.shift()
  }

  #rate(earlier, now) {
    const seconds = earlier ? now.at_seconds - earlier.at_seconds : 0
    for (const name of Object.keys(this.rates)) {
      this.rates[name] = seconds > 0 ? (now[name] - earlier[name]) / seconds : 0
    }
  }
}
