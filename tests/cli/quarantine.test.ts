import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { PREFIX_BYTES } from '../../mta/spool/format.ts'
import { headerOf } from '../mta/spool/spool-harness.ts'
import { causeway, folder } from './causeway.ts'
import { makeQuarantinedSpool } from './quarantined-spool.ts'

async function setUp(context: TestContext) {
  const top = folder(context)
  const config = join(top, 'relay.yaml')
  writeFileSync(
    config,
    `listeners: [{ address: 127.0.0.1, port: 0, direction: out, tls: none }]
table: { file: table.json }
spool: { directory: spool, key: { file: spool.key } }
routes:
  owner-tenant: { kind: smart-host, host: 127.0.0.1, port: 2900, tls: none }
  mailbox: { kind: smart-host, host: 127.0.0.1, port: 2900, tls: none }
limits: { freeSpaceRatio: 0, freeSpaceMessages: 0, freeInodeRatio: 0 }
`,
  )
  const ids = await makeQuarantinedSpool(join(top, 'spool'), join(top, 'spool.key'))
  const quarantine = (...args: string[]) => causeway(['quarantine', ...args, '--config', config])
  return { top, config, quarantine, ...ids }
}

test('SF-4, DU-8: list names each entry and why it is there; what waits beside them is not among them', async (context) => {
  const { quarantine, poison, damaged } = await setUp(context)
  const { code, stdout } = await quarantine('list', '--json')
  assert.equal(code, 0)
  const entries = JSON.parse(stdout.toString()) as { queueId: string; reason: string }[]
  // By name, and so by time of acceptance.
  assert.deepEqual(
    entries.map(({ queueId, reason }) => [queueId, reason]),
    [
      [poison, 'poison'],
      [damaged, 'damaged'],
    ],
  )
  const text = (await quarantine('list')).stdout.toString()
  assert.match(text, new RegExp(`^${poison}  20\\S+Z  poison +\\d+  in hand at 3 process deaths$`, 'm'))
})

test('SF-4: a poison message is exported whole: to standard output, or to a new file that only its owner can read', async (context) => {
  const { top, quarantine, poison } = await setUp(context)
  const shown = await quarantine('export', poison)
  assert.deepEqual([shown.code, shown.stderr], [0, ''])
  assert.ok(shown.stdout.indexOf(headerOf(poison)) === 0)
  assert.equal(shown.stdout.length, headerOf(poison).length + 1_000)

  const file = join(top, 'poison.eml')
  assert.equal((await quarantine('export', poison, '--output', file)).code, 0)
  assert.deepEqual(readFileSync(file), shown.stdout)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const again = await quarantine('export', poison, '--output', file)
  assert.equal(again.code, 2)
  assert.match(again.stderr, /is there already/)
})

test('SF-4: export --all writes a file for each; the damaged one as far as it can be read', async (context) => {
  const { top, quarantine, poison, damaged } = await setUp(context)
  const directory = join(top, 'out')
  const { code, stdout, stderr } = await quarantine('export', '--all', '--directory', directory, '--json')
  assert.deepEqual([code, stderr], [0, `2 exported to ${directory}\n`])
  assert.deepEqual(readdirSync(directory), [`${poison}.eml`, `${damaged}.eml`].toSorted())
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  const bytes = readFileSync(join(directory, `${damaged}.eml`))
  assert.ok(bytes.indexOf(headerOf(damaged)) === 0, 'its header block, which was not hit')
  const written = JSON.parse(stdout.toString()) as { queueId: string; bytes: number }[]
  assert.equal(written.find(({ queueId }) => queueId === damaged)?.bytes, bytes.length)
})

test('an entry of which nothing can be read makes no file: exit code 1', async (context) => {
  const { top, quarantine, damaged } = await setUp(context)
  const entry = join(top, 'spool/quarantine', `${damaged}.entry`)
  // Of what was found nothing is left but the description.
  truncateSync(entry, PREFIX_BYTES + 4 + readFileSync(entry).readUInt32BE(PREFIX_BYTES))
  const file = join(top, 'nothing.eml')
  const { code, stderr } = await quarantine('export', damaged, '--output', file)
  assert.deepEqual([code, existsSync(file)], [1, false])
  assert.match(stderr, /is beyond reading: nothing of it can be exported/)
})

test('remove forgets entries for good; one that is not there is exit code 1, and the others are removed', async (context) => {
  const { config, quarantine, poison, damaged } = await setUp(context)
  const some = await quarantine('remove', poison, 'no-such')
  assert.deepEqual([some.code, some.stderr], [1, 'no-such is not in quarantine\n1 removed\n'])
  const rest = await quarantine('remove', '--all', '--json')
  assert.deepEqual([rest.code, JSON.parse(rest.stdout.toString())], [0, { removed: [damaged] }])
  assert.equal((await quarantine('list')).stderr, 'nothing is in quarantine\n')
  const traced = await causeway(['trace', '--id', damaged, '--config', config])
  assert.match(traced.stdout.toString(), /discarded/)
})
