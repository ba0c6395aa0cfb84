// Judges the DKIM signatures and the ARC chain of a message as it came (R79; RFC 6376 §6, RFC 8617 §5.2): mailauth judges, we feed it. It sees
// only as much of a message as can be judged in bounded time; bodies are hashed by our own code, which is linear and ten times as fast;
// addresses are read by our own grammar (PS-1).
import { arc } from 'mailauth/lib/arc/index.js'
import { DkimVerifier } from 'mailauth/lib/dkim/dkim-verifier.js'
import type { ParsedField, Resolver, SignatureField } from 'mailauth/lib/dkim/dkim-verifier.js'
import { getAlignment } from 'mailauth/lib/tools.js'
import { fromMailboxes, normaliseDomain } from '../../rewrite-rules/index.ts'
import type { HeaderBlock, HeaderField } from '../../rewrite-rules/index.ts'
import { BodyHash } from './body-hash.ts'
import type { Canonicalization } from './body-hash.ts'
import { DKIM_ALGORITHMS, isDnsName } from './dkim-keys.ts'
import { isArcField } from './arc-sets.ts'
import type { ArcChain, JudgedSignature, SignatureResult, Verification } from './verification.ts'

/** Asks for TXT records: one array of strings a record. ENOTFOUND and ENODATA as code mean that there is none; every other error, a failure. */
export type ResolveTxt = (name: string, type: 'TXT') => Promise<string[][]>

export interface VerifierOptions {
  /** Bounds its own time; at most `MAX_LOOKUPS` names are asked for. */
  readonly resolve: ResolveTxt
  /** ms since the epoch */
  readonly now: number
}

/** Signatures beyond the topmost ones are as if they were not there (RFC 6376 §6.1: a verifier may limit their number). */
export const MAX_SIGNATURES = 10
/** Signatures with more octets or more names in h= than real mail has: their check takes time that grows with the product of the two. */
const MAX_SIGNATURE_BYTES = 8 * 1024
const MAX_SIGNED_NAMES = 256
/** Of all ARC fields, and of one with results: 50 sets of usual size. The check of a chain takes time that grows with their square. */
const MAX_ARC_BYTES = 128 * 1024
const MAX_ARC_RESULTS_BYTES = 16 * 1024
/** mailauth trims with expressions that take the square of a run of white space. */
const MAX_WHITE_SPACE = 128
/** Ten signatures, fifty seals (RFC 8617 §4.2.1), the newest ARC-Message-Signature. */
const MAX_LOOKUPS = 61
/** Of a key record: RSA with 4096 bits takes 750, and larger ones cost time. */
const MAX_KEY_RECORD_CHARACTERS = 1500
/** RFC 8301 §3.2: verifiers take 1024 at least; less is no signature. */
const MIN_RSA_BITS = 1024

/** mailauth's judge with our hashes for its bodies: `l=` is not honoured, a signature covers the whole body or doesn't verify (RFC 6376 §8.2). */
class Judge extends DkimVerifier {
  readonly hashes = new Map<Canonicalization, BodyHash>()

  override addBodyHash(bodyCanon: string): string {
    const canonicalization = bodyCanon === 'relaxed' ? 'relaxed' : 'simple'
    if (!this.bodyHashes.has(canonicalization)) {
      const hash = new BodyHash(canonicalization)
      this.hashes.set(canonicalization, hash)
      this.bodyHashes.set(canonicalization, {
        update: (chunk) => hash.update(chunk),
        digest: () => hash.digest(),
        setContentType: () => undefined,
        getMimeStructureStart: () => undefined,
      })
    }
    return canonicalization
  }
}

/** Takes one message as it came off the wire: CR LF, dots unstuffed. Throws nothing, whatever the message holds. */
export class MessageVerifier {
  readonly #received: HeaderBlock
  readonly #resolver: Resolver
  readonly #judge: Judge
  readonly #prepared: Promise<unknown>
  /** Which DKIM-Signature fields the judge has. */
  readonly #handedOver: readonly number[]
  readonly #signatureFields: readonly HeaderField[]
  readonly #arcRefusal: string | undefined
  #lookups = 0
  #dnsFailed = false

  /** @param received  the whole header block; the body is all that comes after its `bytes` */
  constructor(received: HeaderBlock, { resolve, now }: VerifierOptions) {
    this.#received = received
    this.#resolver = (name) => this.#lookUp(name, resolve)
    this.#judge = new Judge({
      resolver: this.#resolver,
      minBitLength: MIN_RSA_BITS,
      strict: true,
      curTime: new Date(now),
    })
    const fields = parsedFields(received)
    const signatures = received.fields.filter(({ name }) => name === 'dkim-signature').slice(0, MAX_SIGNATURES)
    this.#signatureFields = signatures
    this.#handedOver = signatures.flatMap((field, i) => (canBeJudged(received, field) ? [i] : []))
    this.#arcRefusal = whyArcIsNotJudged(received)
    const shown = new Set<HeaderField>(
      this.#handedOver.map((i) => signatures[i]).filter((field) => field !== undefined),
    )
    const isShown = (field: HeaderField) =>
      shown.has(field) || (this.#arcRefusal === undefined && isArcField(field.name))
    this.#prepared = this.#prepare(
      fields,
      received.fields.flatMap((field, i) => (isShown(field) ? [fields[i]] : [])),
    )
  }

  /** Takes the next octets of the body. */
  update(chunk: Uint8Array): void {
    for (const hash of this.#judge.hashes.values()) hash.update(chunk)
  }

  async finish(): Promise<Verification> {
    let fault: unknown
    try {
      const failure = await this.#prepared
      if (failure !== undefined) throw failure
      await this.#judge.finalChunk()
    } catch (error) {
      fault = error ?? new Error('mailauth failed without an error')
    }
    const signatures = this.#signatureFields.map((_, index) => this.#judged(index, fault !== undefined))
    const chain: ArcChain =
      fault === undefined ? await this.#judgeArc() : { status: 'unknown', reason: 'could not be judged' }
    return { signatures, arc: chain, fault }
  }

  /** @returns what went wrong */
  async #prepare(all: readonly ParsedField[], shown: readonly (ParsedField | undefined)[]): Promise<unknown> {
    const judge = this.#judge
    try {
      // Runs to its end at once: after it the bodies' hashes are there.
      const ready = judge.messageHeaders({ parsed: shown.filter((field) => field !== undefined) })
      // What signatures cover, they take from the whole header.
      judge.headers = { parsed: all }
      // Answers come while the body does.
      for (const { type, skip, invalid, selector, signingDomain, hashAlgo } of judge.signatureHeaders) {
        if (skip !== undefined || invalid !== undefined || hashAlgo === undefined) continue
        void judge.keyCache
          .get(type, `${selector}._domainkey.${signingDomain}`, MIN_RSA_BITS, { strict: true, hashAlgo })
          .catch(() => undefined) // comes again when the signature is judged
      }
      await ready
      return undefined
    } catch (error) {
      return error ?? new Error('mailauth failed without an error')
    }
  }

  async #lookUp(name: string, resolve: ResolveTxt): Promise<string[][]> {
    const lowerCase = name.toLowerCase().replace(/\.$/, '')
    // The names in ARC fields are checked by nobody before this.
    const parts = lowerCase.split('._domainkey.')
    if (parts.length !== 2 || !parts.every(isDnsName) || ++this.#lookups > MAX_LOOKUPS) throw notFound()
    let records
    try {
      records = await resolve(lowerCase, 'TXT')
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ENOTFOUND' && code !== 'ENODATA') this.#dnsFailed = true
      throw error
    }
    const usable = records.filter((strings) => length(strings) <= MAX_KEY_RECORD_CHARACTERS)
    if (usable.length === 0) throw notFound()
    return usable
  }

  #judged(index: number, failed: boolean): JudgedSignature {
    const at = this.#handedOver.indexOf(index)
    const field = at < 0 ? undefined : this.#judge.signatureHeaders[at]
    const status = this.#judge.results[at]?.status
    const tag = (name: string) => {
      const value = field?.parsed?.[name]?.value
      return typeof value === 'string' ? value : ''
    }
    const domain = normaliseDomain(tag('d'))
    const selector = tag('s').toLowerCase()
    const algorithm = DKIM_ALGORITHMS.find((name) => name === tag('a').toLowerCase())
    const { result, reason } =
      field === undefined
        ? { result: 'policy' as const, reason: 'too large to be judged' }
        : failed || status === undefined
          ? { result: 'temperror' as const, reason: 'could not be judged' }
          : ownResult(status.result, status.comment === false ? undefined : status.comment, field)
    return {
      index,
      result,
      reason,
      domain,
      selector: isDnsName(selector) ? selector : undefined,
      algorithm,
      alignment: domain === undefined ? 'none' : alignment(this.#received, domain),
      signedFields: tag('h')
        .split(':')
        .map((name) => name.trim().toLowerCase())
        .filter((name) => name !== ''),
      headerCanonicalization: field?.headerCanon === 'relaxed' ? 'relaxed' : 'simple',
      bodyCanonicalization: field?.bodyCanon === 'relaxed' ? 'relaxed' : 'simple',
      bodyHash: tag('bh'),
      signatureStart: BASE64.test(tag('b')) ? tag('b').slice(0, 8) : '',
    }
  }

  async #judgeArc(): Promise<ArcChain> {
    if (this.#arcRefusal !== undefined) return { status: 'fail', reason: this.#arcRefusal }
    try {
      const { status } = await arc(this.#judge.arc, {
        resolver: this.#resolver,
        minBitLength: MIN_RSA_BITS,
        strict: true,
      })
      // To mailauth every failure is for good; a seal of ours that says so would be.
      if (status.result === 'fail' && this.#dnsFailed) return { status: 'unknown', reason: 'DNS failure' }
      return { status: status.result, reason: status.result === 'fail' ? 'chain did not verify' : undefined }
    } catch {
      return { status: 'unknown', reason: 'could not be judged' }
    }
  }
}

const BASE64 = /^[A-Za-z0-9+/=]*$/

const notFound = () => Object.assign(new Error('no such key record'), { code: 'ENOTFOUND' })

function length(strings: readonly string[]): number {
  return strings.reduce((sum, text) => sum + text.length, 0)
}

/**
 * The fields as the judge takes them. Lines between them that are none belong to the field above, as some readers have it: that can make a
 * signature fail, but never verify.
 */
function parsedFields({ bytes, text, fields, fieldsEnd }: HeaderBlock): ParsedField[] {
  return fields.map(({ name, start, nameEnd }, i) => {
    let end = fields[i + 1]?.start ?? fieldsEnd
    if (text.endsWith('\r\n', end)) end -= 2
    return { key: name, casedKey: text.slice(start, nameEnd), line: bytes.subarray(start, end) }
  })
}

function canBeJudged({ text }: HeaderBlock, { start, end, valueStart }: HeaderField): boolean {
  if (end - start > MAX_SIGNATURE_BYTES || hasLongWhiteSpace(text, valueStart, end)) return false
  let colons = 0
  for (let at = text.indexOf(':', valueStart); at >= 0 && at < end; at = text.indexOf(':', at + 1)) colons++
  return colons < MAX_SIGNED_NAMES
}

function whyArcIsNotJudged(header: HeaderBlock): string | undefined {
  let bytes = 0
  for (const field of header.fields) {
    if (!isArcField(field.name)) continue
    bytes += field.end - field.start
    const judged =
      field.name === 'arc-authentication-results'
        ? field.end - field.start <= MAX_ARC_RESULTS_BYTES &&
          !hasLongWhiteSpace(header.text, field.valueStart, field.end)
        : canBeJudged(header, field)
    if (!judged || bytes > MAX_ARC_BYTES) return 'too large to be judged'
  }
  return undefined
}

function hasLongWhiteSpace(text: string, start: number, end: number): boolean {
  let run = 0
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at)
    run = code === 0x20 || (code >= 0x09 && code <= 0x0d) ? run + 1 : 0
    if (run > MAX_WHITE_SPACE) return true
  }
  return false
}

/** What mailauth says of keys that can't be used: it calls that `neutral`, RFC 8601 §2.7.1 a permanent error. */
const PERMANENT = new Set([
  'no key',
  'unknown key version',
  'unknown key type',
  'invalid public key',
  'inappropriate hash algorithm',
  'inappropriate key algorithm',
  'key not for email',
])

function ownResult(
  result: string,
  comment: string | undefined,
  field: SignatureField,
): { result: SignatureResult; reason: string | undefined } {
  // RFC 8301 §3.1. Its hash was never computed.
  if (field.hashAlgo === 'sha1') return { result: 'policy', reason: 'SHA-1' }
  switch (result) {
    case 'pass':
      return { result, reason: undefined }
    case 'policy':
      return { result, reason: 'key too short' }
    case 'temperror':
      return { result, reason: 'DNS failure' }
    case 'fail':
      return { result, reason: comment === 'body hash did not verify' ? 'body hash' : 'signature' }
    default:
      if (comment !== undefined && PERMANENT.has(comment)) return { result: 'permerror', reason: comment }
      return { result: 'neutral', reason: comment === 'expired' ? 'expired' : 'malformed' }
  }
}

/** @param domain  lower case, A-labels */
function alignment(received: HeaderBlock, domain: string): JudgedSignature['alignment'] {
  if (received.fields.filter(({ name }) => name === 'from').length !== 1) return 'none'
  const authors = fromMailboxes(received).map((mailbox) => normaliseDomain(mailbox.domain))
  if (authors.length === 0) return 'none'
  if (authors.every((author) => author === domain)) return 'exact'
  return authors.every((author) => author !== undefined && getAlignment(author, [domain]) !== false)
    ? 'relaxed'
    : 'none'
}
