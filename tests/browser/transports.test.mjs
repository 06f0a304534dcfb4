// The JavaScript SDK in a browser whose WebSockets are blocked: it falls back to what is left.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { inBrowser, PAGE_URL, serveWithoutWebSockets } from './support.mjs'

const SDK = new URL('../sdk/node_modules/centrifuge/dist/centrifuge.js', import.meta.url)
const HTML = `<ol id="told"></ol>
<script>${await readFile(SDK, 'utf8')}</script>
<script>
const at = (path, scheme = 'http') => scheme + '://${new URL(PAGE_URL).host}' + path
const endpoint = (transport) => ({
  transport,
  endpoint: at('/connection/' + transport, transport === 'websocket' ? 'ws' : 'http'),
})
const client = new Centrifuge(['websocket', ...location.hash.slice(1).split(',')].map(endpoint), {
  emulationEndpoint: at('/emulation'),
  minReconnectDelay: 50,
  maxReconnectDelay: 500,
})
const transports = []
client.on('connected', ({ transport }) => transports.push(transport))
const subscription = client.newSubscription('transports')
subscription.on('publication', ({ data }) => {
  told.append(Object.assign(document.createElement('li'), { textContent: data }))
})
const subscribed = new Promise((resolve) => subscription.once('subscribed', resolve))
subscription.subscribe()
client.connect()
</script>`

const words = (what) => `${what} ${Math.random().toString(36).slice(2)}`
const sees = (page, said) => page.locator('#told li', { hasText: said }).waitFor()

async function openSdk(context, transports) {
  const page = await serveWithoutWebSockets(context, HTML, `#${transports.join(',')}`)
  await page.evaluate('subscribed.then(() => null)')
  return page
}

for (const transport of ['http_stream', 'sse']) {
  test(`a page without WebSockets falls back to ${transport}`, () =>
    inBrowser({}, async (one) =>
      inBrowser({}, async (other) => {
        const here = await openSdk(one, [transport])
        const there = await openSdk(other, [transport])
        const [first, second] = [words('first'), words('second')]

        await here.evaluate((said) => subscription.publish(said), first)
        await Promise.all([sees(here, first), sees(there, first)])
        await there.evaluate((said) => subscription.publish(said), second)
        await Promise.all([sees(here, second), sees(there, second)])

        assert.deepEqual(await here.evaluate('transports'), [transport])
      }),
    ))

  test(`a page on ${transport} that was cut off has what it missed`, () =>
    inBrowser({}, async (one) =>
      inBrowser({}, async (other) => {
        const here = await openSdk(one, [transport])
        const there = await openSdk(other, [transport])
        const missed = words('missed')

        await one.setOffline(true)
        await here.evaluate('client.disconnect()')
        await there.evaluate((said) => subscription.publish(said), missed)
        await sees(there, missed)
        await one.setOffline(false)
        await here.evaluate('client.connect()')

        await sees(here, missed)
        assert.equal(await here.locator('#told li', { hasText: missed }).count(), 1)
      }),
    ))
}
