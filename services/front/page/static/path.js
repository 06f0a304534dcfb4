// The path, drawn: the front, the pool filled as far as it is, the worker's wheel, the log, and back.
//
// Rules: what moves stands for what was measured: dots for entries a second, the water for entries in
// the pool (by its logarithm, so that one is seen and a million fits); nothing moves when nothing does.

import { number, text } from './text.js'

const FULL_ENTRIES = 20_000
const DOTS_A_SECOND_AT_MOST = 11
const DOT_PIXELS_A_SECOND = 115
const EASE_SECONDS = 0.18

export class Path {
  #canvas
  #pen
  #measures
  #dots = []
  #due = [0, 0, 0]
  #shown = { pool: 0, waiting: 0, rate: 0 }
  #wheel = 0
  #lastMs = 0
  #isCalm = matchMedia('(prefers-reduced-motion: reduce)')

  constructor(canvas, measures) {
    this.#canvas = canvas
    this.#pen = canvas.getContext('2d')
    this.#measures = measures
    requestAnimationFrame(this.#frame)
  }

  /** The picture in words. */
  describe() {
    const { now, rates } = this.#measures
    if (!now) return
    const worker = { live: 'workerLive', away: 'workerAway', unknown: 'workerUnknown' }[now.worker]
    this.#canvas.setAttribute(
      'aria-label',
      text('pathLabel', {
        waiting: number(now.waiting_entries),
        pool: number(now.pool_entries),
        worker: text(worker),
        rate: number(rates.settled),
      }),
    )
  }

  #frame = (ms) => {
    const seconds = Math.min(0.1, (ms - this.#lastMs) / 1000)
    this.#lastMs = ms
    const place = this.#fit()
    this.#ease(seconds)
    if (!this.#isCalm.matches) this.#move(seconds, place.pipes)
    this.#draw(place, this.#isCalm.matches ? 0 : ms / 1000)
    requestAnimationFrame(this.#frame)
  }

  /** Give the canvas the pixels that it has on this screen, and every station its place. */
  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas
    const scale = devicePixelRatio || 1
    if (this.#canvas.width !== Math.round(width * scale)) {
      this.#canvas.width = Math.round(width * scale)
      this.#canvas.height = Math.round(height * scale)
    }
    this.#pen.setTransform(scale, 0, 0, scale, 0, 0)
    this.#pen.clearRect(0, 0, width, height)
    return places(width, height)
  }

  #ease(seconds) {
    const { now, rates } = this.#measures
    if (!now) return
    const part = 1 - Math.exp(-seconds / EASE_SECONDS)
    const goal = { pool: now.pool_entries, waiting: now.waiting_entries, rate: rates.settled }
    for (const name of Object.keys(goal)) {
      const rest = goal[name] - this.#shown[name]
      this.#shown[name] = Math.abs(rest) < 0.5 ? goal[name] : this.#shown[name] + rest * part
    }
  }

  #move(seconds, pipes) {
    const { rates } = this.#measures
    const isWorking = this.#measures.now?.worker === 'live'
    const speeds = [rates.offered, rates.settled, rates.settled]
    speeds.forEach((speed, pipe) => {
      // One dot an entry for as long as they can be told apart.
      const dots = Math.min(DOTS_A_SECOND_AT_MOST, speed)
      this.#due[pipe] += dots * seconds
      for (; this.#due[pipe] >= 1; this.#due[pipe]--) {
        this.#dots.push({ pipe, at: 0, aside: Math.random() * 2 - 1 })
      }
    })
    for (const dot of this.#dots) dot.at += seconds * DOT_PIXELS_A_SECOND
    this.#dots = this.#dots.filter((dot) => dot.at < lengthOf(pipes[dot.pipe]))
    this.#wheel += seconds * (isWorking ? 0.25 + Math.log10(1 + rates.settled) * 1.6 : 0)
  }

  #draw(place, seconds) {
    const pen = this.#pen
    const colours = coloursOf(this.#canvas)
    const now = this.#measures.now
    const worker = this.#measures.isAnswering ? (now?.worker ?? 'unknown') : 'unknown'
    pen.lineJoin = pen.lineCap = 'round'
    place.pipes.forEach((pipe) => drawPipe(pen, pipe, colours))
    for (const dot of this.#dots) drawDot(pen, place.pipes[dot.pipe], dot, colours)
    drawFront(pen, place, colours, this.#shown.waiting)
    drawPool(pen, place, colours, this.#shown.pool, seconds)
    drawWorker(pen, place, colours, this.#wheel, worker)
    drawLog(pen, place, colours, this.#shown.rate, this.#wheel)
  }
}

function places(width, height) {
  const margin = 10
  const x = (part) => margin + part * (width - 2 * margin)
  const front = { left: x(0), right: x(0.2), top: height * 0.16, bottom: height * 0.44 }
  const pool = { left: x(0.32), right: x(0.68), top: height * 0.04, bottom: height * 0.63 }
  const wheel = { x: x(0.88), y: height * 0.4, radius: Math.min(x(1) - x(0.88), height * 0.2) - 2 }
  const log = { left: x(0.32), right: x(1), top: height * 0.78, bottom: height * 0.93 }
  const middle = (front.left + front.right) / 2
  const entry = pool.top + (pool.bottom - pool.top) * 0.12
  const exit = pool.bottom - (pool.bottom - pool.top) * 0.16
  const tape = (log.top + log.bottom) / 2
  return {
    ...{ width, height, front, pool, wheel, log },
    isSmall: width < 460,
    pipes: [
      [[front.right, front.top + 16], [front.right + 14, entry], [pool.left, entry]],
      [[pool.right, exit], [wheel.x - wheel.radius, exit], [wheel.x - wheel.radius * 0.6, wheel.y]],
      [
        [wheel.x, wheel.y + wheel.radius],
        [wheel.x, tape],
        [log.left, tape],
        [middle, tape],
        [middle, front.bottom],
      ],
    ],
  }
}

const NAMES = ['ground', 'ink', 'soft', 'line', 'panel', 'water', 'deep', 'accent', 'alarm', 'pipe']
let known = { key: '', colours: {} }

function coloursOf(canvas) {
  const style = getComputedStyle(canvas)
  const key = style.getPropertyValue('--ink') + style.getPropertyValue('--water')
  if (key !== known.key) {
    known = { key, colours: {} }
    for (const name of NAMES) known.colours[name] = style.getPropertyValue(`--${name}`).trim()
    known.colours.font = style.fontFamily
  }
  return known.colours
}

function drawPipe(pen, points, colours) {
  pen.strokeStyle = colours.pipe
  pen.lineWidth = 10
  pen.beginPath()
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)))
  pen.stroke()
}

function drawDot(pen, points, { at, aside }, colours) {
  const [x, y] = along(points, at)
  pen.fillStyle = colours.accent
  pen.beginPath()
  pen.arc(x + aside * 1.5, y + aside * 1.5, 2.6, 0, 7)
  pen.fill()
}

function lengthsOf(points) {
  return points.slice(1).map(([x, y], i) => Math.hypot(x - points[i][0], y - points[i][1]))
}

function lengthOf(points) {
  return lengthsOf(points).reduce((sum, each) => sum + each, 0)
}

function along(points, distance) {
  const lengths = lengthsOf(points)
  let left = distance
  for (let i = 0; i < lengths.length; i++) {
    if (left <= lengths[i]) {
      const share = left / lengths[i]
      const [[x, y], [toX, toY]] = [points[i], points[i + 1]]
      return [x + (toX - x) * share, y + (toY - y) * share]
    }
    left -= lengths[i]
  }
  return points.at(-1)
}

function box(pen, { left, right, top, bottom }, radius) {
  pen.beginPath()
  pen.roundRect(left, top, right - left, bottom - top, radius)
}

function write(pen, words, x, y, colour, size, { weight = 400, font, align = 'center' }) {
  pen.fillStyle = colour
  pen.font = `${weight} ${size}px ${font}`
  pen.textAlign = align
  pen.textBaseline = 'middle'
  pen.fillText(words, x, y)
}

function drawFront(pen, { front, isSmall }, colours, waiting) {
  box(pen, front, 10)
  pen.fillStyle = colours.ground
  pen.fill()
  pen.lineWidth = 1.5
  pen.strokeStyle = waiting > 0 ? colours.accent : colours.line
  pen.stroke()
  const x = (front.left + front.right) / 2
  const y = (front.top + front.bottom) / 2
  write(pen, text('front'), x, y - 9, colours.ink, isSmall ? 13 : 15, { ...colours, weight: 600 })
  const words = isSmall ? number(waiting) : text('frontWaiting', { count: number(waiting) })
  write(pen, words, x, y + 11, colours.soft, 12, colours)
}

function drawPool(pen, { pool, isSmall }, colours, entries, seconds) {
  const { left, right, top, bottom } = pool
  box(pen, pool, 14)
  pen.fillStyle = colours.ground
  pen.fill()
  const share = Math.log1p(entries) / Math.log1p(FULL_ENTRIES)
  pen.save()
  pen.clip()
  drawWater(pen, pool, bottom - 10 - Math.min(1, share) * (bottom - top - 34), colours, seconds, share)
  pen.restore()
  box(pen, pool, 14)
  pen.lineWidth = 2
  pen.strokeStyle = colours.line
  pen.stroke()
  const x = (left + right) / 2
  const y = (top + bottom) / 2
  write(pen, text('pool'), x, top + 18, colours.ink, isSmall ? 13 : 15, { ...colours, weight: 600 })
  write(pen, number(entries), x, y + 4, colours.ink, isSmall ? 24 : 36, { ...colours, weight: 650 })
  write(pen, text('entries'), x, y + (isSmall ? 24 : 32), colours.ink, 12, colours)
}

function drawWater(pen, { left, right, bottom }, level, colours, seconds, share) {
  const height = 1.5 + Math.min(4, share * 8)
  for (const [colour, speed, shift] of [[colours.water, 1.3, 0], [colours.deep, -0.9, 2]]) {
    pen.fillStyle = colour
    pen.beginPath()
    pen.moveTo(left, bottom)
    for (let x = left; x <= right + 6; x += 6) {
      const wave = Math.sin(x / 26 + seconds * speed + shift) * height
      pen.lineTo(x, level + shift * 2 + wave)
    }
    pen.lineTo(right, bottom)
    pen.fill()
  }
}

function drawWorker(pen, { wheel, isSmall }, colours, angle, state) {
  const { x, y, radius } = wheel
  const isAway = state === 'away'
  pen.fillStyle = colours.ground
  pen.strokeStyle = isAway ? colours.alarm : colours.line
  pen.lineWidth = 2
  pen.setLineDash(isAway ? [5, 5] : [])
  pen.beginPath()
  pen.arc(x, y, radius, 0, 7)
  pen.fill()
  pen.stroke()
  pen.setLineDash([])
  pen.strokeStyle = state === 'live' ? colours.accent : colours.line
  pen.lineWidth = isSmall ? 3 : 4
  for (let blade = 0; blade < 6; blade++) {
    const turn = angle + (blade * Math.PI) / 3
    pen.beginPath()
    pen.moveTo(x + Math.cos(turn) * radius * 0.24, y + Math.sin(turn) * radius * 0.24)
    const bent = turn + 0.5
    pen.quadraticCurveTo(
      x + Math.cos(turn) * radius * 0.55,
      y + Math.sin(turn) * radius * 0.55,
      x + Math.cos(bent) * radius * 0.78,
      y + Math.sin(bent) * radius * 0.78,
    )
    pen.stroke()
  }
  const above = y - radius - 14
  write(pen, text('worker'), x, above, colours.ink, isSmall ? 13 : 15, { ...colours, weight: 600 })
  if (isAway) {
    pen.fillStyle = colours.alarm
    box(pen, { left: x - 26, right: x + 26, top: y - 11, bottom: y + 11 }, 11)
    pen.fill()
    write(pen, text('workerAway'), x, y + 0.5, colours.panel, 12, { ...colours, weight: 650 })
  }
}

function drawLog(pen, { log, isSmall }, colours, rate, moved) {
  box(pen, log, 7)
  pen.fillStyle = colours.ground
  pen.fill()
  pen.save()
  pen.clip()
  pen.strokeStyle = colours.line
  pen.lineWidth = 1
  const step = 16
  const shift = (moved * 30) % step
  for (let x = log.right + step - shift; x > log.left; x -= step) {
    pen.beginPath()
    pen.moveTo(x, log.top)
    pen.lineTo(x, log.top + 6)
    pen.moveTo(x, log.bottom)
    pen.lineTo(x, log.bottom - 6)
    pen.stroke()
  }
  pen.restore()
  box(pen, log, 7)
  pen.lineWidth = 1.5
  pen.strokeStyle = colours.line
  pen.stroke()
  const x = (log.left + log.right) / 2
  const y = (log.top + log.bottom) / 2
  const words = `${text('log')}   ${text('records', { rate: number(rate) })}`
  write(pen, words, x, y + 0.5, colours.ink, isSmall ? 12 : 14, { ...colours, weight: 600 })
}
