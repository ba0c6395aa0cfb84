// The whole corpus of real mail through the engine, as found and with the line ends of the wire. Files that are no messages (calendars,
// mailboxes, vectors, TNEF) go through too: calendars as the body of a message, the others as they are, for whatever they hold.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { simpleParser } from 'mailparser'
import type { ParsedMail } from 'mailparser'
import { normaliseDomain, normaliseLocalPart } from '../../rewrite-rules/addr-spec.ts'
import { readAddress, scanAddressList } from '../../rewrite-rules/address-list.ts'
import { findAddressField } from '../../rewrite-rules/header-fields.ts'
import {
  compileTable,
  DEFAULT_POLICY,
  emptyTable,
  fieldValue,
  Refusal,
  rewriteMessage,
  scanHeader,
  TableFault,
} from '../../rewrite-rules/index.ts'
import type { Direction, MappingTable, Report } from '../../rewrite-rules/index.ts'
import { SHARED, testShared } from '../harness/shared.ts'
import { cut, streamMessage } from '../harness/stream-message.ts'
import { sampleOf } from '../harness/thorough.ts'

const CORPUS = join(SHARED, 'corpus')
/** The corpus README: there the line ends are the point. */
const KEEP_LINE_ENDS = ['bare-cr', 'mixed-line-endings', 'line-ending-variant']
const REFUSALS = new Set(['552 5.3.4', '554 5.6.0', '451 4.6.0'])
/** Addresses that mailparser reads otherwise than they are compared here, and why; all else of these messages must be the same. */
const ADDRESSES_READ_OTHERWISE = new Map([
  [
    'messages/KDE+kmime__autotests__data__eai-punycode.eml',
    'a U-label, presented by an A-label: R20 takes both for one',
  ],
  [
    'messages/demisto+parse-emails__parse_emails__tests__test_data__test-unknown-8bit.eml',
    'an encoded-word as local part, which mailparser decodes: RFC 2047 §5 has none there (R44)',
  ],
  [
    'public-corpus/stdlib-js+datasets-spam-assassin__data__spam-1__00323.9e36bf05304c99f2133a4c03c49533a9.eml',
    'an encoded-word as local part, likewise',
  ],
  [
    'public-corpus/stdlib-js+datasets-spam-assassin__data__spam-2__01392.891b7eeda19704fc8a990e56e0b52f89.eml',
    'a trailing dot, which goes (E19)',
  ],
])

interface Sample {
  readonly name: string
  readonly tags: readonly string[]
  readonly kind: string
  readonly bytes: Buffer
}

const DIRECTIONS: readonly Direction[] = ['out', 'in']

function* samples(): Generator<Sample> {
  const manifest = JSON.parse(readFileSync(join(CORPUS, 'manifest.json'), 'utf8'))
  for (const { path, tags, kind } of manifest.files) {
    const found = readFileSync(join(CORPUS, path))
    for (const [how, bytes] of [
      ['as found', found],
      ['on the wire', withCrlf(found)],
    ] as const) {
      if (how === 'on the wire' && (bytes.equals(found) || KEEP_LINE_ENDS.some((tag) => tags.includes(tag)))) continue
      const lineBreak = bytes.includes('\r\n') ? '\r\n' : '\n'
      const head =
        kind === 'ics' ? `From: a@example.net${lineBreak}Content-Type: text/calendar${lineBreak}${lineBreak}` : ''
      yield {
        name: `${path} ${how}`,
        tags,
        kind,
        bytes: head === '' ? bytes : Buffer.concat([Buffer.from(head), bytes]),
      }
    }
  }
}

function withCrlf(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1')
}

interface Rewritten {
  readonly bytes: Buffer
  readonly report: Report
}

/** What becomes of a message, or `undefined` when it is refused, for one of the reasons of §12. */
function attempt(run: () => Rewritten): Rewritten | undefined {
  try {
    return run()
  } catch (error) {
    assert.ok(error instanceof Refusal, `thrown: ${String(error)}`)
    assert.ok(REFUSALS.has(`${error.code} ${error.status}`), `refused with ${error.code} ${error.status}`)
    return undefined
  }
}

const optionsFor = (direction: Direction, table: MappingTable) =>
  ({ direction, table, policy: DEFAULT_POLICY, smtpUtf8: false }) as const

/** Pieces of many sizes, the same in every run. */
function chunkSizes(seed: number): number[] {
  let state = seed
  const next = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return 1 + ((state >>> 8) % limit)
  }
  return Array.from({ length: 12 }, (_, i) => next(i % 3 === 0 ? 5 : 3000))
}

/** Runs `check` on every file and says for which it failed. */
function forAll(context: TestContext, each: Iterable<Sample>, check: (sample: Sample, index: number) => void): void {
  const failures: string[] = []
  let count = 0
  for (const sample of each) {
    try {
      check(sample, count++)
    } catch (error) {
      failures.push(`${sample.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  context.diagnostic(`${count} messages`)
  assert.deepEqual(failures.slice(0, 20), [], `${failures.length} of ${count} failed`)
}

testShared('an empty table: byte-identical in both directions, at any chunking', (context) => {
  const table = emptyTable('p1')
  let refused = 0
  forAll(context, samples(), ({ bytes }, index) => {
    for (const direction of DIRECTIONS) {
      const whole = attempt(() => rewriteMessage(bytes, optionsFor(direction, table)))
      const sizes = bytes.length < 3000 && index % 10 === 0 ? [1] : chunkSizes(index)
      const streamed = attempt(() => streamMessage(cut(bytes, sizes), optionsFor(direction, table)))
      if (whole === undefined) refused++
      else assert.ok(whole.bytes.equals(bytes), `${direction}: changed`)
      assert.deepEqual(streamed?.report, whole?.report)
      assert.ok(streamed === undefined || streamed.bytes.equals(bytes), `${direction}: changed in pieces`)
    }
  })
  context.diagnostic(`${refused} refusals`)
})

/** The addresses of all messages and their presented ones, by which a message can be read backwards. */
interface OwnTable {
  readonly table: MappingTable
  readonly originals: readonly string[]
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const ADDRESS = new RegExp(`[a-z0-9!#$%&'*+/=?^_{|}~.-]{1,64}@(?:${LABEL}\\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?`, 'gi')
const BASE64_LINES = /(?:^[A-Za-z0-9+/]{40,}={0,2}\r?\n)+/gm

/** One table for all, in which every address of every message has a presented one of its own. */
function ownTable(): OwnTable {
  const found = new Set<string>()
  const harvest = (text: string): void => {
    for (const [address] of text.matchAll(ADDRESS)) found.add(address.toLowerCase().replace(/^(?:mailto|smtp):/, ''))
  }
  for (const { name, tags, bytes } of samples()) {
    if (name.endsWith('on the wire')) continue
    const text = bytes.toString('latin1')
    harvest(text)
    if (!tags.includes('calendar')) continue
    harvest(text.replaceAll(/=\r?\n/g, '').replaceAll('=40', '@'))
    for (const [lines] of text.matchAll(BASE64_LINES)) harvest(unfolded(Buffer.from(lines, 'base64')))
  }
  let originals = [...found].filter((address) => address.length <= 254)
  for (;;) {
    const known = originals.map((address, i) => ({
      known: [address, `new${i}@presented.example`],
      presented: `new${i}@presented.example`,
      mailbox: address,
    }))
    try {
      const table = compileTable({ format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries: known })
      return { table, originals }
    } catch (error) {
      // Not all that looks like an address may be in a table.
      assert.ok(error instanceof TableFault, String(error))
      const faulty = new Set(error.faults.map(({ path }) => Number(/\d+/.exec(path)?.[0])))
      const rest = originals.filter((_, i) => !faulty.has(i))
      assert.ok(rest.length < originals.length, error.message)
      originals = rest
    }
  }
}

/** `text` with presented addresses turned back, in lower case. */
function turnedBack(text: string, { originals }: OwnTable): string {
  return text
    .replace(/new(\d+)@presented\.example/gi, (presented, index: string) => originals[Number(index)] ?? presented)
    .toLowerCase()
}

/** Class R fields: name and addresses in the form in which addresses are compared, all else in lower case without white space. */
function receivingSide(message: Buffer): string[] {
  const header = scanHeader(message)
  return header.fields
    .filter(({ name }) => findAddressField(name)?.class === 'R')
    .map((field) => {
      const { addresses } = scanAddressList(header.text, field.valueStart, field.end)
      const named = addresses.map((found) => {
        const address = readAddress(header.text, found, 'none')
        return (
          address &&
          `${normaliseLocalPart(address.local)}@${normaliseDomain(address.domain) ?? address.domain.toLowerCase()}`
        )
      })
      return `${field.name}: ${named.join()}`
    })
}

testShared('a table of the messages’ own addresses: any chunking, twice, and out-then-in', (context) => {
  const count = { refused: 0, changed: 0, parts: 0 }
  const own = ownTable()
  context.diagnostic(`${own.originals.length} addresses`)
  forAll(context, samples(), ({ bytes }, index) => {
    const out = attempt(() => rewriteMessage(bytes, optionsFor('out', own.table)))
    const streamed = attempt(() =>
      streamMessage(cut(bytes, chunkSizes(index)), optionsFor('out', own.table), index % 2 === 0 ? 0 : undefined),
    )
    assert.deepEqual(streamed?.report, out?.report)
    if (out === undefined) {
      count.refused++
      return
    }
    assert.ok(streamed?.bytes.equals(out.bytes) === true, 'other bytes in pieces')
    if (out.report.changeCount > 0) count.changed++
    if (out.report.changes.some(({ where }) => where.startsWith('part:'))) count.parts++
    const again = rewriteMessage(out.bytes, optionsFor('out', own.table))
    assert.equal(again.report.changeCount, 0, 'R4: a second time nothing changes')
    assert.ok(again.bytes.equals(out.bytes), 'R4')
    const back = rewriteMessage(out.bytes, optionsFor('in', own.table))
    assert.deepEqual(receivingSide(back.bytes), receivingSide(bytes))
    // `in` leaves originators and what is not in the table: From of the way out.
    assert.deepEqual(fromFields(back.bytes), fromFields(out.bytes))
  })
  context.diagnostic(JSON.stringify(count))
  assert.ok(count.changed > 5000 && count.parts > 300, 'the table matched')
})

function fromFields(message: Buffer): string[] {
  const header = scanHeader(message)
  return header.fields.filter(({ name }) => name === 'from').map((field) => fieldValue(header, field))
}

/** What mailparser says of a message, with presented addresses turned back where it shows addresses. */
function describe(mail: ParsedMail, own: OwnTable): { addresses: string; [part: string]: unknown } {
  const back = (value: unknown): string => turnedBack(JSON.stringify(value) ?? '', own)
  return {
    // Its own parser makes other names of addresses in broken fields than of presented ones: addresses only.
    addresses: back([mail.from, mail.to, mail.cc, mail.bcc, mail.replyTo].map(addressesOf)),
    subject: mail.subject,
    date: mail.date,
    messageId: mail.messageId,
    references: mail.references,
    text: turnedBack(mail.text ?? '', own),
    html: mail.html,
    attachments: mail.attachments.map(({ contentType, filename, contentDisposition, cid, content }) => ({
      contentType,
      filename,
      contentDisposition,
      cid,
      content: /calendar|ics|notification|status/.test(contentType)
        ? turnedBack(unfolded(content), own)
        : content.toString('latin1'),
    })),
  }
}

type Addresses = ParsedMail['from'] | ParsedMail['to']

function addressesOf(field: Addresses): (string | undefined)[] {
  const objects = field === undefined ? [] : Array.isArray(field) ? field : [field]
  return objects.flatMap(({ value }) =>
    value.flatMap((each) => each.group?.map(({ address }) => address) ?? [each.address]),
  )
}

function unfolded(content: Buffer): string {
  return content
    .toString('latin1')
    .replace(/\r?\n[ \t]/g, '')
    .replaceAll(/%40(?=[a-z0-9.-]+$)/gim, '@')
}

/** The content lines of all calendars of a message. */
function calendarsOf(mail: ParsedMail): string[][] {
  return mail.attachments
    .filter(({ contentType }) => /calendar|\bics/.test(contentType))
    .map(({ content }) => unfolded(content).toLowerCase().split(/\r?\n/))
}

/**
 * R62: after `in` the receiving side is as it was, the originator's as it came in. All else never changed.
 * @returns how many lines were restored
 */
function assertRestored(was: readonly string[], is: readonly string[], isBack: readonly string[]): number {
  const uri = (line: string) => line.slice(line.lastIndexOf(':'))
  let organizers = new Set<string>()
  let isToOrganizer = false
  let restored = 0
  for (const [i, line] of was.entries()) {
    const name = /^[a-z-]*/.exec(line)?.[0]
    if (line.startsWith('begin:vcalendar')) isToOrganizer = false
    const component = /^begin:(v(?:event|todo|journal|freebusy))\s*$/.exec(line)?.[1]
    if (component !== undefined) {
      const end = was.findIndex((other, at) => at > i && other.startsWith(`end:${component}`))
      organizers = new Set(
        was
          .slice(i, end)
          .filter((other) => other.startsWith('organizer'))
          .map(uri),
      )
    }
    if (name === 'method') isToOrganizer = /^method:(?:reply|refresh|counter)\s*$/.test(line)
    // An attendee that is the organizer too is of his side.
    const isReceiving: boolean = isToOrganizer
      ? name === 'organizer'
      : name === 'attendee' && !organizers.has(uri(line))
    assert.equal(isBack[i], isReceiving ? line : is[i], name)
    if (is[i] !== line && isBack[i] === line) restored++
  }
  return restored
}

/** It takes most of the time of these tests. */
const MAILPARSER_EVERY = 3
const PARSER_OPTIONS = { skipHtmlToText: true, skipTextToHtml: true, skipTextLinks: true, skipImageLinks: true }

testShared(
  'mailparser reads the same message before and after, but for the addresses; `in` restores the receiving side of a calendar',
  async (context) => {
    const failures: string[] = []
    const count = { parsed: 0, parts: 0, restored: 0 }
    const own = ownTable()
    // For a message without a date mailparser takes the present.
    context.mock.timers.enable({ apis: ['Date'], now: 0 })
    const all = [...samples()]
    for (const index of sampleOf(all.length, MAILPARSER_EVERY)) {
      const { name, kind, bytes } = all[index] ?? assert.fail('unreachable')
      if (kind !== 'eml' && kind !== 'ics') continue
      const before = await simpleParser(bytes, PARSER_OPTIONS)
      const out = attempt(() => rewriteMessage(bytes, optionsFor('out', own.table)))
      if (out === undefined) continue
      const after = await simpleParser(out.bytes, PARSER_OPTIONS)
      count.parsed++
      try {
        const isReadOtherwise = ADDRESSES_READ_OTHERWISE.has(name.replace(/ (as found|on the wire)$/, ''))
        const [said, saidBefore] = [describe(after, own), describe(before, own)]
        if (isReadOtherwise) {
          assert.notEqual(said.addresses, saidBefore.addresses, 'no exception is needed any more')
          said.addresses = saidBefore.addresses
        }
        assert.deepEqual(said, saidBefore)
        if (out.report.changes.some(({ where }) => where.startsWith('part:'))) {
          count.parts++
          const back = rewriteMessage(out.bytes, optionsFor('in', own.table))
          const [was, is, isBack] = [before, after, await simpleParser(back.bytes, PARSER_OPTIONS)].map(calendarsOf)
          for (const [i, lines] of (was ?? []).entries())
            count.restored += assertRestored(lines, is?.[i] ?? [], isBack?.[i] ?? [])
        }
      } catch (error) {
        failures.push(`${name}: ${error instanceof Error ? error.message.slice(0, 600) : String(error)}`)
      }
    }
    context.diagnostic(JSON.stringify(count))
    assert.deepEqual(failures.slice(0, 20), [], `${failures.length} of ${count.parsed} failed`)
    assert.ok(count.restored > 100, 'there was something to restore')
  },
)
