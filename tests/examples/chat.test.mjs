// Two people in the moderated chat: what one says the other reads cleaned, spam is refused, and the
// moderator mutes and removes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PAGE_URL, inBrowser } from '../browser/support.mjs'

async function knock(context, name, key = '') {
  const page = await context.newPage()
  await page.goto(PAGE_URL)
  await page.locator('[name=name]').fill(name)
  await page.locator('[name=key]').fill(key)
  await page.locator('#enter button').click()
  return page
}

async function enter(context, name, key) {
  const page = await knock(context, name, key)
  await page.locator('#people b', { hasText: name }).waitFor()
  return page
}

async function say(page, words) {
  await page.locator('[name=text]').fill(words)
  await page.locator('#say button').click()
}

const reads = (page, words) => page.locator('#lines li', { hasText: words }).waitFor()
const isTold = (page, words) => page.locator('#notice', { hasText: words }).waitFor()

test('what is said is moderated, and so are those who say it', () =>
  // A browser each: a page that is behind another one takes seconds to be clicked on.
  inBrowser({}, (hers, complaints) => inBrowser({}, (theirs) => moderate(hers, theirs, complaints))))

async function moderate(hers, theirs, complaints) {
  const [ada, mo] = [await enter(hers, 'ada'), await enter(theirs, 'mo', 'owl')]
  await ada.locator('#people b', { hasText: 'mo' }).waitFor()

  await say(ada, 'what   the heck')
  await reads(mo, 'what the ****')
  await reads(ada, 'what the ****')
  await say(ada, 'free money!')
  await isTold(ada, 'no spam')
  assert.equal(await mo.locator('#lines li').count(), 1)

  assert.equal(await ada.locator('#people button').count(), 0)
  const herPlace = mo.locator('#people li', { hasText: 'ada' })
  await herPlace.getByText('mute').click()
  await isTold(ada, 'you are muted')
  await reads(ada, 'ada was muted by mo')
  await say(ada, 'why?')
  await isTold(ada, 'muted, for 5 min')

  await herPlace.getByText('remove').click()
  await isTold(ada, 'removed by a moderator')
  await herPlace.waitFor({ state: 'detached' })
  await ada.locator('#enter button').click()
  await isTold(ada, 'removed by a moderator')

  const eve = await knock(hers, 'eve', 'guessed')
  await isTold(eve, "this is not the moderator's key")
  await eve.locator('#enter').waitFor()

  // Who comes later reads what was said, in its order.
  const bo = await enter(theirs, 'bo')
  await reads(bo, 'ada was removed by mo')
  assert.deepEqual(await bo.locator('#lines li').allTextContents(), [
    'adawhat the ****',
    'ada was muted by mo',
    'ada was removed by mo',
  ])
  assert.deepEqual(complaints, [])
}
