// Puts the page together: one or two people, the path, and the two buttons.

import { Burst } from './burst.js'
import { drawChart } from './chart.js'
import { Chat } from './chat.js'
import { Measures } from './measures.js'
import { Names } from './names.js'
import { Path } from './path.js'
import { number, onLanguage, showLanguage, switchLanguage, text } from './text.js'
import { Transports } from './transports.js'

const BURST_MESSAGES = 5_000
const FLOW_PER_SECOND = 400
const FLOW_MORE_SECONDS = 1.5
const WIDE = matchMedia('(min-width: 72rem)')

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
const transports = new Transports(
  location.origin,
  new URLSearchParams(location.search).get('transport'),
)
const find = (selector) => document.querySelector(selector)

const measures = new Measures()
const path = new Path(find('#path'), measures)
let burst = null
let second = null
let backAtMs = 0

function showFigures() {
  const { now, rates, isAnswering } = measures
  if (!now) return
  const trip = (name) => (now.trip_ms ? `${now.trip_ms[name].toLocaleString('en', { maximumSignificantDigits: 3 })} ms` : '–')
  const figures = {
    pool: number(now.pool_entries),
    waiting: number(now.waiting_entries),
    in: number(rates.offered),
    out: number(rates.deliveries),
    trip: trip('median'),
    'trip-high': trip('p99'),
    sessions: number(now.sessions),
    publishing: text(isAnswering ? now.publishing : 'unreachable'),
  }
  for (const [name, value] of Object.entries(figures)) find(`#figure-${name}`).textContent = value
  find('#figure-publishing').dataset.state = isAnswering ? now.publishing : 'away'
  find('#kill').hidden = find('#kill-hint').hidden = !now.can_kill_worker
  path.describe()
  drawChart(find('#chart'), measures.samples)
  showButtons()
}

function showTransport() {
  const { kept } = transports
  find('#transport').textContent = kept && text('over', { transport: text(kept) })
}

function showButtons() {
  const awaySeconds = Math.ceil((backAtMs - performance.now()) / 1000)
  find('#burst').textContent = text('burst', { count: number(BURST_MESSAGES) })
  find('#kill').textContent =
    awaySeconds > 0 ? text('killing', { seconds: awaySeconds }) : text('kill', { seconds: 5 })
  find('#kill').disabled = awaySeconds > 0
  showTally()
}

function showTally() {
  find('#tally').hidden = !burst
  if (!burst) return
  for (const name of ['sent', 'delivered', 'lost', 'twice']) {
    find(`#tally-${name}`).textContent = number(burst[name])
  }
  find('#tally').dataset.state = burst.isBusy ? 'busy' : isWhole() ? 'whole' : 'broken'
  const values = {
    count: number(burst.isBusy ? burst.sent - burst.delivered : burst.delivered),
    seconds: ((burst.endedMs - burst.startedMs) / 1000).toLocaleString('en', {
      maximumFractionDigits: 1,
    }),
  }
  const key = burst.isBusy ? 'underway' : 'took'
  find('#tally-words').textContent = burst.isBusy || isWhole() ? text(key, values) : ''
}

function isWhole() {
  return burst.lost === 0 && burst.twice === 0 && burst.isInOrder && burst.delivered === burst.asked
}

function sender() {
  burst ??= new Burst(transports, measures.now?.unanswered_publish_limit ?? 50)
  return burst
}

async function startBurst() {
  find('#burst').disabled = true
  const ticking = setInterval(showTally, 100)
  await sender().burst(BURST_MESSAGES)
  clearInterval(ticking)
  find('#burst').disabled = false
  showTally()
}

async function killWorker() {
  const flow = sender()
  const response = await fetch('/demo/kill-worker', { method: 'POST' })
  if (!response.ok) return
  const { away_seconds: seconds } = await response.json()
  backAtMs = performance.now() + seconds * 1000
  showButtons()
  await flow.flow(seconds + FLOW_MORE_SECONDS, FLOW_PER_SECOND)
  showTally()
}

function seat(number) {
  const chat = new Chat(transports, new Names(number))
  find('#panes').append(chat.root)
  return chat
}

function toggleSecond() {
  if (second) second.close()
  second = second ? null : seat(1)
  find('#second').setAttribute('aria-pressed', String(second !== null))
}

seat(0)
if (WIDE.matches) toggleSecond()
find('#second').onclick = toggleSecond
find('#language').onclick = switchLanguage
find('#burst').onclick = startBurst
find('#kill').onclick = killWorker
measures.onnews = showFigures
transports.onkept = showTransport
find('#address').textContent = `new WebSocket('${scheme}//${location.host}')`
onLanguage(() => {
  showTransport()
  showFigures()
  showButtons()
})
showLanguage()
measures.run()
