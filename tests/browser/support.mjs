// A browser for each scenario, and what the page shows in words that a test reads well.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

export const PAGE_URL = process.env.PAGE_URL
const PICTURES = process.env.PICTURES

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export const DESKTOP = { width: 1280, height: 800 }
export const PHONE = { width: 390, height: 844 }

/** Run a scenario in a browser of its own: fresh profile, nothing but the page's own server. */
export async function inBrowser(options, scenario) {
  const profile = await mkdtemp(join(tmpdir(), 'forebay-browser-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: FLAGS,
    locale: 'en-GB',
    viewport: DESKTOP,
    deviceScaleFactor: 1,
    ...options,
  })
  const complaints = []
  try {
    context.on('console', (line) => line.type() === 'error' && complaints.push(line.text()))
    context.on('weberror', (error) => complaints.push(String(error.error())))
    await scenario(context, complaints)
  } finally {
    await context.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}

/** Open the page and wait until its first person is connected and sees who is here. */
export async function openPage(context, url = PAGE_URL) {
  const page = await context.newPage()
  await page.goto(url)
  await pane(page).locator('.state[data-state=connected]').waitFor()
  return page
}

/** A page of the test's own, of an origin of its own, in a browser where no WebSocket opens. */
export async function serveWithoutWebSockets(context, html, hash = '') {
  // A real server: what Playwright answers itself has no address from which a page may ask others.
  const server = createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(html)
  })
  await new Promise((resolve) => server.listen(0, 'localhost', resolve))
  context.on('close', () => server.close())
  await context.addInitScript(() => {
    window.WebSocket = class {
      constructor() {
        throw new Error('blocked')
      }
    }
  })
  const page = await context.newPage()
  await page.goto(`http://localhost:${server.address().port}/${hash}`)
  return page
}

/** How the page says that it is connected. */
export const WORDS = {
  websocket: 'Connected over WebSocket.',
  http_stream: 'Connected over HTTP stream.',
  sse: 'Connected over SSE.',
  poll: 'Connected over long polling.',
}

export function shown(page) {
  return page.locator('#transport').textContent()
}

/** The page's first or second person. */
export function pane(page, seat = 0) {
  return page.locator('.pane').nth(seat)
}

export async function say(page, words, seat = 0) {
  await pane(page, seat).locator('.say').fill(words)
  await pane(page, seat).locator('form button').click()
}

/** Wait until a person sees something said, by the log's own account and not as being on its way. */
export async function sees(page, words, seat = 0) {
  await pane(page, seat)
    .locator('.message:not(.pending) .said', { hasText: words })
    .first()
    .waitFor()
}

/** A figure of the page as a number. */
export async function figure(page, id) {
  return Number((await page.locator(`#${id}`).textContent()).replaceAll(/[^0-9.]/g, ''))
}

/** Whether anything is wider than the screen. */
export function overflows(page) {
  return page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
}

/** Keep a picture, if somebody asked for pictures. */
export async function picture(page, name) {
  if (!PICTURES) return
  await mkdir(PICTURES, { recursive: true })
  await page.screenshot({ path: join(PICTURES, `${name}.png`) })
}
