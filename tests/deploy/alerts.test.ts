// The alarms and the dashboard: the rules do what they say (promtool's unit tests), and every figure they ask for is one that a relay reports.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { startEnrolled, twoTenants } from '../harness/enrolled-relay.ts'
import { NextHop } from '../harness/next-hop.ts'
import { PushServer } from '../harness/push-server.ts'
import { ROOT, startRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

interface Sample {
  readonly labels: string
}

interface RuleTest {
  readonly name: string
  readonly promql_expr_test: readonly { readonly exp_samples: readonly Sample[] }[]
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number }
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly { readonly expr: string }[]
}

const OBSERVE = join(ROOT, 'deploy/observe')
const read = (name: string) => readFileSync(join(OBSERVE, name), 'utf8')
const RULES = (parse(read('alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(({ rules }) => rules)
const { tests: RULE_TESTS } = parse(read('alerts.test.yaml')) as { tests: RuleTest[] }
const DASHBOARD = JSON.parse(read('dashboard.json')) as { uid: string; schemaVersion: number; panels: Panel[] }
const PANEL_EXPRESSIONS = DASHBOARD.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
const EXPRESSIONS = [...RULES.map(({ expr }) => expr), ...PANEL_EXPRESSIONS]

const missing =
  spawnSync('promtool', ['--version']).error === undefined ? undefined : 'needs promtool: apt-get install prometheus'
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)
const withPromtool = missing === undefined ? {} : { skip: missing }

function promtool(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', cwd: OBSERVE, timeout: 120_000 })
  assert.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`)
}

test('OP-2 the rules are valid, and ring when they should and only then', withPromtool, () => {
  promtool('check', 'rules', 'alerts.yaml')
  promtool('test', 'rules', 'alerts.test.yaml')
})

test('OP-2 each rule has a case in which it rings and one in which nothing rings', () => {
  const ringing = new Set<string>()
  const silent = new Set<string>()
  for (const { promql_expr_test: cases } of RULE_TESTS) {
    const names = cases.flatMap(({ exp_samples: samples }) =>
      samples.map(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1] ?? ''),
    )
    for (const name of names) {
      ringing.add(name)
      // The same input at another time: without it, a rule that always rings would pass.
      if (cases.some(({ exp_samples: samples }) => !samples.some(({ labels }) => labels.includes(`"${name}"`))))
        silent.add(name)
    }
  }
  // All certificates of the one case are looked at together: those with more days left are what doesn't ring.
  for (const name of ringing) if (name.startsWith('CausewayCertificate')) silent.add(name)
  const rules = RULES.map(({ alert }) => alert).toSorted()
  assert.deepEqual([...ringing].toSorted(), rules)
  assert.deepEqual([...silent].toSorted(), rules)
})

test('OP-2 every alarm that the requirement names is there', () => {
  const needed = [
    'QueueOld',
    'Quarantine',
    'TableStale',
    'SnapshotStale',
    'SpoolRefusing',
    'Bounces',
    'TenantProofRefused',
    'SpoolSyncFailed',
  ]
  const names = RULES.map(({ alert }) => alert)
  assert.deepEqual(
    needed.filter((name) => !names.includes(`Causeway${name}`)),
    [],
  )
})

for (const { alert, labels, annotations } of RULES) {
  test(`${alert} says how urgent it is, what happened where, and what to do`, () => {
    assert.match(alert, /^Causeway[A-Z]\w+$/)
    assert.ok(['critical', 'warning'].includes(labels.severity))
    assert.match(annotations.summary, /\$labels\.instance/)
    assert.ok(annotations.description.length > 60, 'a description, not a title')
  })
}

test('the commands that descriptions name exist', () => {
  const documented = readFileSync(join(ROOT, 'docs/command-line.md'), 'utf8')
  let seen = 0
  for (const { alert, annotations } of RULES) {
    for (const [, command = '', action = ''] of annotations.description.matchAll(
      /\bcauseway (queue|quarantine|table) (\w+)/g,
    )) {
      seen++
      const line = documented
        .split('\n')
        .find((each) => each.startsWith(`causeway ${command} `) && each.includes(action))
      assert.ok(line, `${alert}: causeway ${command} ${action}`)
    }
  }
  assert.ok(seen > 20, 'the reader of commands finds none')
})

test('the dashboard: ids are unique, panels do not overlap, each asks the chosen source something', () => {
  const { panels, schemaVersion } = DASHBOARD
  assert.ok(schemaVersion >= 36)
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = new Map<string, string>()
  for (const { title, type, gridPos, datasource, targets = [] } of panels) {
    const { h, w, x, y } = gridPos
    assert.ok(x + w <= 24, `${title} leaves the grid`)
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const cell = `${column},${line}`
        assert.ok(!cells.has(cell), `${title} covers ${cells.get(cell)}`)
        cells.set(cell, title)
      }
    }
    if (type === 'row') continue
    assert.equal(datasource?.uid, '${datasource}', title)
    assert.ok(targets.length > 0 && targets.every(({ expr }) => expr.includes('instance=~"$instance"')), title)
  }
})

test('Prometheus can read every question of the dashboard', withPromtool, () => {
  const rules = PANEL_EXPRESSIONS.map((expr, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(job|instance)/g, '.*'),
  }))
  const folder = mkdtempSync(join(tmpdir(), 'causeway-dashboard-'))
  try {
    writeFileSync(join(folder, 'rules.yaml'), stringify({ groups: [{ name: 'dashboard', rules }] }))
    promtool('check', 'rules', join(folder, 'rules.yaml'))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

let scrape = ''

before(async () => {
  await using hop = await NextHop.start()
  const relay = await startRelay({ nextHopPort: hop.port, table: EXAMPLE_TABLE })
  try {
    const data = Buffer.from('From: alice@contoso.com\r\nSubject: metrics\r\n\r\nHello\r\n')
    const reply = await sendMail(relay.outPort, { from: 'alice@contoso.com', to: ['dana@example.net'], data })
    assert.match(reply, /^250 /)
    const figures = await eventually('the delivery in /metrics', async () => {
      const text = await (await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)).text()
      return text.includes('causeway_delivery_recipients_total{result="delivered"') ? text : undefined
    })
    scrape += figures
  } finally {
    await relay.stop()
    await relay.remove()
  }
})
before(async () => {
  await using server = await PushServer.start()
  server.version = 1
  server.content = twoTenants(9)
  const enrolled = await startEnrolled(server)
  try {
    const text = await (await fetch(`http://127.0.0.1:${enrolled.adminPort}/metrics`)).text()
    scrape += text // not in one line: what `scrape` is would be read before the wait
  } finally {
    await enrolled.stop()
    await enrolled.remove()
  }
})
after(() => {
  scrape = ''
})

test('OP-1 every figure that an alarm or a panel asks for is one that a relay reports', () => {
  const types = new Map([...scrape.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]))
  const reported = new Set<string>()
  for (const [name, type] of types) {
    const parts = type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    for (const part of parts) reported.add(name + part)
  }
  const asked = new Set(EXPRESSIONS.flatMap((expr) => [...expr.matchAll(/\bcauseway_\w+/g)].map(([name]) => name)))
  assert.ok(asked.size > 30, 'the reader of names finds too few')
  assert.deepEqual(
    [...asked].filter((name) => !reported.has(name)),
    [],
  )
})

test('OP-1 what the list of figures must hold is on the dashboard', () => {
  const needed: [what: string, figure: string][] = [
    ['queue depth', 'causeway_queue_messages'],
    ['oldest age', 'causeway_queue_oldest_seconds'],
    ['accepted', 'causeway_inbound_messages_accepted_total'],
    ['refused by reason', 'sum by (reason) (rate(causeway_inbound_refusals_total'],
    ['sync latency', 'causeway_spool_sync_seconds_bucket'],
    ['recipients collapsed (R13)', 'causeway_inbound_recipients_collapsed_total'],
    ['quarantine', 'causeway_spool_quarantined_messages'],
    ['snapshot version', 'causeway_table_version'],
    ['snapshot age', 'causeway_table_age_seconds'],
    ['event-loop delay', 'causeway_nodejs_eventloop_lag_p99_seconds'],
    ['certificate days left', 'causeway_certificate_not_after_seconds'],
  ]
  for (const [what, figure] of needed)
    assert.ok(
      PANEL_EXPRESSIONS.some((expr) => expr.includes(figure)),
      what,
    )
})

test('an alarm on refusals sees the first of its kind: each reason it names is reported as 0 from the start', () => {
  const reported = new Set(
    [...scrape.matchAll(/^causeway_inbound_refusals_total\{.*reason="([^"]+)"\} \d/gm)].map(([, reason]) => reason),
  )
  const asked = RULES.flatMap(({ expr }) => [...expr.matchAll(/reason=~?"([^"]+)"/g)]).flatMap(([, reasons = '']) =>
    reasons.split('|'),
  )
  assert.ok(asked.length >= 9)
  for (const reason of asked) {
    assert.ok(reported.has(reason), reason)
  }
})

test('OP-1 a disk floor that is reached and a table that is missing show in the figures that the alarms ask for', async (context) => {
  const relay = await startRelay({
    nextHopPort: 9,
    waitFor: 'alive',
    settings: { limits: { freeSpaceRatio: 0.95, maxTableAge: '1d' } },
  })
  context.after(() => relay.remove())
  const text = await (await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)).text()
  assert.equal(await relay.stop(), 0)
  for (const line of ['spool_refusing 1', 'table_trouble 1', 'table_max_age_seconds 86400', 'ready 0']) {
    assert.ok(text.includes(`\ncauseway_${line}\n`), line)
  }
  assert.match(text, /^causeway_spool_free_inode_ratio (0\.\d+|1)$/m)
  const healthy = ['spool_refusing 0', 'table_trouble 0', 'table_max_age_seconds 0', 'ready 1']
  for (const line of healthy) assert.ok(scrape.includes(`\ncauseway_${line}\n`), line)
})
