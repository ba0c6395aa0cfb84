// `causeway audit verify`: an exported trail, without a database. (product.md §8, AU-3)
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { TrailReport } from '../../control-plane/audit/verify-trail.ts'
import { aSigner, aTrail, linesOf } from '../control-plane/audit/a-trail.ts'
import { causeway, folder } from './causeway.ts'

const signer = aSigner(1)
const firstKey = signer.keys[0]?.id ?? ''
const whole = aTrail({ events: 12, checkpoints: [5, 12], signer })
const open = aTrail({ events: 12, checkpoints: [5], signer })
const shorter = aTrail({ events: 9, checkpoints: [5, 9], signer })

function file(context: TestContext, lines: readonly string[], name = 'trail.ndjson'): string {
  const path = join(folder(context), name)
  writeFileSync(path, lines.join(''))
  return path
}

const notesOf = (made: typeof whole): string[] =>
  made.records.flatMap((record) => (record.kind === 'checkpoint' ? [record.note] : []))

test('a trail that holds: exit code 0, what it is on standard output, what it does not prove on standard error', async (context) => {
  const { code, stdout, stderr } = await causeway(['audit', 'verify', file(context, linesOf(whole.records))])
  assert.equal(code, 0, stderr)
  assert.match(
    stdout.toString(),
    new RegExp(
      `trail\\.ndjson: holds: org_0123456789abcdefghjkmnpq, 12 events \\(1 to 12\\), 2 checkpoints, key ${firstKey}\\n$`,
    ),
  )
  assert.match(stderr, /^proven as of 2026-11-22T10:00:12\.001Z; events that came later/m)
  assert.match(stderr, /^signed by keys that came with the trail/m)
})

test('events behind the last checkpoint are said not to be proven', async (context) => {
  const { code, stderr } = await causeway(['audit', 'verify', file(context, linesOf(open.records)), '--key', firstKey])
  assert.equal(code, 0)
  assert.match(stderr, /^not proven: events 6 to 12 stand behind the last checkpoint/m)
  assert.doesNotMatch(stderr, /keys that came with/)
})

test('AU-4: cleared payloads are counted, and are no fault', async (context) => {
  const cleared = whole.records.map((record, index) =>
    record.kind === 'event' && index % 2 === 0 ? { ...record, payload: null } : record,
  )
  const { code, stdout } = await causeway(['audit', 'verify', file(context, linesOf(cleared))])
  assert.equal(code, 0)
  assert.match(stdout.toString(), /\(1 to 12\), \d payloads cleared, 2 checkpoints/)
})

test('AU-3: a trail that does not hold: exit code 1, and the first bad event', async (context) => {
  const lines = linesOf(whole.records)
  // Line 1 is the head, 2 and 3 are keys, event 4 is on line 7.
  const changed = lines.with(6, (lines[6] ?? '').replace('thing.changed', 'thing.deleted'))
  const path = file(context, changed)
  const { code, stdout, stderr } = await causeway(['audit', 'verify', path])
  assert.deepEqual([code, stdout.length], [1, 0])
  assert.match(stderr, /trail\.ndjson: line 7: event 4, or its hash, is not what was written \(changed\)$/m)
  assert.match(stderr, /^events 1 to 3 hold as far as this trail goes; none of them is proven$/m)

  const json = await causeway(['audit', 'verify', '--json', path])
  const { holds, fault, size } = JSON.parse(json.stdout.toString()) as TrailReport
  assert.deepEqual([json.code, holds, size, fault?.line, fault?.event, fault?.code], [1, false, 3, 7, 4, 'changed'])
})

test('AU-3: a shorter trail is whole by itself, and not beside a checkpoint from elsewhere, in whatever that was kept', async (context) => {
  const short = file(context, linesOf(shorter.records))
  assert.equal((await causeway(['audit', 'verify', short])).code, 0)
  const directory = join(folder(context), 'org')
  mkdirSync(directory)
  for (const [index, note] of notesOf(whole).entries()) writeFileSync(join(directory, `${index}.checkpoint`), note)
  writeFileSync(join(directory, '2.checkpoint'), notesOf(whole)[1]?.slice(0, 80) ?? '')
  const elsewhere = [
    join(directory, '1.checkpoint'),
    directory,
    file(context, linesOf(whole.records), 'earlier.ndjson'),
  ]
  for (const known of elsewhere) {
    const { code, stderr } = await causeway(['audit', 'verify', short, '--checkpoint', known])
    assert.equal(code, 1, known)
    assert.match(stderr, /line 15: a given checkpoint says that there are 12 events at least \(truncated\)/, known)
  }
  const agrees = await causeway([
    'audit',
    'verify',
    file(context, linesOf(whole.records)),
    ...elsewhere.flatMap((known) => ['--checkpoint', known]),
    '--json',
  ])
  const { holds, compared } = JSON.parse(agrees.stdout.toString()) as TrailReport
  assert.deepEqual([agrees.code, holds, compared], [0, true, 2])
})

test('AU-3: another history since a checkpoint from elsewhere is a fork', async (context) => {
  const other = aTrail({ events: 12, checkpoints: [12], signer, otherFrom: 8 })
  const known = join(folder(context), 'kept.checkpoint')
  writeFileSync(known, notesOf(whole)[1] ?? '')
  const { code, stderr } = await causeway([
    'audit',
    'verify',
    file(context, linesOf(other.records)),
    '--checkpoint',
    known,
  ])
  assert.equal(code, 1)
  assert.match(stderr, /events 1 to 12 are not what was signed at 2026-11-22T10:00:12\.001Z \(fork\)/)
})

test('the trail of another installation is not taken for ours', async (context) => {
  const foreign = aTrail({ events: 3, checkpoints: [3] })
  const { code, stderr } = await causeway([
    'audit',
    'verify',
    file(context, linesOf(foreign.records)),
    '--key',
    firstKey,
  ])
  assert.equal(code, 1)
  assert.match(stderr, /line 1: the trail is of the installation with key [0-9a-f]{64}, not [0-9a-f]{64} \(foreign\)/)
})

test('a trail comes over standard input too, and one that is longer than the memory that there is', async (context) => {
  const before = process.env['NODE_OPTIONS']
  context.after(() => {
    if (before === undefined) delete process.env['NODE_OPTIONS']
    else process.env['NODE_OPTIONS'] = before
  })
  const long = linesOf(aTrail({ events: 50_000, checkpoints: [50_000], signer }).records).join('')
  process.env['NODE_OPTIONS'] = '--max-old-space-size=24 --max-semi-space-size=1'
  assert.ok(long.length > 30_000_000)
  const { code, stdout, stderr } = await causeway(['audit', 'verify', '-', '--json'], long)
  assert.equal(code, 0, stderr)
  assert.equal((JSON.parse(stdout.toString()) as TrailReport).events, 50_000)
})

test('PR-3: what a trail holds does not act on the terminal', async (context) => {
  const hostile = aTrail({
    events: 2,
    checkpoints: [],
    signer,
    entry: () => ({ actor: '\u001b[2J', object: '\r\nfake' }),
  })
  const lines = linesOf(hostile.records)
  const broken = [...lines.slice(0, 4), '{"\u001b[2J\u009b":1}\n', ...lines.slice(5)]
  const path = join(folder(context), 'tr\u001bail.ndjson')
  writeFileSync(path, broken.join(''))
  const { code, stderr } = await causeway(['audit', 'verify', path])
  assert.equal(code, 1)
  // oxlint-disable-next-line no-control-regex -- that is what must not be there
  assert.doesNotMatch(stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
})

const unusable: [args: string[], says: RegExp][] = [
  [['audit'], /audit verify FILE/],
  [['audit', 'forge', 'x'], /audit has no "forge"/],
  [['audit', 'verify'], /audit verify takes one FILE/],
  [['audit', 'verify', 'a', 'b'], /audit verify takes one FILE/],
  [['audit', 'verify', 'no-such-file'], /no-such-file can't be read \(ENOENT\)/],
  [['audit', 'verify', '/'], /\/ can't be read \(EISDIR\)/],
  [['audit', 'verify', 'x', '--checkpoint', 'no-such-file'], /no-such-file can't be read \(ENOENT\)/],
  [['audit', 'verify', 'x', '--checkpoint', 'package.json'], /package\.json holds no checkpoint/],
  [['audit', 'verify', 'x', '--key', 'ABC'], /--key takes the id of a key/],
  [['audit', 'verify', 'x', '--frob'], /--frob/],
]
for (const [args, says] of unusable) {
  test(`causeway ${args.join(' ')}: exit code 2`, async () => {
    const { code, stderr } = await causeway(args)
    assert.equal(code, 2)
    assert.match(stderr, says)
  })
}

test('a file that is no trail at all does not hold', async (context) => {
  const path = file(context, [readFileSync(new URL('../../package.json', import.meta.url), 'utf8')])
  const { code, stderr } = await causeway(['audit', 'verify', path])
  assert.equal(code, 1)
  assert.match(stderr, /line 1: the line is not one that an export writes \(malformed\)/)
  const empty = await causeway(['audit', 'verify', file(context, [])])
  assert.match(empty.stderr, /line 1: the trail has no end \(cut-off\)/)
})
