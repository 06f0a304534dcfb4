// The page of docs/polling.md, in browsers without WebSockets: unchanged but for its address.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { inBrowser, PAGE_URL, serveWithoutWebSockets } from './support.mjs'

const [, example] = (
  await readFile(new URL('../../docs/polling.md', import.meta.url), 'utf8')
).match(/^```html\n(.*?)^```$/ms)

const words = (what) => `${what} ${Math.random().toString(36).slice(2)}`

async function openExample(context) {
  const html = example.replace('localhost:8000', new URL(PAGE_URL).host)
  assert.notEqual(html, example)
  return serveWithoutWebSockets(context, html)
}

async function say(page, said) {
  await page.locator('#text').fill(said)
  await page.locator('#text').press('Tab')
}

const sees = (page, said) => page.locator('#told li', { hasText: said }).waitFor()

test('two pages that poll see what each says, and not twice', () =>
  inBrowser({}, async (one) =>
    inBrowser({}, async (other) => {
      const [here, there] = [await openExample(one), await openExample(other)]
      const all = [words('hello'), words('hello yourself'), words('bye')]

      for (const [page, said] of [[here, all[0]], [there, all[1]], [here, all[2]]]) {
        await say(page, said)
        await Promise.all([sees(here, said), sees(there, said)])
      }

      for (const page of [here, there]) {
        assert.deepEqual((await page.locator('#told li').allTextContents()).slice(-3), all)
      }
    }),
  ))

test('a page that was cut off has what it missed, and publishes once', () =>
  inBrowser({}, async (one) =>
    inBrowser({}, async (other) => {
      const [here, there] = [await openExample(one), await openExample(other)]
      const [missed, mine] = [words('missed'), words('mine')]
      await say(here, words('present'))
      await here.locator('#told li').first().waitFor()

      await one.setOffline(true)
      await say(there, missed)
      await sees(there, missed)
      await say(here, mine)
      await one.setOffline(false)

      await Promise.all([sees(here, missed), sees(there, mine), sees(here, mine)])
      for (const page of [here, there]) {
        for (const said of [missed, mine]) {
          assert.equal(await page.locator('#told li', { hasText: said }).count(), 1)
        }
      }
    }),
  ))

test('the example stays short', () => {
  assert.ok(example.split('\n').length <= 40)
})
