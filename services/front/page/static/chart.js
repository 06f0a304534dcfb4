// The last half minute: how much was in the pool, as an area, and how much went through, as a line.

import { REMEMBERED_SECONDS } from './measures.js'
import { number, text } from './text.js'

const TOP = 20
// A single message is not drawn as a flood.
const LEAST_FULL = 10

/** Draw the samples; the newest is at the right. */
export function drawChart(canvas, samples) {
  const { clientWidth: width, clientHeight: height } = canvas
  const scale = devicePixelRatio || 1
  canvas.width = Math.round(width * scale)
  canvas.height = Math.round(height * scale)
  const pen = canvas.getContext('2d')
  pen.scale(scale, scale)
  const style = getComputedStyle(canvas)
  const colour = (name) => style.getPropertyValue(`--${name}`).trim()
  drawFloor(pen, width, height, colour('line'))
  const last = samples.at(-1)?.at_seconds ?? 0
  const x = (sample) => width - ((last - sample.at_seconds) / REMEMBERED_SECONDS) * width
  const pool = peak(samples, 'pool_entries')
  const rate = peak(samples, 'rate')
  const y = (share) => height - 1 - share * (height - TOP - 4)
  trace(pen, samples, x, (s) => y(s.pool_entries / Math.max(LEAST_FULL, pool)))
  pen.lineTo(width, height)
  pen.lineTo(samples.length ? x(samples[0]) : width, height)
  pen.fillStyle = colour('water')
  pen.fill()
  trace(pen, samples, x, (s) => y(s.rate / Math.max(LEAST_FULL, rate)))
  pen.strokeStyle = colour('accent')
  pen.lineWidth = 2
  pen.stroke()
  pen.font = `12px ${style.fontFamily}`
  pen.textBaseline = 'top'
  pen.fillStyle = colour('deepText')
  pen.textAlign = 'left'
  pen.fillText(text('chartPool', { peak: number(pool) }), 2, 2)
  pen.fillStyle = colour('accentText')
  pen.textAlign = 'right'
  pen.fillText(text('chartRate', { peak: number(rate) }), width - 2, 2)
}

function peak(samples, name) {
  return Math.max(0, ...samples.map((sample) => sample[name]))
}

function trace(pen, samples, x, y) {
  pen.beginPath()
  samples.forEach((sample, i) => (i ? pen.lineTo(x(sample), y(sample)) : pen.moveTo(x(sample), y(sample))))
}

function drawFloor(pen, width, height, colour) {
  pen.strokeStyle = colour
  pen.lineWidth = 1
  pen.beginPath()
  pen.moveTo(0, height - 0.5)
  pen.lineTo(width, height - 0.5)
  pen.stroke()
}
