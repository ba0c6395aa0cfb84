// The control plane's alarms: the rules do what they say (promtool's unit tests), every figure they ask for is one that a running api or worker reports,
// and each has its section in the runbook. (OP-1, OP-2)
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { createLog } from '../../common/log.ts'
import { createMetrics } from '../../common/metrics.ts'
import { startApi } from '../../control-plane/api.ts'
import { migrateQueue } from '../../control-plane/jobs/queue-backend.ts'
import { loadSettings } from '../../control-plane/settings.ts'
import { startWorker } from '../../control-plane/worker.ts'
import { testDatabase } from '../harness/postgres.ts'
import { ROOT } from '../harness/relay.ts'
import { socketUrl } from '../harness/start-control-plane.ts'
import { eventually } from '../harness/wait.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string }
}
interface RuleTest {
  readonly promql_expr_test: readonly { readonly exp_samples: readonly { readonly labels: string }[] }[]
}

const OBSERVE = join(ROOT, 'deploy/observe')
const [RULES_FILE, TESTS_FILE] = ['control-plane-alerts.yaml', 'control-plane-alerts.test.yaml']
const RULES = (
  parse(readFileSync(join(OBSERVE, RULES_FILE), 'utf8')) as { groups: { rules: Rule[] }[] }
).groups.flatMap(({ rules }) => rules)
const { tests: RULE_TESTS } = parse(readFileSync(join(OBSERVE, TESTS_FILE), 'utf8')) as { tests: RuleTest[] }
const RUNBOOK = readFileSync(join(ROOT, 'docs/control-plane-alarms.md'), 'utf8')

const missing =
  spawnSync('promtool', ['--version']).error === undefined ? undefined : 'needs promtool: apt-get install prometheus'
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)

test(
  'OP-2 the rules are valid, and ring when they should and only then',
  missing === undefined ? {} : { skip: missing },
  () => {
    for (const args of [
      ['check', 'rules', RULES_FILE],
      ['test', 'rules', TESTS_FILE],
    ]) {
      const { status, stdout, stderr } = spawnSync('promtool', args, {
        encoding: 'utf8',
        cwd: OBSERVE,
        timeout: 120_000,
      })
      assert.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`)
    }
  },
)

test('OP-2 each rule has a case in which it rings, and the same case at a time when it does not', () => {
  const ringing = new Set<string>()
  const silent = new Set<string>()
  for (const { promql_expr_test: cases } of RULE_TESTS) {
    const names = cases.flatMap(({ exp_samples: samples }) =>
      samples.map(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1] ?? ''),
    )
    for (const name of names) {
      ringing.add(name)
      if (cases.some(({ exp_samples: samples }) => !samples.some(({ labels }) => labels.includes(`"${name}"`))))
        silent.add(name)
    }
  }
  const rules = RULES.map(({ alert }) => alert).toSorted()
  assert.equal(new Set(rules).size, rules.length)
  assert.deepEqual([...ringing].toSorted(), rules)
  assert.deepEqual([...silent].toSorted(), rules)
})

test('OP-2 what the requirement and the failure table name has an alarm', () => {
  const needed = ['AuditChainBroken', 'DatabaseAway', 'QueueAway', 'KeyServiceAway', 'ControlPlaneDown', 'RelaySilent']
  const names = RULES.map(({ alert }) => alert)
  assert.deepEqual(
    needed.filter((name) => !names.includes(`Causeway${name}`)),
    [],
  )
})

test('no alarm of the control plane has the name of one of the relay', () => {
  const relays = (
    parse(readFileSync(join(OBSERVE, 'alerts.yaml'), 'utf8')) as { groups: { rules: Rule[] }[] }
  ).groups.flatMap(({ rules }) => rules.map(({ alert }) => alert))
  assert.deepEqual(
    RULES.filter(({ alert }) => relays.includes(alert)),
    [],
  )
})

for (const { alert, labels, annotations } of RULES) {
  test(`${alert} says how urgent it is, what happened where, and where its section of the runbook is`, () => {
    assert.match(alert, /^Causeway[A-Z]\w+$/)
    assert.ok(['critical', 'warning'].includes(labels.severity))
    assert.match(annotations.summary, /\$labels\.(instance|job)/)
    assert.ok(annotations.description.length > 60, 'a description, not a title')
    const anchor = annotations.runbook.replace(/^docs\/control-plane-alarms\.md#/, '')
    const headings = [...RUNBOOK.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase())
    assert.ok(headings.includes(anchor), `a section ${anchor}`)
  })
}

test('the runbook has no section of an alarm that is gone, and each section says what to look at and what to do', () => {
  const anchors = new Set(RULES.map(({ annotations }) => annotations.runbook.split('#')[1]))
  const [, ...sections] = RUNBOOK.split(/^## /m)
  assert.ok(sections.length > 15)
  for (const section of sections) {
    const [heading = ''] = section.split('\n', 1)
    assert.ok(anchors.has(heading.toLowerCase()), heading)
    assert.ok(section.length > 250, heading)
  }
})

const directory = mkdtempSync(join(tmpdir(), 'causeway-alarms-'))
const figures = { api: '', worker: '' }

before(async () => {
  const opened = new AsyncDisposableStack()
  try {
    const database = await testDatabase({ after: (close) => opened.defer(close) })
    await migrateQueue(database.ownerConnection)
    const settings = loadSettings({
      CAUSEWAY_MODE: 'evaluation',
      PUBLIC_URL: 'http://127.0.0.1:9',
      PORT: '0',
      METRICS_PORT: '0',
      DATABASE_URL: socketUrl(database.connection),
      KEY_DIRECTORY: join(directory, 'keys'),
      AUDIT_EXPORT_DIRECTORY: join(directory, 'audit'),
    })
    const log = createLog({ write: () => {}, level: 'error', now: Date.now })
    const api = await startApi(settings, { log, metrics: createMetrics() })
    opened.defer(() => api.stop(1_000))
    const worker = await startWorker(settings, { log, metrics: createMetrics() })
    opened.defer(() => worker.stop(1_000))
    const scrape = async (port: number) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    await (await fetch(`http://127.0.0.1:${api.port}/api/v1/me`)).text()
    figures.api = await eventually('the request in /metrics', async () => {
      const text = await scrape(api.metricsPort)
      return /^causeway_api_requests_total\{.*status="4xx"\} [1-9]/m.test(text) ? text : undefined
    })
    figures.worker = await scrape(worker.metricsPort)
  } finally {
    await opened.disposeAsync()
  }
})
after(() => rmSync(directory, { recursive: true, force: true }))

test('OP-1 every figure that an alarm asks for is one that a running api or worker reports', () => {
  const reported = new Set([...(figures.api + figures.worker).matchAll(/^# TYPE (\w+) \w+$/gm)].map(([, name]) => name))
  const asked = new Set(RULES.flatMap(({ expr }) => [...expr.matchAll(/\bcauseway_\w+/g)].map(([name]) => name)))
  assert.ok(asked.size >= 15, 'the reader of names finds too few')
  assert.deepEqual(
    [...asked].filter((name) => !reported.has(name)),
    [],
  )
})

test('OP-1 what is well is reported as well from the start: an alarm sees the first that is not', () => {
  for (const [process, line] of [
    ['api', 'causeway_control_plane_ready 1'],
    ['worker', 'causeway_control_plane_ready 1'],
    ['api', 'causeway_component_up{component="database"} 1'],
    ['api', 'causeway_component_up{component="queue"} 1'],
    ['worker', 'causeway_component_up{component="keys"} 1'],
    ['worker', 'causeway_jobs{state="failed"} 0'],
    ['worker', 'causeway_relays{standing="silent"} 0'],
    ['worker', 'causeway_relays{standing="refused"} 0'],
    ['worker', 'causeway_relays{standing="ahead"} 0'],
    ['worker', 'causeway_relay_lag_seconds 0'],
    ['worker', 'causeway_deliveries_total{kind="webhook",outcome="failed"} 0'],
    ['worker', 'causeway_deliveries_total{kind="notification",outcome="failed"} 0'],
    ['worker', 'causeway_audit_chain_ok 1'],
    ['worker', 'causeway_audit_export_overdue_seconds 0'],
    ['api', 'causeway_api_answers_broken_total 0'],
    ['api', 'causeway_relay_streams_cut_total 0'],
  ] as const)
    assert.ok(figures[process].includes(`\n${line}\n`), `${process}: ${line}`)
  for (const name of ['outbox_oldest', 'jobs_oldest_waiting', 'audit_verified', 'audit_checkpoint_overdue'])
    assert.match(figures.worker, new RegExp(`^causeway_${name}_seconds [\\d.e-]+$`, 'm'))
})
