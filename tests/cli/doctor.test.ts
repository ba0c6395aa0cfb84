// OP-5: `doctor` on a good and on several bad installs; what it prints is kept in tests/cli/doctor/ (UPDATE_GOLDEN=1 writes it).
import assert from 'node:assert/strict'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { startRelay } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { causeway } from './causeway.ts'
import type { Ran } from './causeway.ts'

const limits = { freeSpaceRatio: 0, freeSpaceMessages: 0, freeInodeRatio: 0 }

async function aRelay(context: TestContext, settings: Record<string, unknown> = {}) {
  const hop = await NextHop.start()
  context.after(() => hop.close())
  const relay = await startRelay({ nextHopPort: hop.port, table: EXAMPLE_TABLE, settings: { limits, ...settings } })
  context.after(async () => {
    await relay.stop()
    await relay.remove()
  })
  return { hop, relay }
}

/** What differs from machine to machine and from day to day gives way to what it is. */
function portable(stdout: Buffer, { directory, outPort, inPort, adminPort }: RunningRelay, hopPort: number): string {
  const machine = /^(?:node|dependencies|fips|time-sync|core-dumps|swap) /
  let isMachine = false
  return stdout
    .toString()
    .split('\n')
    .filter((line) => {
      if (!line.startsWith(' ')) isMachine = machine.test(line.slice('warning  '.length))
      return !isMachine
    })
    .join('\n')
    .replaceAll(directory, 'DIR')
    .replaceAll(String(outPort), 'OUT')
    .replaceAll(String(inPort), 'IN')
    .replaceAll(String(adminPort), 'ADMIN')
    .replaceAll(String(hopPort), 'HOP')
    .replace(/20\d\d-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/of user \d+/g, 'of user UID')
    .replace(/\d+ MiB \(\d+ %\) free/, 'SPACE free')
    .replace(/, \d+ % of its inodes/, ', INODES')
    .replace(/(relay\.json):\d+:/g, '$1:LINE:')
    .replace(/\b\d+ files, none/, 'N files, none')
    .replace(/of \d+ files can/, 'of N files can')
}

function assertGolden(name: string, text: string): void {
  const file = new URL(`doctor/${name}.txt`, import.meta.url)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text)
  assert.equal(text, readFileSync(file, 'utf8'), 'UPDATE_GOLDEN=1 writes it')
}

const doctorOf = (relay: RunningRelay): Promise<Ran> => causeway(['doctor', '--config', relay.configFile])

test('a good install: every check of the relay is ok, exit code 0', async (context) => {
  const { hop, relay } = await aRelay(context)
  const ran = await doctorOf(relay)
  assertGolden('good', portable(ran.stdout, relay, hop.port))
  assert.equal(ran.code, 0, ran.stdout.toString())
  assert.match(ran.stderr, /^\d+ checks, 0 faults, \d+ warnings\n$/)

  const json = await causeway(['doctor', '--config', relay.configFile, '--json'])
  const findings = JSON.parse(json.stdout.toString()) as { check: string; verdict: string }[]
  assert.ok(findings.some(({ check, verdict }) => check === 'relay' && verdict === 'ok'))
})

test('a bad install while the relay runs: open files, next hop down, table gone, metrics for everybody', async (context) => {
  const { hop, relay } = await aRelay(context)
  const config = JSON.parse(readFileSync(relay.configFile, 'utf8')) as Record<string, unknown>
  writeFileSync(relay.configFile, JSON.stringify({ ...config, metrics: { address: '0.0.0.0', port: relay.adminPort } }))
  chmodSync(join(relay.directory, 'spool'), 0o755)
  chmodSync(join(relay.directory, 'spool/keys'), 0o644)
  chmodSync(join(relay.directory, 'spool.key'), 0o640)
  chmodSync(join(relay.directory, 'marker.json'), 0o604)
  chmodSync(relay.configFile, 0o666)
  const hopPort = hop.port
  await hop.close()
  rmSync(join(relay.directory, 'table.json'))
  const ran = await doctorOf(relay)
  assertGolden('bad-running', portable(ran.stdout, relay, hopPort))
  assert.equal(ran.code, 1)
})

test('a bad install without a relay: the key of another spool, a table that is none, a port that somebody else has', async (context) => {
  const { hop, relay } = await aRelay(context)
  await relay.stop()
  writeFileSync(join(relay.directory, 'spool.key'), `${'ab'.repeat(32)}\n`, { mode: 0o600 })
  writeFileSync(join(relay.directory, 'table.json'), '{ "format": "something else" }')
  await using squatter = await NextHop.start({ port: relay.outPort })
  assert.equal(squatter.port, relay.outPort)
  const ran = await doctorOf(relay)
  assertGolden('bad-stopped', portable(ran.stdout, relay, hop.port))
  assert.equal(ran.code, 1)
})

test('a configuration that can not be used is a finding with every fault of it', async (context) => {
  const { hop, relay } = await aRelay(context)
  const config = readFileSync(relay.configFile, 'utf8')
  const faulty = { ...(JSON.parse(config) as object), log: { level: 'loud' }, limits: { messageBytes: 1 } }
  writeFileSync(relay.configFile, JSON.stringify(faulty, null, 2))
  const ran = await doctorOf(relay)
  assertGolden('bad-configuration', portable(ran.stdout, relay, hop.port))
  assert.equal(ran.code, 1)
})

test('without a configuration the installation alone is looked at', async () => {
  const { code, stdout } = await causeway(['doctor', '--json'])
  assert.equal(code, 0)
  const findings = JSON.parse(stdout.toString()) as { check: string }[]
  assert.deepEqual(
    findings.map(({ check }) => check),
    ['node', 'dependencies', 'fips'],
  )
})

test('looking changes nothing: a relay that never ran has no spool, no key and no marker afterwards', async (context) => {
  const { relay } = await aRelay(context)
  await relay.stop()
  for (const name of ['spool', 'spool.key', 'marker.json'])
    rmSync(join(relay.directory, name), { recursive: true, force: true })
  const { stdout } = await doctorOf(relay)
  assert.match(stdout.toString(), /spool-key-file +\S+ is not there yet/)
  for (const name of ['spool', 'spool.key', 'marker.json'])
    assert.throws(() => readFileSync(join(relay.directory, name)), /ENOENT/, name)
})
