// How the simulated Exchange hands out long answers: page by page, each fetched by POSTing the same body to the link of the last. (microsoft-365.md §14.1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { guid, mailbox, names, startExchange } from './exchange-server.ts'
import type { ExchangeServer } from './exchange-server.ts'

const PEOPLE = Array.from({ length: 25 }, (_, index) => mailbox(index, `p${String(index).padStart(2, '0')}`))
const ALL = PEOPLE.map(({ properties }) => properties['Name'])

/** Pages of one call, until there is no link. */
async function pagesOf(
  exchange: ExchangeServer,
  parameters: Record<string, unknown>,
  size: number,
  between: (page: number) => void = () => {},
): Promise<unknown[][]> {
  const headers = { prefer: `odata.maxpagesize=${size}` }
  const pages: unknown[][] = []
  let answer = await exchange.call('Get-Mailbox', parameters, { headers })
  for (;;) {
    assert.equal(answer.status, 200, answer.text.slice(0, 300))
    pages.push(names(answer))
    const link = answer.body['@odata.nextLink']
    if (link === undefined) return pages
    between(pages.length)
    answer = await exchange.follow(link, 'Get-Mailbox', parameters, headers)
  }
}

test('pages hold what Prefer asks for, and together everything once, in order', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const examples: [size: number, lengths: number[], why: string][] = [
    [10, [10, 10, 5], 'the last page is short'],
    [25, [25], 'a full last page has no link'],
    [24, [24, 1], 'one left over'],
    [1, Array.from({ length: 25 }, () => 1), 'one at a time'],
    [0, Array.from({ length: 25 }, () => 1), 'no page is empty'],
    [1_000_000, [25], 'a page has 1000 at most'],
  ]
  for (const [size, lengths, why] of examples) {
    const pages = await pagesOf(exchange, { ResultSize: 'Unlimited' }, size)
    assert.deepEqual(
      pages.map((page) => page.length),
      lengths,
      why,
    )
    assert.deepEqual(pages.flat(), ALL, why)
  }
  assert.deepEqual(exchange.services.record.violations, [])
})

test('a ResultSize ends the answer across pages, with a warning when there is more', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  assert.deepEqual(
    (await pagesOf(exchange, { ResultSize: 12 }, 5)).map((page) => page.length),
    [5, 5, 2],
  )
  const examples: [size: string, warns: boolean][] = [
    ['24', true],
    ['25', false],
    ['Unlimited', false],
  ]
  for (const [size, warns] of examples) {
    const answer = await exchange.call('Get-Mailbox', { ResultSize: size })
    assert.equal(answer.body['@odata.nextLink'], undefined)
    assert.equal(answer.body['@adminapi.warnings']?.length, warns ? 1 : 0, size)
  }
})

test('who gives no ResultSize gets a thousand and a warning, not everything', async (t) => {
  const many = Array.from({ length: 1001 }, (_, index) => mailbox(index, `p${index}`))
  const exchange = await startExchange(t, { recipients: many })
  const answer = await exchange.call('Get-Mailbox', {}, { select: 'Name' })
  assert.equal(answer.body.value?.length, 1000)
  assert.equal(answer.body['@odata.nextLink'], undefined)
  assert.match(answer.body['@adminapi.warnings']?.[0] ?? '', /only the first 1000 items/)
  const all = await exchange.call('Get-Mailbox', { ResultSize: 'Unlimited' }, { select: 'Name' })
  assert.ok(all.body['@odata.nextLink'])
})

test('what is added, removed and changed between pages neither doubles nor hides anything else', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const pages = await pagesOf(exchange, { ResultSize: 'Unlimited' }, 10, (page) => {
    if (page === 1) {
      for (const gone of [3, 9, 15]) exchange.tenant.removeRecipient(guid('1', gone))
      exchange.tenant.putRecipient(mailbox(0, 'p00-renamed'))
      exchange.tenant.putRecipient(mailbox(99, 'p99'))
    }
  })
  assert.deepEqual(pages.flat(), [...ALL.filter((name) => name !== 'p15'), 'p99'])
})

test('a page can be fetched again, and $select goes along with the link', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const headers = { prefer: 'odata.maxpagesize=10' }
  const first = await exchange.call('Get-Mailbox', {}, { headers, select: 'Name,Alias' })
  const link = first.body['@odata.nextLink'] ?? ''
  assert.match(link, /^https:\/\/outlook\.sandbox\.test\/adminapi\/beta\//)
  const [once, again] = [
    await exchange.follow(link, 'Get-Mailbox', {}, headers),
    await exchange.follow(link, 'Get-Mailbox', {}, headers),
  ]
  assert.deepEqual(once.body, again.body)
  assert.deepEqual(new Set(Object.keys(once.body.value?.[0] ?? {})), new Set(['Name', 'Alias']))
})

test('a link is refused with GET, another body, another tenant, another select, or when it is made up', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const first = await exchange.call('Get-Mailbox', {}, { headers: { prefer: 'odata.maxpagesize=10' } })
  const link = first.body['@odata.nextLink'] ?? ''
  const path = link.slice('https://outlook.sandbox.test'.length)
  const got = await fetch(`${exchange.url}${path}`, { headers: { authorization: 'Bearer good' } })
  assert.equal(got.status, 405, 'Exchange wants the body again')
  await got.text()
  const examples: [path: string, parameters: Record<string, unknown>, why: string][] = [
    [path, { ResultSize: 'Unlimited' }, 'another body'],
    [`${path}x`, {}, 'a token that was changed'],
    [path.replace('?', '?%24select=Name&'), {}, 'another select'],
    [path.replace(/skiptoken=.*/, 'skiptoken=W10'), {}, 'an empty token'],
    [path.replace(/skiptoken=.*/, 'skiptoken=%00%ff'), {}, 'bytes that are no token'],
  ]
  for (const [where, parameters, why] of examples) {
    assert.equal((await exchange.call('Get-Mailbox', parameters, { path: where })).status, 400, why)
  }
  const rules = exchange.services.record.violations.map(({ rule }) => rule)
  assert.deepEqual(rules, ['unknown-operation', ...examples.map(() => 'wrong-link')])
})

test('pages are taken from where the last one ended: the whole of a long list costs no more a page than a short one', async (t) => {
  const count = 20_000
  const many = Array.from({ length: count }, (_, index) => mailbox(index, `p${index}`))
  const exchange = await startExchange(t, { recipients: many })
  let looked = 0
  const isVisible = exchange.tenant.isVisible.bind(exchange.tenant)
  exchange.tenant.isVisible = (id, nowMs) => {
    looked++
    return isVisible(id, nowMs)
  }
  const parameters = { ResultSize: 'Unlimited' }
  let answer = await exchange.call('Get-Mailbox', parameters, { select: 'Name' })
  let rows = 0
  for (;;) {
    rows += answer.body.value?.length ?? 0
    const link = answer.body['@odata.nextLink']
    if (link === undefined) break
    answer = await exchange.follow(link, 'Get-Mailbox', parameters)
  }
  assert.equal(rows, count)
  // Each once, and one more a page to know whether there is another.
  assert.ok(looked <= count + count / 1000, `looked at ${looked}`)
})
