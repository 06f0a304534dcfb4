// The chat: people in panes, tabs and browsers see what each says, who is there, and what was said.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inBrowser, openPage, pane, say, sees } from './support.mjs'

const words = (what) => `${what} ${Math.random().toString(36).slice(2)}`

test('two browsers see what each says, and not twice', () =>
  inBrowser({}, async (one) =>
    inBrowser({}, async (other) => {
      const [here, there] = [await openPage(one), await openPage(other)]
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
    }),
  ))

test('the second person sits in the same page and may leave again', () =>
  inBrowser({}, async (context) => {
    const page = await openPage(context)
    await pane(page, 1).locator('.state[data-state=connected]').waitFor()
    const [first, second] = [words('first'), words('second')]

    await say(page, first, 0)
    await sees(page, first, 1)
    await say(page, second, 1)
    await sees(page, second, 0)

    await page.locator('#second').click()
    assert.equal(await page.locator('.pane').count(), 1)
    await say(page, words('alone'), 0)
  }))

test('after a reload the name is the same and what was said is still there', () =>
  inBrowser({}, async (context) => {
    const page = await openPage(context)
    const said = words('remember this')
    await pane(page).locator('.name').fill('Ada')
    await pane(page).locator('.name').blur()
    await say(page, said)
    await sees(page, said)

    await page.reload()

    await sees(page, said)
    assert.equal(await pane(page).locator('.name').inputValue(), 'Ada')
    const message = pane(page).locator('.message', { hasText: said })
    assert.match(await message.getAttribute('class'), /mine/)
  }))

test('people are shown by name when they come and no longer when they leave', () =>
  inBrowser({}, async (one) => {
    const here = await openPage(one)
    const name = words('Bo').slice(0, 12)
    const people = pane(here).locator('.people')
    await inBrowser({}, async (other) => {
      const there = await openPage(other)
      await pane(there).locator('.name').fill(name)
      await pane(there).locator('.name').blur()
      await people.getByText(name, { exact: true }).waitFor()
    })
    await people.getByText(name, { exact: true }).waitFor({ state: 'detached' })
  }))

test('markup that somebody says is text', () =>
  inBrowser({}, async (context) => {
    const page = await openPage(context)
    const said = `<img src=x onerror="document.title='taken'"> ${words('<b>')}`
    await say(page, said)
    await sees(page, said)
    assert.notEqual(await page.title(), 'taken')
    assert.equal(await pane(page).locator('.said img').count(), 0)
  }))

test('a WebSocket that knows no protocol takes part', () =>
  inBrowser({}, async (context) => {
    const page = await openPage(context)
    const [theirs, ours] = [words('plainly'), words('answered')]
    await page.evaluate(() => {
      window.heard = []
      window.plain = new WebSocket(location.origin.replace('http', 'ws'))
      window.plain.onmessage = ({ data }) => window.heard.push(data)
      return new Promise((resolve) => (window.plain.onopen = resolve))
    })

    await page.evaluate((said) => window.plain.send(said), theirs)
    await sees(page, theirs)
    await say(page, ours)
    await page.waitForFunction((said) => window.heard.some((each) => each.includes(said)), ours)
  }))

test('who was cut off comes back by itself and gets what was said meanwhile, once', () =>
  inBrowser({}, async (one) =>
    inBrowser({}, async (other) => {
      const line = { isCut: false, open: [] }
      await one.routeWebSocket(/connection/, (socket) => {
        if (line.isCut) return socket.close({ code: 1001 })
        socket.connectToServer()
        return line.open.push(socket)
      })
      const [here, there] = [await openPage(one), await openPage(other)]
      const [before, meanwhile] = [words('before'), words('meanwhile')]
      await say(there, before)
      await sees(here, before)

      line.isCut = true
      for (const socket of line.open.splice(0)) await socket.close({ code: 3001, reason: 'shutdown' })
      await pane(here).locator('.state[data-state=connecting]').waitFor()
      await say(there, meanwhile)
      await sees(there, meanwhile)
      line.isCut = false

      await sees(here, meanwhile)
      await pane(here).locator('.state[data-state=connected]').waitFor()
      for (const said of [before, meanwhile]) {
        assert.equal(await pane(here).locator('.said', { hasText: said }).count(), 1)
      }
      assert.equal(await pane(here).locator('.note', { hasText: 'may be missing' }).count(), 0)
    }),
  ))

test('who is cut off in the middle of a command still gets what was said before', () =>
  inBrowser({}, async (one) =>
    inBrowser({}, async (other, complaints) => {
      const said = words('said before')
      const here = await openPage(one)
      await say(here, said)
      await sees(here, said)
      let cuts = 0
      await other.routeWebSocket(/connection/, (socket) => {
        const server = socket.connectToServer()
        socket.onMessage((frame) => {
          // Both people of the page ask; the first answers of each are not waited for.
          if (cuts < 2 && frame.includes('"history"') && frame.includes('"lobby"')) {
            cuts++
            socket.close({ code: 3001, reason: 'shutdown' })
          } else {
            server.send(frame)
          }
        })
      })

      const there = await openPage(other)

      await sees(there, said)
      await sees(there, said, 1)
      assert.equal(cuts, 2)
      assert.deepEqual(complaints, [])
    }),
  ))
