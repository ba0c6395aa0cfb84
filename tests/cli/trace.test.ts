// `trace` against a relay that runs: what it tells of mail that was delivered, put off and refused.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { JournalEntry } from '../../mta/journal/journal-entry.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { startRelay } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { causeway } from './causeway.ts'

let hop: NextHop
let relay: RunningRelay
let queueId: string

before(async () => {
  hop = await NextHop.start({
    act: ({ stage, line }) => {
      if (stage !== 'RCPT') return undefined
      if (line.includes('later@')) return '451 4.7.1 greylisted, come back'
      return line.includes('nobody@') ? '550 5.1.1 no such user' : undefined
    },
  })
  relay = await startRelay({ nextHopPort: hop.port, table: EXAMPLE_TABLE })
  const reply = await sendMail(relay.outPort, {
    from: 'alice@contoso.com',
    to: ['dana@example.net', 'later@example.net', 'nobody@example.net'],
    data: Buffer.from('From: alice@contoso.com\r\nMessage-ID: <canary-1@contoso.com>\r\nSubject: x\r\n\r\nbody\r\n'),
  })
  queueId = /queued as (\S+)/.exec(reply)?.[1] ?? ''
  await eventually('the report in the journal', async () => {
    const { stdout } = await trace('--id', queueId, '--outcome', 'reported')
    return stdout.length > 0 ? true : undefined
  })
})

after(async () => {
  await relay.stop()
  await hop.close()
  await relay.remove()
})

const trace = (...args: string[]) => causeway(['trace', ...args, '--config', relay.configFile])

async function entries(...args: string[]): Promise<JournalEntry[]> {
  const { stdout } = await trace(...args, '--json')
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JournalEntry)
}

test('one line for each recipient and attempt, with reply, four delays and where it went', async () => {
  const { code, stdout, stderr } = await trace('--id', queueId)
  assert.deepEqual([code, stderr], [0, ''])
  const [head, ...rows] = stdout.toString().trimEnd().split('\n')
  assert.match(head ?? '', /^TIME +ID +EVENT +TRY +REPLY +DELAYS +RECIPIENT +WHERE$/)
  const tag = String.raw`[\w-]{12}@example\.net`
  const figure = String.raw`[\d.]+`
  const delays = `${figure}/${figure}/${figure}/${figure}`
  const patterns = [
    String.raw`accepted +from [\w-]{12}@contoso\.com at 127\.0\.0\.1, to 3 recipients, \d+ octets`,
    String.raw`reported +its sender is told by [0-9A-Z]{16}`,
    String.raw`delivered +1 +250 2\.0\.0 +${delays} +${tag} +127\.0\.0\.1:${hop.port}`,
    String.raw`deferred +1 +451 4\.7\.1 +${delays} +${tag} +127\.0\.0\.1:${hop.port}, again at 20\S+Z`,
    String.raw`failed +1 +550 5\.1\.1 +${delays} +${tag} +127\.0\.0\.1:${hop.port}`,
  ]
  assert.equal(rows.length, patterns.length)
  for (const [index, pattern] of patterns.entries())
    assert.match(rows[index] ?? '', new RegExp(String.raw`^20\S+Z  ${queueId}  ${pattern}$`))
})

test('the report that it led to has a trace of its own', async () => {
  const [reported] = await entries('--id', queueId, '--outcome', 'reported')
  const report = String(reported?.['report'])
  await eventually('its delivery', async () => {
    return (await entries('--id', report)).some(({ event }) => event === 'delivered') ? true : undefined
  })
})

const questions: [args: string[], events: string[], why: string][] = [
  [
    ['--message-id', '<canary-1@contoso.com>'],
    ['accepted', 'reported', 'delivered', 'deferred', 'failed'],
    'as the field has it',
  ],
  [['--message-id', 'canary-1@contoso.com', '--outcome', 'failed'], ['failed'], 'without brackets'],
  [
    ['--recipient', 'later@example.net'],
    ['accepted', 'reported', 'deferred'],
    'the address is hashed and searched for',
  ],
  [['--recipient', 'LATER@EXAMPLE.NET', '--outcome', 'deferred'], ['deferred'], 'whatever its case'],
  [
    ['--sender', 'alice@contoso.com', '--outcome', 'delivered'],
    ['delivered'],
    'as she wrote it, not as it was rewritten',
  ],
  [['--since', '1h', '--outcome', 'failed'], ['failed'], 'lately'],
  [['--since', '2100-01-01'], [], 'nothing yet'],
]
for (const [args, events, why] of questions) {
  test(`trace ${args.join(' ')}: ${why}`, async () => {
    const found = (await entries(...args)).filter((entry) => entry.queueId === queueId)
    assert.deepEqual(
      found.map(({ event }) => event),
      events,
    )
  })
}

const misses: [args: string[], code: number, says: RegExp][] = [
  [['--id', '01JDA2B3C4XY5Z69'], 1, /the journal has nothing of that/],
  [['--message-id', 'who@knows'], 1, /nothing of that/],
  [['--recipient', 'stranger@example.net'], 1, /nothing of that/],
  [['--since', '2100-01-01'], 0, /nothing of that/],
  [['--id', 'nonsense'], 2, /"nonsense" is no queue id/],
  [['--since', 'yesterday'], 2, /--since takes a time/],
  [['--outcome', 'lost'], 2, /--outcome must be one of accepted, delivered/],
  [['extra'], 2, /unexpected argument "extra"/],
]
for (const [args, wanted, says] of misses) {
  test(`trace ${args.join(' ')}: exit code ${wanted}`, async () => {
    const { code, stdout, stderr } = await trace(...args)
    assert.deepEqual([code, stdout.length], [wanted, 0])
    assert.match(stderr, says)
  })
}

test('PR-2, SF-6, SF-7: by default the journal holds no address, no Message-ID, no reply text, and only its owner can read it', () => {
  const folder = join(relay.directory, 'spool/journal')
  const files = readdirSync(folder)
  assert.ok(files.length > 0)
  for (const file of files) {
    assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600)
    assert.doesNotMatch(readFileSync(join(folder, file), 'utf8'), /alice|dana|later@|nobody@|canary|greylisted|Subject/)
  }
})

test('a configuration that no relay ran with has no journal: exit code 2', async () => {
  const { code, stderr } = await causeway(['trace', '--config', join(relay.directory, '../no-such.yaml')])
  assert.equal(code, 2)
  assert.match(stderr, /can't be read/)
})
