// Which transport the demo page takes when somebody says so, and when the first one is silent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { behindProxy, NAMES, PATHS } from './proxy.mjs'
import { inBrowser, openPage, PAGE_URL, shown, WORDS } from './support.mjs'

for (const transport of NAMES) {
  test(`a page that is told to use ${transport} sends many messages at once, none lost`, () =>
    inBrowser({}, async (context) => {
      const page = await openPage(context, `${PAGE_URL}?transport=${transport}`)
      assert.equal(await shown(page), WORDS[transport])
      await page.locator('#burst').click()
      await page.locator('#tally[data-state=whole]').waitFor({ timeout: 60_000 })
      assert.equal(await page.locator('#tally-lost').textContent(), '0')
    }))
}

test('a page that is told to use what is no transport takes the first one', () =>
  inBrowser({}, async (context) => {
    const page = await openPage(context, `${PAGE_URL}?transport=constructor`)
    assert.equal(await shown(page), WORDS.websocket)
  }))

test('a WebSocket that nobody answers is given up for what comes next', () =>
  behindProxy(
    [],
    (url) =>
      inBrowser({}, async (context) => {
        const page = await openPage(context, url)
        assert.equal(await shown(page), WORDS.http_stream)
      }),
    [PATHS.websocket],
  ))

test('a network in which only polling is left tells so in Chinese', () =>
  behindProxy(
    NAMES.slice(0, -1).map((name) => PATHS[name]),
    (url) =>
      inBrowser({ locale: 'zh-CN' }, async (context) => {
        const page = await openPage(context, url)
        assert.equal(await shown(page), '连接方式：长轮询。')
      }),
  ))
