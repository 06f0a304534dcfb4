// The path over a real RabbitMQ: a burst fills the pool and drains; a killed worker loses nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PHONE, figure, inBrowser, openPage, pane, picture, say, sees } from './support.mjs'

const BURST = 5_000
const CHINESE_PHONE = {
  colorScheme: 'dark',
  deviceScaleFactor: 2,
  hasTouch: true,
  locale: 'zh-CN',
  viewport: PHONE,
}
const settled = (page) => page.locator('#tally[data-state=whole]').waitFor({ timeout: 40_000 })

async function sentAndDelivered(page) {
  const counts = {}
  for (const name of ['sent', 'delivered', 'twice', 'lost']) {
    counts[name] = await figure(page, `tally-${name}`)
  }
  return counts
}

const TALK = [
  '消息走到哪里了？',
  'Through the front into the pool, then a worker takes it.',
  'And when do you see it?',
  'Once it is in the log. Then everybody does.',
  'What if the worker dies meanwhile?',
  'Try it. Nothing you were promised is lost.',
]

/** Two people take turns. */
async function talk(page) {
  for (const [turn, words] of TALK.entries()) {
    await say(page, words, turn % 2)
    await sees(page, words, 1 - (turn % 2))
  }
}

test('a burst is seen in the pool and comes back whole', () =>
  inBrowser({}, async (context, complaints) => {
    const page = await openPage(context)
    await page.locator('#burst').click()
    await page.waitForFunction(() => Number(document.querySelector('#figure-pool').textContent) > 0)
    await settled(page)

    const counts = await sentAndDelivered(page)
    assert.deepEqual(counts, { sent: BURST, delivered: BURST, twice: 0, lost: 0 })
    await page.waitForFunction(() => document.querySelector('#figure-pool').textContent === '0')
    assert.deepEqual(complaints, [])
  }))

test('while the worker is away the pool fills and nobody is disconnected; then it drains', () =>
  inBrowser({ colorScheme: 'light', viewport: { width: 1280, height: 870 } }, async (context, complaints) => {
    const page = await openPage(context)
    await pane(page, 1).locator('.state[data-state=connected]').waitFor()
    await talk(page)
    await page.locator('#kill').click()
    await page.locator('#kill[disabled]').waitFor()
    await say(page, '好的，我来试试！')
    await page.waitForFunction(
      () => Number(document.querySelector('#figure-pool').textContent.replace(',', '')) > 1_400,
    )
    const waiting = pane(page).locator('.pending', { hasText: '好的' })
    assert.equal(await waiting.count(), 1)
    for (const seat of [0, 1]) {
      assert.equal(await pane(page, seat).locator('.state').getAttribute('data-state'), 'connected')
    }
    await picture(page, 'demo-light')
    assert.match(await page.locator('#path').getAttribute('aria-label'), /Worker: away/)

    await sees(page, '好的', 1)
    assert.equal(await waiting.count(), 0)
    await settled(page)
    const { sent, delivered, twice, lost } = await sentAndDelivered(page)
    assert.ok(sent > 1_500, `${sent} were sent`)
    assert.deepEqual({ delivered, twice, lost }, { delivered: sent, twice: 0, lost: 0 })
    assert.deepEqual(complaints, [])
  }))

test('a burst while the worker is away waits in the pool and comes back whole', () =>
  inBrowser(CHINESE_PHONE, async (context) => {
    const page = await openPage(context)
    await page.locator('#kill').click()
    await page.locator('#kill[disabled]').waitFor()
    await page.locator('#burst').click()
    await page.waitForFunction(
      () => Number(document.querySelector('#figure-pool').textContent.replace(',', '')) > 4_000,
    )
    await page.locator('#machine').evaluate((each) => each.scrollIntoView())
    await page.waitForTimeout(400) // for the picture's water to rise
    await picture(page, 'demo-dark-phone')
    await page.locator('#burst:not([disabled])').waitFor({ timeout: 40_000 })
    await settled(page)
    const { sent, delivered, twice, lost } = await sentAndDelivered(page)
    assert.ok(sent > BURST, `${sent} were sent`)
    assert.deepEqual({ delivered, twice, lost }, { delivered: sent, twice: 0, lost: 0 })
  }))

test('another page cannot kill the worker', async () => {
  const address = new URL('/demo/kill-worker', process.env.PAGE_URL)
  for (const headers of [
    {},
    { Origin: 'null' },
    { Origin: 'https://example.org' },
    { Origin: 'http://localhost:1' },
  ]) {
    const { status } = await fetch(address, { method: 'POST', headers })
    assert.equal(status, 403, JSON.stringify(headers))
  }
})
