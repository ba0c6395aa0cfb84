// `npm run fuzz [-- --seconds N --seed N]`: messages made of real ones by accident, against what must hold of any message. Without the
// corpus beside the checkout it starts from its own few. What fails is saved under the system's temporary folder, and the exit code is 1.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { compileTable, DEFAULT_POLICY, Refusal, rewriteMessage } from '../rewrite-rules/index.ts'
import type { MessageOptions, Policy, Report } from '../rewrite-rules/index.ts'
import { EXAMPLE_TABLE } from './harness/example-table.ts'
import { SHARED } from './harness/shared.ts'
import { cut, streamMessage } from './harness/stream-message.ts'

const DEFAULT_SECONDS = 600
const MAX_SEED_BYTES = 64 * 1024
const MAX_INPUT_BYTES = 256 * 1024
const REFUSALS = new Set(['552 5.3.4', '554 5.6.0', '451 4.6.0'])
/** One in so many inputs is timed at four times its size. */
const TIMED_SHARE = 200
// For 240 kB. Under this the clock sees the garbage collector and other processes; what is quadratic takes seconds.
const NEGLIGIBLE_MS = 15

/** Mulberry32: numbers in [0, 1), the same for a seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const INVITE =
  'BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nORGANIZER;CN="alice@contoso.com";SENT-BY="mailto:bob@contoso.com":mailto:alice@contoso.com\r\nATTENDEE;CN=Jürgen;DELEGATED-TO="mailto:bob@contoso.com","mailto:dana@example.net":MAILTO:juergen@xn--mnch\r\n en-3ya.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n'
const DSN =
  'Reporting-MTA: dns;mail.contoso.com\r\n\r\nOriginal-Recipient: rfc822;alice@contoso.com\r\nFinal-Recipient: utf-8; ali\\x{63}e@contoso.com\r\nAction: failed\r\n'
const HEADER =
  'From: "alice@contoso.com" <alice@contoso.com>\r\nTo: Team:alice+x@contoso.com, Bob <bob@contoso.com>;, "john smith"@contoso.com\r\nCc: ci@build7.lab.contoso.com (x), alice @ contoso . com\r\nList-Post: <mailto:sales%40contoso.com>\r\n'

const OWN: readonly string[] = [
  `${HEADER}\r\nhello alice@contoso.com\r\n`,
  `${HEADER}Content-Type: text/calendar\r\n\r\n${INVITE}`,
  `${HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary="c d"\r\n\r\n--c d\r\n\r\ntext\r\n--c d\r\nContent-Type: text/calendar; charset=utf-8; method=REPLY\r\nContent-MD5: x\r\n\r\n${INVITE}\r\n--c d--\r\n--b\r\nContent-Type: application/ics\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from(INVITE).toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n--b--\r\n`,
  `${HEADER}Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n${DSN}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n${HEADER}\r\n--b--\r\n`,
  `${HEADER}Content-Type: text/calendar; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n${INVITE.replaceAll('=', '=3D').replace('Jürgen', 'J=C3=BCrgen').replaceAll('contoso', 'con=\r\ntoso')}`,
  `${HEADER}Content-Type: text/calendar; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from(`\ufeff${INVITE}`, 'utf16le').toString('base64')}`,
  `${HEADER}Content-Type: text/calendar; charset=iso-2022-jp\r\n\r\n${INVITE.replace('Jürgen', '"\x1b$B;CN=@@@@\x1b(B"')}`,
  `${HEADER}Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Type: text/calendar\r\n\r\n${INVITE}\r\n--s--\r\n`,
]

const TOKENS: readonly string[] = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '\n\n',
  ' ',
  '\t',
  '\r\n ',
  '\0',
  '\xff',
  '\xc3\xbc',
  ':',
  ';',
  ',',
  '<',
  '>',
  '(',
  ')',
  '"',
  '\\',
  '@',
  '=',
  '=\r\n',
  '=3D',
  '%40',
  '--',
  '-',
  '+',
  '.',
  'alice@contoso.com',
  'alice.smith@fabrikam.com',
  'asmith+tag@contoso.com',
  'x@corp.contoso.com',
  'x@corp.fabrikam.com',
  'juergen@m\xc3\xbcnchen.example',
  'mailto:',
  'From: ',
  'To: ',
  'Cc: ',
  'Content-Type: ',
  'Content-Type: text/calendar\r\n',
  'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n',
  'Content-Transfer-Encoding: base64\r\n',
  'Content-Transfer-Encoding: quoted-printable\r\n',
  'charset=utf-16le',
  'charset=shift_jis',
  'boundary=',
  'boundary*0=',
  '\r\n--b\r\n',
  '\r\n--b--\r\n',
  'BEGIN:VCALENDAR\r\n',
  'END:VCALENDAR\r\n',
  'METHOD:REPLY\r\n',
  'ATTENDEE:mailto:',
  'ORGANIZER;CN=',
  ';SENT-BY=',
  'VERSION:1.0\r\n',
  'Final-Recipient: rfc822;',
  '=?utf-8?Q?',
  '?=',
  '\x1b$B',
  '\x1b(B',
  'X'.repeat(1000),
]

function seeds(): Buffer[] {
  const own = OWN.map((text) => Buffer.from(text))
  const corpus = join(SHARED, 'corpus')
  if (!existsSync(corpus)) return own
  const manifest = JSON.parse(readFileSync(join(corpus, 'manifest.json'), 'utf8'))
  const files: Buffer[] = manifest.files
    .filter(
      ({ bytes, kind }: { bytes: number; kind: string }) =>
        bytes <= MAX_SEED_BYTES && (kind === 'eml' || kind === 'ics'),
    )
    .map(({ path, kind }: { path: string; kind: string }) => {
      const bytes = readFileSync(join(corpus, path))
      return kind === 'ics' ? Buffer.concat([Buffer.from('Content-Type: text/calendar\r\n\r\n'), bytes]) : bytes
    })
  return [...own, ...own, ...files]
}

class Mutator {
  readonly #random: () => number
  readonly #seeds: readonly Buffer[]

  constructor(random: () => number, all: readonly Buffer[]) {
    this.#random = random
    this.#seeds = all
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)]
    if (picked === undefined) throw new Error('unreachable: nothing to pick from')
    return picked
  }

  next(): Buffer {
    let bytes: Buffer = Buffer.from(this.pick(this.#seeds))
    // Half of all messages have an own one's addresses, so that there is something to rewrite.
    if (this.#random() < 0.5) bytes = Buffer.concat([Buffer.from(HEADER), bytes])
    if (this.#random() < 0.3) bytes = Buffer.from(bytes.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1')
    for (let i = this.below(8); i >= 0; i--) bytes = this.#mutate(bytes)
    return bytes.subarray(0, MAX_INPUT_BYTES)
  }

  #mutate(bytes: Buffer): Buffer {
    const start = this.below(bytes.length + 1)
    const end = Math.min(bytes.length, start + this.below(this.#random() < 0.8 ? 40 : 4000))
    const before = bytes.subarray(0, start)
    const range = bytes.subarray(start, end)
    const after = bytes.subarray(end)
    const token = Buffer.from(this.pick(TOKENS), 'latin1')
    switch (this.below(8)) {
      case 0:
        return Buffer.concat([before, after])
      case 1:
        return Buffer.concat([before, token, bytes.subarray(start)])
      case 2:
        return Buffer.concat([before, token, after])
      case 3:
        return Buffer.concat([
          before,
          ...Array.from({ length: 1 + this.below(this.#random() < 0.9 ? 3 : 60) }, () => range),
          bytes.subarray(start),
        ])
      case 4: {
        const other = this.pick(this.#seeds)
        return Buffer.concat([before, other.subarray(this.below(other.length))])
      }
      case 5: {
        const copy = Buffer.from(bytes)
        if (copy.length > 0) copy[this.below(copy.length)] = this.below(256)
        return copy
      }
      case 6:
        return Buffer.concat([before, ...Array.from({ length: this.below(30) }, () => token), after])
      default: {
        const to = this.below(bytes.length + 1)
        const rest = Buffer.concat([before, after])
        return Buffer.concat([rest.subarray(0, to), range, rest.subarray(to)])
      }
    }
  }
}

interface Rewritten {
  readonly bytes: Buffer
  readonly report: Report
}

/** @returns the refusal as text when there is one */
function attempt(run: () => Rewritten): Rewritten | string {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const text = `${error.code} ${error.status}`
    assert.ok(REFUSALS.has(text), `refused with ${text}`)
    return text
  }
}

const table = compileTable(EXAMPLE_TABLE)
/** Of addresses that no message has. */
const foreignTable = compileTable({
  format: 'causeway-mapping-table/1',
  project: 'p1',
  version: 1,
  entries: [
    { known: ['a@never-1.invalid', 'a@never-2.invalid'], presented: 'a@never-2.invalid', mailbox: 'a@never-1.invalid' },
  ],
  domainRules: [{ from: 'never-3.invalid', to: 'never-4.invalid', direction: 'both' }],
})

function check(input: Buffer, mutator: Mutator): void {
  const policy: Policy = {
    ...DEFAULT_POLICY,
    ...mutator.pick<Partial<Policy>>([
      {},
      {},
      { signed: 'bypass' },
      { displayNameAddress: false },
      { inHeaders: 'envelope-only' },
    ]),
  }
  const options: MessageOptions = {
    direction: mutator.pick(['out', 'in'] as const),
    table,
    policy,
    smtpUtf8: mutator.below(4) === 0,
  }
  const untouched = attempt(() => rewriteMessage(input, { ...options, table: foreignTable }))
  assert.ok(typeof untouched === 'string' || untouched.bytes.equals(input), 'R46: changed without a match')
  const once = attempt(() => rewriteMessage(input, options))
  const sizes = Array.from({ length: 5 }, () => 1 + mutator.below(mutator.pick([3, 100, 5000])))
  const inPieces = attempt(() => streamMessage(cut(input, sizes), options, mutator.below(2) === 0 ? 0 : undefined))
  assert.deepEqual(inPieces, once, 'other result in pieces')
  if (typeof once === 'string') return
  assert.equal(once.report.bytesOut, once.bytes.length)
  const twice = attempt(() => rewriteMessage(once.bytes, options))
  if (typeof twice === 'string') assert.fail(`R4: the rewritten message is refused with ${twice}`)
  assert.ok(twice.bytes.equals(once.bytes), 'R4: changed a second time')
}

class TooSlow extends Error {
  readonly input: Buffer

  constructor(input: Buffer, text: string) {
    super(text)
    this.input = input
  }
}

/** Of this thread, ms: what other processes do meanwhile does not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

/** A part of the input over and over: four times as often takes four times as long; on a busy machine eight, but never sixteen. */
function checkTime(input: Buffer, mutator: Mutator): void {
  const start = mutator.below(input.length)
  const piece = input.subarray(start, start + 1 + mutator.below(300))
  if (piece.length === 0) return
  const sized = (bytes: number) =>
    Buffer.concat([
      input.subarray(0, start),
      ...Array.from({ length: Math.ceil(bytes / piece.length) }, () => piece),
      input.subarray(start),
    ])
  const options: MessageOptions = { direction: 'out', table, policy: DEFAULT_POLICY, smtpUtf8: false }
  const [once, fourfold] = [sized(60_000), sized(240_000)]
  const best = [Infinity, Infinity] as [number, number]
  const growth = fourfold.length / once.length
  for (let round = 0; round < 40; round++) {
    for (const [side, message] of [once, fourfold].entries()) {
      const from = cpuMs()
      attempt(() => rewriteMessage(message, options))
      best[side === 0 ? 0 : 1] = Math.min(best[side === 0 ? 0 : 1], cpuMs() - from)
    }
    if (round >= 1 && (best[1] < NEGLIGIBLE_MS || best[1] / best[0] <= 2 * growth)) return
  }
  throw new TooSlow(
    fourfold,
    `PS-2: ${fourfold.length} bytes take ${best[1].toFixed(1)} ms of CPU, ${once.length} take ${best[0].toFixed(1)} ms`,
  )
}

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } })
const seconds = Number(values.seconds ?? DEFAULT_SECONDS)
const seed = Number(values.seed ?? Date.now() % 2 ** 32)
if (!(seconds > 0) || !Number.isInteger(seed)) {
  console.error('usage: npm run fuzz [-- --seconds N --seed N]')
  process.exit(2)
}

const all = seeds()
console.log(`fuzz: seed ${seed}, ${seconds} s, from ${all.length} messages`)
const mutator = new Mutator(randomFrom(seed), all)
const started = performance.now()
let lastProgress = started
let count = 0
let bytes = 0
while (performance.now() - started < seconds * 1000) {
  const input = mutator.next()
  try {
    check(input, mutator)
    if (count % TIMED_SHARE === 0) checkTime(input, mutator)
  } catch (error) {
    const file = join(mkdtempSync(join(tmpdir(), 'causeway-fuzz-')), 'message.eml')
    writeFileSync(file, error instanceof TooSlow ? error.input : input)
    console.error(`fuzz: failed on message ${count} of seed ${seed}, saved as ${file}`)
    console.error(error)
    process.exit(1)
  }
  count++
  bytes += input.length
  if (performance.now() - lastProgress > 10_000) {
    lastProgress = performance.now()
    console.log(
      `fuzz: ${Math.round((lastProgress - started) / 1000)} s, ${count} messages, ${(bytes / 1e6).toFixed(0)} MB`,
    )
  }
}
console.log(`fuzz: ${count} messages, ${(bytes / 1e6).toFixed(0)} MB, nothing found`)
