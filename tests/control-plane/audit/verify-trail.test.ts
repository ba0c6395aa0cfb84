// AU-3: whatever somebody does to an exported trail is found, and the first place named. Exhaustive over a small trail, at random over others.
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from '../../../control-plane/audit/audit.ts'
import { makeAuditKey } from '../../../control-plane/audit/audit-key.ts'
import type { AuditKey } from '../../../control-plane/audit/audit-key.ts'
import type { TrailEvent, TrailRecord } from '../../../control-plane/audit/trail.ts'
import type { TrailFaultCode, TrailReport, VerifyOptions } from '../../../control-plane/audit/verify-trail.ts'
import { aNote, aSigner, aTrail, linesOf, verifyBytes, verifyRecords } from './a-trail.ts'
import { isLong, sampleOf } from '../../harness/thorough.ts'

const signer = aSigner(1)
const whole = aTrail({ events: 7, checkpoints: [3, 6], signer })
const lines = linesOf(whole.records)
// head, 2 keys, events 1 to 3, checkpoint, events 4 to 6, checkpoint, event 7, end
const KINDS = whole.records.map(({ kind }) => kind)

/** Sequence of the event on each line (from 0); undefined where there is none. */
const SEQUENCES = (() => {
  let sequence = 0
  return KINDS.map((kind) => (kind === 'event' ? ++sequence : undefined))
})()

/** Sequence that is due when line `index` is read. */
const dueAt = (index: number): number => SEQUENCES.slice(0, index).filter((each) => each !== undefined).length + 1

test('AU-3: a trail that nobody touched holds, and says how far it is proven', async () => {
  const report = await verifyRecords(whole.records)
  assert.deepEqual(report, {
    holds: true,
    origin: `causeway-audit/1/${signer.keys[0]?.id}/org_0123456789abcdefghjkmnpq`,
    chain: 'org_0123456789abcdefghjkmnpq',
    firstKey: signer.keys[0]?.id ?? '',
    from: 1,
    size: 7,
    events: 7,
    redacted: 0,
    checkpoints: 2,
    compared: 0,
    provenTo: 6,
    provenAt: '2026-11-22T10:00:06.001Z',
  } satisfies TrailReport)
})

test('AU-3: a change of any single octet is found on its line, and at its event', async () => {
  let offset = 0
  let tried = 0
  for (const [index, line] of lines.entries()) {
    const length = Buffer.byteLength(line)
    for (const at of sampleOf(length, 4)) {
      // One bit of each octet; which one differs from octet to octet, so that letters become other letters, controls and broken UTF-8.
      const flip = [0x01, 0x20, 0x80, 0x04][at % 4] ?? 0x01
      const bytes = Buffer.from(lines.join(''))
      bytes[offset + at] = (bytes[offset + at] ?? 0) ^ flip
      const { holds, fault } = await verifyBytes(bytes)
      const what = `line ${index + 1}, octet ${at}, bit ${flip}: ${fault?.code} at line ${fault?.line}`
      assert.equal(holds, false, what)
      if (KINDS[index] === 'trail') {
        // The head says what others must fit to: how many keys, whose, and after what.
        assert.ok([1, 2, 3, 4].includes(fault?.line ?? 0), what)
      } else assert.equal(fault?.line, index + 1, what)
      if (SEQUENCES[index] !== undefined) assert.equal(fault?.event, SEQUENCES[index], what)
      tried++
    }
    offset += length
  }
  assert.ok(tried > (isLong ? 5_000 : 1_200), 'a loop over nothing would prove nothing')
})

test('AU-3: a line that is taken away is missed where it stood', async () => {
  for (const [index, kind] of KINDS.entries()) {
    const { holds, fault } = await verifyBytes(lines.toSpliced(index, 1).join(''))
    assert.equal(holds, false, `line ${index + 1}, ${kind}`)
    if (kind === 'event') assert.equal(fault?.event, SEQUENCES[index], `event ${SEQUENCES[index]}`)
    else if (kind === 'checkpoint')
      assert.equal(fault?.checkpoint, dueAt(index) - 1, 'the checkpoint that is not there')
    else assert.equal(fault?.line, index + 1)
  }
})

test('AU-3: any two lines that change places are found at the first of them', async () => {
  for (const [a, first] of lines.entries()) {
    for (let b = a + 1; b < lines.length; b++) {
      const swapped = lines.with(a, lines[b] ?? '').with(b, first)
      const { holds, fault } = await verifyBytes(swapped.join(''))
      const what = `lines ${a + 1} and ${b + 1}: ${fault?.code} at ${fault?.line}`
      assert.equal(holds, false, what)
      // Without a checkpoint the events after it are as they were: it is missed where it turns up, or where the next one follows.
      if (KINDS[a] === 'checkpoint') assert.ok((fault?.line ?? 0) > a && (fault?.line ?? 0) <= b + 1, what)
      else assert.equal(fault?.line, a + 1, what)
      if (SEQUENCES[a] !== undefined) assert.equal(fault?.event, SEQUENCES[a], what)
    }
  }
})

test('AU-3: a line that stands twice, anywhere, is found at the second', async () => {
  for (const [index, line] of lines.entries()) {
    for (let place = index + 1; place <= lines.length; place++) {
      const { holds, fault } = await verifyBytes(lines.toSpliced(place, 0, line).join(''))
      const what = `line ${index + 1} again as line ${place + 1}: ${fault?.code}`
      assert.equal(holds, false, what)
      assert.equal(fault?.line, place + 1, what)
      if (KINDS[index] === 'event' && place > 2 && place < lines.length) assert.equal(fault?.event, dueAt(place), what)
    }
  }
})

test('AU-3: a file that ends anywhere before its end is cut off there', async () => {
  const bytes = Buffer.from(lines.join(''))
  const lineEnds = [...bytes.keys()].filter((at) => bytes[at] === 0x0a || bytes[at - 1] === 0x0a)
  const lengths = new Set([
    ...lineEnds,
    ...Array.from({ length: Math.floor(bytes.length / 7) }, (_, index) => index * 7),
  ])
  for (const length of lengths) {
    const { holds, fault } = await verifyBytes(bytes.subarray(0, length))
    assert.equal(holds, false, `${length} octets`)
    const wholeLines = bytes.subarray(0, length).toString('latin1').split('\n').length - 1
    assert.equal(fault?.line, wholeLines + 1, `${length} octets`)
  }
})

/** What somebody who can write the database does: all hashes fit again. */
const rewritten = (otherFrom: number, checkpoints: readonly number[]) =>
  aTrail({ events: 7, checkpoints, signer, otherFrom }).records

/** `records` with the checkpoints of the true trail. */
function withTrueCheckpoints(records: readonly TrailRecord[]): TrailRecord[] {
  const notes = whole.records.filter(({ kind }) => kind === 'checkpoint')
  let next = 0
  return records.map((record) => (record.kind === 'checkpoint' ? (notes[next++] ?? record) : record))
}

test('AU-3: a chain that was written anew does not fit to what was signed: the events since the last checkpoint that fits are named', async () => {
  const places: [otherFrom: number, event: number, until: number][] = [
    [1, 1, 3],
    [3, 1, 3],
    [4, 4, 6],
    [6, 4, 6],
  ]
  for (const [otherFrom, event, until] of places) {
    const { holds, fault } = await verifyRecords(withTrueCheckpoints(rewritten(otherFrom, [3, 6])))
    assert.equal(holds, false)
    assert.deepEqual([fault?.code, fault?.event, fault?.until, fault?.checkpoint], ['fork', event, until, until])
  }
})

test('AU-3: what stands behind the last checkpoint can be written anew unseen, and the report says that it is not proven', async () => {
  const { holds, provenTo, size } = await verifyRecords(withTrueCheckpoints(rewritten(7, [3, 6])))
  assert.deepEqual([holds, provenTo, size], [true, 6, 7])
})

const noteOf = (made: { records: readonly TrailRecord[] }, which: number): string => {
  const record = made.records.filter((each) => each.kind === 'checkpoint')[which]
  assert.ok(record !== undefined)
  return record.note
}

test('AU-3: with a checkpoint from elsewhere a shorter, another, or a foreign trail is found', async () => {
  const longer = aTrail({ events: 9, checkpoints: [3, 6, 9], signer })
  const other = aTrail({ events: 7, checkpoints: [3, 5, 7], signer, otherFrom: 5 })
  const stranger = aTrail({ events: 7, checkpoints: [7], signer: aSigner() })
  const otherChain = aTrail({ events: 7, checkpoints: [7], signer, chain: 'installation' })
  const cases: [known: string[], code: TrailFaultCode | undefined, event: number | undefined, why: string][] = [
    [[noteOf(whole, 0), noteOf(whole, 1)], undefined, undefined, 'the same'],
    [[noteOf(longer, 2)], 'truncated', 8, 'events 8 and 9 were signed'],
    [[noteOf(other, 1)], 'fork', 4, 'event 5 was another one; 4 may be'],
    [[noteOf(other, 2)], 'fork', 7, 'event 7 was another one, or 5: proven are 6'],
    [[noteOf(stranger, 0)], 'foreign', undefined, 'another installation'],
    [[noteOf(otherChain, 0)], 'foreign', undefined, 'another organisation'],
    [[noteOf(whole, 0).replace('previous 0', 'previous 1')], 'checkpoint', undefined, 'the given one is forged'],
    [['hello'], 'checkpoint', undefined, 'the given one is none'],
    [[noteOf(longer, 2), aNote(9, Buffer.alloc(32, 1), 6, signer)], 'fork', 9, 'two given ones say two things'],
  ]
  for (const [known, code, event, why] of cases) {
    const { holds, fault, compared } = await verifyRecords(whole.records, { known })
    assert.deepEqual([holds, fault?.code, fault?.event], [code === undefined, code, event], why)
    if (code === undefined) assert.equal(compared, known.length)
  }
})

test('AU-3: two checkpoints of one size in a trail are a fork', async () => {
  const at = whole.records.findIndex(({ kind }) => kind === 'checkpoint')
  const forked = aNote(3, Buffer.alloc(32, 7), 0, signer)
  const { fault } = await verifyRecords(whole.records.toSpliced(at + 1, 0, { kind: 'checkpoint', note: forked }))
  assert.deepEqual([fault?.code, fault?.line, fault?.checkpoint], ['fork', at + 2, 3])
})

test('AU-3: who knows the first key is not shown the trail of another installation', async () => {
  const options = (firstKey: string): VerifyOptions => ({ firstKey })
  assert.equal((await verifyRecords(whole.records, options(signer.keys[0]?.id ?? ''))).holds, true)
  // The second key is ours too, but a stranger could have signed it: only the first one stands in the origin.
  const { fault } = await verifyRecords(whole.records, options(signer.keys[1]?.id ?? ''))
  assert.equal(fault?.code, 'foreign')
})

test('KM-2: keys follow one another by signature', async () => {
  const ours = aSigner()
  const stranger = aSigner(1)
  const withKeys = (keys: readonly AuditKey[]) =>
    aTrail({ events: 1, checkpoints: [], signer: { ...ours, keys } }).records
  const cases: [records: readonly TrailRecord[], line: number, why: string][] = [
    [aTrail({ events: 2, checkpoints: [1], signer }).records.toSpliced(2, 1), 3, 'the second of two keys is not there'],
    [withKeys([...ours.keys, ...stranger.keys.slice(1)]), 3, 'the second key is signed by another first one'],
    [withKeys(stranger.keys.slice(1)), 2, 'the first key is a second one'],
    [withKeys(stranger.keys.toReversed()), 2, 'in the wrong order'],
    [withKeys([]), 1, 'no key at all'],
  ]
  for (const [records, line, why] of cases) assert.equal((await verifyRecords(records)).fault?.line, line, why)
})

test('KM-2: a checkpoint by an older key after one by a newer key is refused: a stolen retired key rewrites nothing', async () => {
  const old = aSigner()
  const { key, privateKey } = makeAuditKey(old, '2026-11-23T00:00:00.000Z')
  const both = { keys: [...old.keys, key], privateKey }
  const inOrder = aTrail({ events: 4, checkpoints: [2, 4], signer: both, signers: { 2: old } })
  assert.equal((await verifyRecords(inOrder.records)).holds, true)
  const against = aTrail({ events: 4, checkpoints: [2, 4], signer: both, signers: { 4: old } })
  const { fault } = await verifyRecords(against.records)
  assert.deepEqual([fault?.code, fault?.checkpoint], ['checkpoint', 4])
})

test('AU-4: a cleared payload leaves the trail whole, a changed one does not', async () => {
  const cleared = whole.records.map((record) => (record.kind === 'event' ? { ...record, payload: null } : record))
  const report = await verifyRecords(cleared)
  assert.deepEqual([report.holds, report.redacted, report.events], [true, 7, 7])
  const changed = whole.records.map((record) =>
    record.kind === 'event' && record.header.includes('"sequence":5')
      ? { ...record, payload: canonicalJson({ salt: 'salt-5', sourceAddress: '192.0.2.2' }) }
      : record,
  )
  const { fault } = await verifyRecords(changed)
  assert.deepEqual([fault?.code, fault?.event], ['changed', 5])
})

test('AU-3: a part of a trail proves itself by the next checkpoint, whatever hash it claims to follow', async () => {
  const part = (previous: string): TrailRecord[] => {
    const [head, ...rest] = whole.records
    assert.ok(head?.kind === 'trail')
    const keys = rest.filter(({ kind }) => kind === 'key')
    const from = rest.findIndex((record) => record.kind === 'event' && record.header.includes('"sequence":4'))
    return [{ ...head, from: 4, previous }, ...keys, ...rest.slice(from)]
  }
  const before = whole.events[2]?.hash.toString('hex') ?? ''
  const report = await verifyRecords(part(before))
  assert.deepEqual([report.holds, report.from, report.size, report.provenTo], [true, 4, 7, 6])
  const { fault } = await verifyRecords(part('0'.repeat(64)))
  assert.deepEqual([fault?.code, fault?.event], ['changed', 4])
})

test('AU-3: random trails with random damage to one event are found at that event', async () => {
  const plan = fc.record({
    events: fc.integer({ min: 1, max: 40 }),
    every: fc.integer({ min: 1, max: 10 }),
    pick: fc.nat(),
    damage: fc.constantFrom('header', 'payload', 'hash', 'gone', 'twice'),
    texts: fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 5 }),
  })
  await fc.assert(
    fc.asyncProperty(plan, async ({ events, every, pick, damage, texts }) => {
      const sizes = Array.from({ length: events }, (_, index) => index + 1).filter((size) => size % every === 0)
      const made = aTrail({
        events,
        checkpoints: sizes,
        signer,
        entry: (sequence) => ({ actor: texts[sequence % texts.length] ?? '', object: texts[0] ?? '' }),
      })
      assert.equal((await verifyRecords(made.records)).holds, true)
      const sequence = (pick % events) + 1
      const at = made.records.findIndex(
        (record) =>
          record.kind === 'event' && (JSON.parse(record.header) as { sequence: number }).sequence === sequence,
      )
      const event = made.records[at] as TrailEvent
      const header = JSON.parse(event.header) as Record<string, unknown>
      const damaged: Record<typeof damage, () => TrailRecord[]> = {
        header: () => made.records.with(at, { ...event, header: canonicalJson({ ...header, actor: 'key:other' }) }),
        payload: () => made.records.with(at, { ...event, payload: `${event.payload} ` }),
        hash: () => made.records.with(at, { ...event, hash: hash('sha256', event.hash, 'hex') }),
        gone: () => made.records.toSpliced(at, 1),
        twice: () => made.records.toSpliced(at, 0, event),
      }
      const { holds, fault } = await verifyRecords(damaged[damage]())
      assert.equal(holds, false)
      assert.equal(fault?.event, damage === 'twice' ? sequence + 1 : sequence)
    }),
    { numRuns: 150 },
  )
})

test('AU-3: no file whatever makes the verifier throw', async () => {
  const record = fc.oneof(
    fc.constantFrom(...lines),
    fc.json().map((text) => `${text}\n`),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      '{"kind":"__proto__"}\n',
      '{"kind":"event","__proto__":1,"header":"","payload":null}\n',
      '{"kind":"key","ordinal":1,"id":"","publicKey":"AA==","createdAt":"x","signature":""}\n',
      'null\n',
      '\n',
    ),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(record, { maxLength: 20 }), fc.boolean(), async (parts, hasHead) => {
      const text = (hasHead ? lines.slice(0, 3).join('') : '') + parts.join('')
      const report = await verifyBytes(text)
      assert.equal(typeof report.holds, 'boolean')
      assert.ok(!report.holds || text === lines.join(''))
    }),
    { numRuns: 300 },
  )
})
