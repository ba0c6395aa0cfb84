import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { CurrentTable } from '../../../mta/mapping/current-table.ts'
import type { CurrentTableDeps } from '../../../mta/mapping/current-table.ts'
import { SettingsFault } from '../../../mta/settings-fault.ts'
import { DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'

function tableText(version: number, mailbox = 'alice@contoso.com', project = 'p1'): string {
  const entries = [
    { known: ['alice@contoso.com', 'alice.smith@fabrikam.com'], presented: 'alice.smith@fabrikam.com', mailbox },
  ]
  return JSON.stringify({ format: 'causeway-mapping-table/1', project, version, entries })
}

function setUp(context: TestContext, overrides: Partial<CurrentTableDeps> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'causeway-table-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'table.json')
  const lines: string[] = []
  const metrics = emptyMetrics()
  const clock = { now: Date.now() }
  const current = new CurrentTable({
    file,
    project: undefined,
    policy: DEFAULT_POLICY,
    maxAgeMs: undefined,
    log: createLog({ write: (line) => lines.push(line), level: 'debug', now: () => 0 }),
    metrics,
    now: () => clock.now,
    ...overrides,
  })
  context.after(() => current.close())
  const events = () => lines.splice(0).map((line) => (JSON.parse(line) as { event: string }).event)
  /** As a careful writer does it: the file is never half there. */
  const replace = (text: string) => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  const version = () => current.get()?.table.version
  return { file, current, metrics, clock, events, replace, version, lines }
}

test('E95 no table file is no fault: nothing is in force, it is said once, and the table is taken when it comes', async (context) => {
  const { current, events, replace, version } = setUp(context)
  await current.start()
  await current.check()
  assert.equal(current.get(), undefined)
  assert.deepEqual(current.status(), { version: undefined, trouble: 'the table file is missing' })
  assert.deepEqual(events(), ['table.missing'])
  replace(tableText(7))
  await current.check()
  assert.equal(version(), 7)
  assert.deepEqual(current.status(), { version: 7, trouble: undefined })
  assert.deepEqual(events(), ['table.loaded'])
})

test('a changed file is found by itself', async (context) => {
  const { current, replace, version } = setUp(context)
  replace(tableText(1))
  await current.start()
  replace(tableText(2))
  const deadline = Date.now() + 5_000
  while (version() !== 2 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(version(), 2)
})

test('RC-3 a message keeps the table it began with', async (context) => {
  const { current, replace } = setUp(context)
  replace(tableText(1))
  await current.start()
  const pinned = current.get()
  replace(tableText(2, 'alice.smith@fabrikam.com'))
  await current.check()
  const locate = (which = pinned) =>
    which?.table.withPolicy(which.policy).map('locate', 'alice.smith', 'fabrikam.com', false).kind
  assert.deepEqual([locate(), locate(current.get())], ['replaced', 'kept'])
})

const refused: [text: string, trouble: RegExp, why: string][] = [
  [tableText(6), /version 6 is older than 7/, 'an older one'],
  [
    tableText(7, 'alice.smith@fabrikam.com'),
    /content changed, but its version is still 7/,
    'a version only grows (R3)',
  ],
  [tableText(8, 'alice@contoso.com', 'p2'), /of project p2, not p1/, 'of another project'],
  [tableText(8, 'nobody@contoso.com'), /it is faulty/, 'mailbox is not in known (R3)'],
  ['{"format":', /it is faulty/, 'cut off'],
  ['', /it is faulty/, 'empty'],
]
for (const [text, trouble, why] of refused) {
  test(`R3 a table that is refused leaves the old one in force: ${why}`, async (context) => {
    const { current, events, replace, version, lines, metrics } = setUp(context)
    replace(tableText(7))
    await current.start()
    events()
    replace(text)
    await current.check()
    assert.match(current.status().trouble ?? '', trouble)
    assert.equal(version(), 7)
    assert.doesNotMatch(lines.join(''), /@/, 'PR-2')
    await current.check()
    assert.deepEqual(events(), ['table.refused'], 'said once')
    assert.match(await metrics.metrics(), /^causeway_table_loads_total\{result="refused"\} 1$/m)

    replace(tableText(8))
    await current.check()
    assert.deepEqual([version(), current.status().trouble], [8, undefined])
  })
}

const unstartable: [text: string, fault: RegExp, why: string][] = [
  [tableText(7), /table\.json: it is of project p1, not p9$/, 'of another project than the configuration says'],
  [
    tableText(7, 'nobody@contoso.com', 'p9'),
    /table\.json: entries\/0\/mailbox: "nobody@contoso\.com": .* \(R2\)$/,
    'faulty',
  ],
  ['', /table\.json: /, 'empty'],
]
for (const [text, fault, why] of unstartable) {
  test(`a table that is there and can't be used keeps a relay from starting: ${why}`, async (context) => {
    const { current, replace } = setUp(context, { project: 'p9' })
    replace(text)
    await assert.rejects(current.start(), (error) => error instanceof SettingsFault && fault.test(error.message))
  })
}

test('so does one that can not be read', async (context) => {
  const { current, file } = setUp(context)
  mkdirSync(file)
  await assert.rejects(
    current.start(),
    (error) => error instanceof SettingsFault && error.message.endsWith("can't be read"),
  )
})

test('a file that can not be read later is said once, until it can', async (context) => {
  const { current, file, events, replace, version } = setUp(context)
  replace(tableText(7))
  await current.start()
  rmSync(file)
  mkdirSync(file)
  await current.check()
  await current.check()
  assert.deepEqual(events(), ['table.loaded', 'table.unreadable'])
  rmSync(file, { recursive: true })
  replace(tableText(8))
  await current.check()
  assert.deepEqual([version(), current.status().trouble], [8, undefined])
})

test('a file that goes away takes nothing with it', async (context) => {
  const { file, current, events, replace, version } = setUp(context)
  replace(tableText(7))
  await current.start()
  rmSync(file)
  await current.check()
  await current.check()
  assert.equal(version(), 7)
  assert.equal(current.status().trouble, 'the table file is missing')
  assert.deepEqual(events(), ['table.loaded', 'table.missing'])
})

test('a file that is moved away and back is as good as before', async (context) => {
  const { file, current, replace } = setUp(context)
  replace(tableText(7))
  await current.start()
  renameSync(file, `${file}.away`)
  await current.check()
  renameSync(`${file}.away`, file)
  await current.check()
  assert.deepEqual(current.status(), { version: 7, trouble: undefined })
})

test('SIGHUP reads the file though it did not change, and the same table is no news', async (context) => {
  const { current, events, replace, metrics } = setUp(context)
  replace(tableText(7))
  await current.start()
  const pinned = current.get()
  await current.reload()
  assert.equal(current.get(), pinned)
  assert.deepEqual(events(), ['table.loaded'])
  assert.match(await metrics.metrics(), /^causeway_table_loads_total\{result="unchanged"\} 1$/m)
})

test('a table older than maxTableAge is no table, until its file is written again', async (context) => {
  const { file, current, clock, replace, version } = setUp(context, { maxAgeMs: 3_600_000 })
  replace(tableText(7))
  utimesSync(file, clock.now / 1000, clock.now / 1000)
  await current.start()
  clock.now += 3_600_000 - 1
  assert.equal(version(), 7)
  clock.now += 2
  assert.equal(version(), undefined)
  assert.deepEqual(current.status(), {
    version: undefined,
    trouble: 'the mapping table is older than limits.maxTableAge',
  })
  utimesSync(file, clock.now / 1000, clock.now / 1000)
  await current.check()
  assert.equal(version(), 7)
})

test('a file that is written in place is taken when it is whole', async (context) => {
  const { file, current, replace, version } = setUp(context)
  replace(tableText(7))
  await current.start()
  const text = tableText(8)
  writeFileSync(file, text.slice(0, 40))
  await current.check()
  assert.equal(version(), 7)
  appendFileSync(file, text.slice(40))
  await current.check()
  assert.equal(version(), 8)
})

test('loads that overlap end with the newest table', async (context) => {
  const { current, replace, version } = setUp(context)
  replace(tableText(1))
  const loads = [current.start()]
  for (let each = 2; each <= 20; each++) {
    replace(tableText(each))
    loads.push(current.check(), current.reload())
  }
  await Promise.all(loads)
  assert.equal(version(), 20)
})

test('a CSV file, which has no version of its own, is newer each time it is written', async (context) => {
  const { file, current, replace, version } = setUp(context, { project: 'p1' })
  replace(
    'presented,mailbox,known\nalice.smith@fabrikam.com,alice@contoso.com,alice@contoso.com;alice.smith@fabrikam.com\n',
  )
  await current.start()
  const first = version()
  assert.ok(first !== undefined && current.get()?.table.project === 'p1')
  // A backup that bears its old time is what the operator wants all the same.
  replace('presented,mailbox,known\nbob.berg@fabrikam.com,bob@contoso.com,bob@contoso.com;bob.berg@fabrikam.com\n')
  utimesSync(file, 1_000_000, 1_000_000)
  await current.check()
  const second = version()
  assert.ok(second !== undefined && second > first)
  assert.equal(current.status().trouble, undefined)
})

test('OP-1 version and entries are figures', async (context) => {
  const { current, replace, metrics } = setUp(context)
  assert.match(await metrics.metrics(), /^causeway_table_version 0$/m)
  replace(tableText(7))
  await current.start()
  const text = await metrics.metrics()
  assert.match(text, /^causeway_table_version 7$/m)
  assert.match(text, /^causeway_table_entries 1$/m)
})
