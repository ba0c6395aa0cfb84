// Reports: the redirect is followed without the token, to the cloud's own download hosts, and rows come one by one. (microsoft-365.md §1, §4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collect, GRAPH_ORIGIN, json, listening, scene } from '../microsoft/scene.ts'
import type { Play } from '../microsoft/scene.ts'

const REPORT = { operation: "GET /reports/getMailboxUsageDetail(period='{period}')" }
const PATH = "/reports/getMailboxUsageDetail(period='D7')"
const CSV = '\uFEFFUser Principal Name,Storage Used (Byte)\r\nalice@contoso.com,12\r\n"b,b@contoso.com",13\r\n'

const csv =
  (body: string | Buffer, type = 'text/csv'): Play =>
  (one, response) => {
    if (one.path.startsWith('/v1.0/'))
      response.writeHead(302, { location: `${GRAPH_ORIGIN}/data/download?token=secret` }).end()
    else response.writeHead(200, { 'content-type': type }).end(body)
  }

test('rows come by column name; the token stays with Graph', async (t) => {
  const { graph, asked, logLines } = await scene(t, csv(CSV))
  assert.deepEqual(await collect(graph.report(PATH, REPORT)), [
    { 'User Principal Name': 'alice@contoso.com', 'Storage Used (Byte)': '12' },
    { 'User Principal Name': 'b,b@contoso.com', 'Storage Used (Byte)': '13' },
  ])
  const [first, second] = asked
  assert.equal(first?.headers.authorization, 'Bearer token-1')
  assert.equal(second?.path, '/data/download?token=secret')
  for (const header of ['authorization', 'client-request-id', 'x-ms-throttle-priority', 'cookie'])
    assert.equal(second?.headers[header], undefined, header)
  assert.doesNotMatch(logLines.join(''), /secret|alice/)
})

test('a report that comes at once is taken too', async (t) => {
  const { graph } = await scene(t, (_, response) =>
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(CSV),
  )
  assert.equal((await collect(graph.report(PATH, REPORT))).length, 2)
})

test('a redirect to any other host is refused, and nobody is asked there', async (t) => {
  let stolen = 0
  const thief = await listening(t, (_, response) => {
    stolen++
    response.end(CSV)
  })
  for (const location of [
    `${thief}/data/download`,
    'https://reports.office.com/data/x',
    'https://attacker.example/x',
  ]) {
    const { graph } = await scene(t, (_, response) => response.writeHead(302, { location }).end())
    await assert.rejects(collect(graph.report(PATH, REPORT)), { code: 'LINK_REFUSED' }, location)
  }
  assert.equal(stolen, 0)
})

test('a download address that has grown old is asked for anew; its refusal says nothing about consent', async (t) => {
  const { graph, asked } = await scene(t, (one, response, nth) =>
    nth === 2 ? json(response, {}, 403) : csv(CSV)(one, response, nth),
  )
  assert.equal((await collect(graph.report(PATH, REPORT))).length, 2)
  assert.deepEqual(
    asked.map(({ path }) => path.startsWith('/v1.0/')),
    [true, false, true, false],
  )
})

const bad: [body: string | Buffer, type: string, serviceCode: string, why: string][] = [
  ['<html>sign in</html>', 'text/html', 'not-csv', 'a page'],
  ['{"error":{}}', 'application/json', 'not-csv', 'JSON'],
  ['a,a\n1,2\n', 'text/csv', 'bad-csv', 'two columns of one name'],
  ['a,b\n1\n', 'text/csv', 'bad-csv', 'too few fields'],
  ['a,b\n1,2,3\n', 'text/csv', 'bad-csv', 'too many fields'],
  ['a,b\n"1,2\n', 'text/csv', 'bad-csv', 'a quote that is not closed'],
  [Buffer.from('a,b\n\xff,2\n', 'latin1'), 'text/csv', 'bad-csv', 'not UTF-8'],
]
for (const [body, type, serviceCode, why] of bad) {
  test(`a report that is ${why} is told`, async (t) => {
    const { graph } = await scene(t, csv(body, type))
    await assert.rejects(collect(graph.report(PATH, REPORT)), { code: 'UNEXPECTED', serviceCode })
  })
}

test('a report that breaks off is told to whoever reads it: it begins again, not in the middle', async (t) => {
  const { graph, asked } = await scene(t, (one, response, nth) => {
    if (nth === 1) return csv(CSV)(one, response, nth)
    response.writeHead(200, { 'content-type': 'text/csv', 'content-length': '1000' })
    response.write('a,b\n1,2\n', () => setImmediate(() => response.destroy()))
  })
  await assert.rejects(collect(graph.report(PATH, REPORT)), { code: 'TRANSIENT' })
  assert.equal(asked.length, 2)
})

test('a report is as long as it may be and no longer, and who stops reading stops it', async (t) => {
  const long = `a\n${'x\n'.repeat(50_000)}`
  const { graph } = await scene(t, csv(long), { reportLimits: { timeoutMs: 5_000, maxBytes: 90_000 } })
  await assert.rejects(collect(graph.report(PATH, REPORT)), { code: 'UNEXPECTED', serviceCode: 'too-long' })
  const rows = graph.report(PATH, REPORT)[Symbol.asyncIterator]()
  assert.deepEqual((await rows.next()).value, { a: 'x' })
  await rows.return?.()
})

test('columns may be called anything', async (t) => {
  const { graph } = await scene(t, csv('__proto__,constructor\n1,2\n'))
  const [row] = await collect(graph.report(PATH, REPORT))
  assert.deepEqual(Object.entries(row ?? {}), [
    ['__proto__', '1'],
    ['constructor', '2'],
  ])
})

test('a report has a budget of its own: who asks too often is told when to come back', async (t) => {
  const { graph, asked } = await scene(t, csv(CSV), { budgets: 'reports=3/600' })
  for (let each = 0; each < 2; each++) await collect(graph.report(PATH, REPORT))
  await assert.rejects(collect(graph.report(PATH, REPORT)), { code: 'THROTTLED', waitMs: 600_000 })
  await collect(graph.report("/reports/getOneDriveUsageAccountDetail(period='D7')", REPORT))
  assert.equal(asked.length, 6)
})
