// How the page looks: on a phone and on a desk, by day and by night, in two languages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DESKTOP, PHONE, inBrowser, openPage, overflows, pane, say, sees } from './support.mjs'

// What is read, and on what ground: WCAG 2.1 §1.4.3 asks for 4.5 to 1.
const READ = ['h1', 'header p', '.hint', 'dt', 'dd', 'button', '.said', '.who', '.offset', '.count']

for (const colorScheme of ['light', 'dark']) {
  for (const [device, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    test(`in the ${colorScheme}, a ${device} shows everything, and it can be read`, () =>
      inBrowser({ colorScheme, viewport, hasTouch: device === 'phone' }, async (context, complaints) => {
        const page = await openPage(context)
        await say(page, 'hello there')
        await sees(page, 'hello there')

        await page.evaluate(sayInEveryColour)
        assert.equal(await overflows(page), false)
        assert.deepEqual(await page.evaluate(faint, READ), [])
        assert.ok(await isDrawn(page, '#path'))
        assert.deepEqual(complaints, [])
      }))
  }
}

test('light and dark are different, and dark is dark', async () => {
  const grounds = []
  for (const colorScheme of ['light', 'dark']) {
    await inBrowser({ colorScheme }, async (context) => {
      const page = await openPage(context)
      grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
    })
  }
  const [light, dark] = grounds.map((colour) => Number(/\d+/.exec(colour)[0]))
  assert.ok(light > 200 && dark < 50, grounds.join(' and '))
})

test('a Chinese browser is spoken to in Chinese, and can ask for English', () =>
  inBrowser({ locale: 'zh-CN' }, async (context) => {
    const page = await openPage(context)
    assert.equal(await page.locator('html').getAttribute('lang'), 'zh-Hans')
    assert.equal(await page.locator('#chat-title').textContent(), '聊天')
    await pane(page).locator('.word', { hasText: '已连接' }).waitFor()

    await page.locator('#language').click()
    assert.equal(await page.locator('#chat-title').textContent(), 'Chat')
    await pane(page).locator('.word', { hasText: 'connected' }).waitFor()

    await page.reload()
    assert.equal(await page.locator('#chat-title').textContent(), 'Chat')
  }))

test('everything that can be used has a name for those who do not see it', () =>
  inBrowser({}, async (context) => {
    const page = await openPage(context)
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('button, input, canvas')]
        .filter((each) => !each.hidden)
        .filter((each) => !(each.getAttribute('aria-label') || each.textContent.trim()))
        .map((each) => each.outerHTML),
    )
    assert.deepEqual(nameless, [])
  }))

test('nothing is fetched from anywhere else', () =>
  inBrowser({}, async (context) => {
    const elsewhere = []
    const page = await context.newPage()
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== new URL(process.env.PAGE_URL).origin) {
        elsewhere.push(request.url())
      }
    })
    const response = await page.goto(process.env.PAGE_URL)
    await pane(page).locator('.state[data-state=connected]').waitFor()
    assert.match(response.headers()['content-security-policy'], /default-src 'self'/)
    assert.deepEqual(elsewhere, [])
  }))

/** Whether a canvas has been drawn on in more than one colour. */
async function isDrawn(page, selector) {
  return page.waitForFunction((which) => {
    const canvas = document.querySelector(which)
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return new Set(new Uint32Array(data.buffer)).size > 5
  }, selector)
}

/** Have somebody of each colour say something; runs in the page. */
function sayInEveryColour() {
  for (let hue = 0; hue < 8; hue++) {
    const message = document.querySelector('#message').content.cloneNode(true).firstElementChild
    message.dataset.hue = hue
    message.querySelector('.who').textContent = `colour ${hue}`
    document.querySelector('.messages').append(message)
  }
}

/** What cannot be read well; runs in the page. */
function faint(selectors) {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number)
  const light = ([r, g, b]) =>
    [r, g, b]
      .map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
      .reduce((sum, each, i) => sum + each * [0.2126, 0.7152, 0.0722][i], 0)
  const groundOf = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor)
      if (colour.length === 3 || colour[3] > 0) return colour
    }
    return [255, 255, 255]
  }
  const contrast = (element) => {
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(groundOf(element))]
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
  }
  return selectors
    .flatMap((selector) => [...document.querySelectorAll(selector)])
    .filter((element) => element.checkVisibility() && !element.disabled)
    .map((element) => [contrast(element).toFixed(2), element.outerHTML])
    .filter(([ratio]) => ratio < 4.5)
}
