// The demo page in networks that let less and less through: it comes to what is left, and does all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { behindProxy, NAMES, PATHS } from './proxy.mjs'
import { inBrowser, openPage, pane, say, sees, shown, WORDS } from './support.mjs'

// Who polls and says nothing is gone by itself after fifteen seconds; leaving has to be said.
const SOON = { timeout: 10_000 }

const words = (what) => `${what} ${Math.random().toString(36).slice(2)}`

async function rename(page, name) {
  await pane(page).locator('.name').fill(name)
  await pane(page).locator('.name').blur()
}

/** Two people in browsers of their own, where only this transport and those after it get through. */
function fallenBackTo(transport, scenario) {
  const refused = NAMES.slice(0, NAMES.indexOf(transport)).map((name) => PATHS[name])
  return behindProxy(refused, (url) =>
    inBrowser({}, async (one) =>
      inBrowser({}, async (other) => {
        const [here, there] = [await openPage(one, url), await openPage(other, url)]
        for (const page of [here, there]) assert.equal(await shown(page), WORDS[transport])
        await scenario(here, there)
      }),
    ),
  )
}

for (const transport of NAMES) {
  test(`where the first that gets through is ${transport}, two pages see what each says`, () =>
    fallenBackTo(transport, async (here, there) => {
      const [question, answer] = [words('anybody there?'), words('yes')]

      await say(here, question)
      await sees(there, question)
      await say(there, answer)
      await sees(here, answer)

      for (const page of [here, there]) {
        for (const said of [question, answer]) {
          assert.equal(await pane(page).locator('.said', { hasText: said }).count(), 1)
        }
      }
    }))

  test(`over ${transport}, others see at once who reloads and who leaves`, () =>
    fallenBackTo(transport, async (here, there) => {
      const name = words('Bo').slice(0, 12)
      await rename(there, name)
      const person = pane(here).locator('.people').getByText(name, { exact: true })
      await person.waitFor(SOON)

      await there.reload()
      await pane(here).locator('.note', { hasText: `${name} left` }).waitFor(SOON)
      await person.waitFor(SOON)
      assert.equal(await person.count(), 1)

      // The page's first person stays, the second one's client is closed.
      const second = words('Cy').slice(0, 12)
      await pane(there, 1).locator('.state[data-state=connected]').waitFor()
      await pane(there, 1).locator('.name').fill(second)
      await pane(there, 1).locator('.name').blur()
      const leaver = pane(here).locator('.people').getByText(second, { exact: true })
      await leaver.waitFor(SOON)
      await there.locator('#second').click()
      await leaver.waitFor({ state: 'detached', ...SOON })
      assert.equal(await person.count(), 1)
    }))
}
