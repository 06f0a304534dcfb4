// Runs one snippet of the README in headless Chromium and prints what its page logs, a line each.
// Ends when each of the patterns in EXPECTED fits a line, or with status 1 after fifteen seconds.
//
// HOW=file: the snippet is a page of its own, opened from a file; HOW=console: it is typed into the
// console of PAGE_URL. What it loads from unpkg.com comes from the packages under tests/sdk.

import { readFile } from 'node:fs/promises'
import { inBrowser } from '../browser/support.mjs'

const { HOW, PAGE_URL, SNIPPET } = process.env
const EXPECTED = JSON.parse(process.env.EXPECTED).map((each) => new RegExp(each))
const SECONDS = 15
const UNPKG = /^https:\/\/unpkg\.com\/(centrifuge)@(\d+)\/(.+)$/
const PACKAGES = new URL('../sdk/node_modules/', import.meta.url)

await inBrowser({}, async (context, complaints) => {
  await context.route(UNPKG, (route) => fromPackages(route, complaints))
  const page = await context.newPage()
  const logged = []
  const done = new Promise((resolve) => {
    page.on('console', async (line) => {
      const words = await Promise.all(line.args().map((each) => each.jsonValue()))
      logged.push(words.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))).join(' '))
      if (EXPECTED.every((pattern) => logged.some((each) => pattern.test(each)))) resolve(true)
    })
  })
  const late = new Promise((resolve) => setTimeout(resolve, SECONDS * 1000, false))
  if (HOW === 'file') {
    await page.goto(`file://${SNIPPET}`)
  } else {
    await page.goto(PAGE_URL)
    await type(context, page, await readFile(SNIPPET, 'utf8'))
  }
  const isDone = await Promise.race([done, late])
  for (const line of [...logged, ...complaints.map((each) => `complaint: ${each}`)]) console.log(line)
  process.exitCode = isDone && complaints.length === 0 ? 0 : 1
})
process.exit() // the timer of `late` need not be waited for

async function fromPackages(route, complaints) {
  const [, name, major, path] = UNPKG.exec(route.request().url())
  const about = JSON.parse(await readFile(new URL(`${name}/package.json`, PACKAGES), 'utf8'))
  if (!about.version.startsWith(`${major}.`)) complaints.push(`locked is ${name} ${about.version}`)
  await route.fulfill({ path: new URL(`${name}/${path}`, PACKAGES).pathname })
}

/** As the console does: top-level await, and names that stay. */
async function type(context, page, snippet) {
  const devtools = await context.newCDPSession(page)
  const { exceptionDetails } = await devtools.send('Runtime.evaluate', {
    expression: snippet,
    replMode: true,
    awaitPromise: true,
  })
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description)
}
