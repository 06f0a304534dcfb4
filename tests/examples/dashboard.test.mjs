// The dashboard: two pages draw the same boards, are told what changed alone, and may not publish.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PAGE_URL, inBrowser } from '../browser/support.mjs'

const SAID = /^(\d+) boards a second, (\d+) bytes each in place of (\d+)$/

/** Wait until the page says of its boards what is claimed of it. */
function until(page, claim) {
  return page.waitForFunction(
    ({ pattern, claim }) => {
      const said = new RegExp(pattern).exec(document.querySelector('#state').textContent)
      return said && new Function('rate', 'bytes', 'whole', `return ${claim}`)(...said.slice(1).map(Number))
    },
    { pattern: SAID.source, claim },
  )
}

test('pages draw what is fed, and little of it travels', () =>
  inBrowser({}, async (context, complaints) => {
    const page = await context.newPage()
    await page.goto(PAGE_URL)
    await until(page, 'rate > 1 && rate <= 12 && bytes < whole / 2')
    assert.equal(await page.locator('article').count(), 10)
    const price = page.locator('#ACME span')
    const before = await price.textContent()
    await page.waitForFunction((was) => document.querySelector('#ACME span').textContent !== was, before)

    const other = await context.newPage()
    await other.goto(PAGE_URL)
    await other.locator('#ACME polyline[points]').waitFor({ state: 'attached' })
    assert.ok((await other.locator('#ACME polyline').getAttribute('points')).split(' ').length > 1)

    const refusal = await page.evaluate(
      (server) =>
        new Promise((resolve) => {
          const socket = new WebSocket(`ws://${server}/connection/websocket`)
          const publish = { channel: 'board:prices', data: { prices: { ACME: [1] } } }
          socket.onopen = () => socket.send(`{"id":1,"connect":{}}\n${JSON.stringify({ id: 2, publish })}`)
          socket.onmessage = ({ data }) => {
            const reply = data.split('\n').map(JSON.parse).find(({ id }) => id === 2)
            if (reply) resolve(reply.error?.code)
          }
        }),
      new URL(PAGE_URL).searchParams.get('server'),
    )
    assert.equal(refusal, 103)
    assert.deepEqual(complaints, [])
  }))
