// Which signatures of a message rewriting breaks, those that were valid on arrival taken for granted: nothing is looked up in the DNS. Pure.
// (RFC 6376 §3.4, §3.7, §5.4.2; RFC 8617 §4.1.2; R79–R82)
import { fieldValue } from '../../rewrite-rules/index.ts'
import type { HeaderBlock, HeaderField } from '../../rewrite-rules/index.ts'

export interface SignatureVerdict {
  /** `DKIM-Signature:1`: the first from above. */
  readonly field: string
  readonly domain: string
  readonly selector: string
  readonly verdict: 'holds' | 'breaks' | 'removed'
  /** What it covers and is another now: `header:From`, `body`. */
  readonly because: readonly string[]
}

export interface Rewritten {
  readonly received: HeaderBlock
  readonly sent: HeaderBlock
  readonly isBodyChanged: boolean
  /** Whether a signature of this domain that breaks is removed (R82). */
  readonly removesOf: (domain: string) => boolean
}

const SIGNATURES = new Map([
  ['dkim-signature', 'DKIM-Signature'],
  ['arc-message-signature', 'ARC-Message-Signature'],
])
/** A message may carry thousands; nobody reads on. */
const MAX_SIGNATURES = 50

export function judgeSignatures(message: Rewritten): SignatureVerdict[] {
  const { received, isBodyChanged, removesOf } = message
  const counts = new Map<string, number>()
  const verdicts: SignatureVerdict[] = []
  for (const field of received.fields) {
    const name = SIGNATURES.get(field.name)
    if (name === undefined || verdicts.length === MAX_SIGNATURES) continue
    const number = (counts.get(name) ?? 0) + 1
    counts.set(name, number)
    const tags = readTags(fieldValue(received, field))
    const because = [...changedFields(message, tags), ...(isBodyChanged ? ['body'] : [])]
    const domain = (tags.get('d') ?? '').toLowerCase()
    const removed = name === 'DKIM-Signature' && removesOf(domain)
    verdicts.push({
      field: `${name}:${number}`,
      domain,
      selector: tags.get('s') ?? '',
      verdict: because.length === 0 ? 'holds' : removed ? 'removed' : 'breaks',
      because,
    })
  }
  return verdicts
}

/** Field names that the DKIM signatures of these domains cover, for policy `keep-dkim` (R35). */
export function coveredNames(block: HeaderBlock, isAligned: (domain: string) => boolean): string[][] {
  return block.fields
    .filter(({ name }) => name === 'dkim-signature')
    .slice(0, MAX_SIGNATURES)
    .map((field) => readTags(fieldValue(block, field)))
    .filter((tags) => isAligned((tags.get('d') ?? '').toLowerCase()))
    .map(namesOf)
}

/** A tag list (RFC 6376 §3.2); of a name that stands there twice the first counts. */
function readTags(value: string): Map<string, string> {
  const tags = new Map<string, string>()
  for (const tag of value.split(';')) {
    const equals = tag.indexOf('=')
    if (equals < 0) continue
    const name = tag.slice(0, equals).trim()
    if (!tags.has(name)) tags.set(name, tag.slice(equals + 1).replaceAll(/[ \t\r\n]+/g, ''))
  }
  return tags
}

const namesOf = (tags: ReadonlyMap<string, string>): string[] =>
  (tags.get('h') ?? '').split(':').map((name) => name.toLowerCase())

/** `simple` is what is meant where c= is absent. */
function changedFields({ received, sent }: Rewritten, tags: ReadonlyMap<string, string>): string[] {
  const isRelaxed = (tags.get('c') ?? 'simple').split('/', 1)[0] === 'relaxed'
  const names = namesOf(tags)
  const before = coveredTexts(received, names, isRelaxed)
  const after = coveredTexts(sent, names, isRelaxed)
  const changed = names.filter((_, i) => before[i] !== after[i]).map((name) => `header:${writtenName(received, name)}`)
  return [...new Set(changed)]
}

/** What each name of an h= list covers: the lowest field of the name that is left, or that there is none. */
function coveredTexts(block: HeaderBlock, names: readonly string[], isRelaxed: boolean): (string | undefined)[] {
  const left = new Map<string, HeaderField[]>(names.map((name) => [name, []]))
  for (const field of block.fields) left.get(field.name)?.push(field)
  return names.map((name) => {
    const field = left.get(name)?.pop()
    if (field === undefined) return undefined
    if (!isRelaxed) return block.text.slice(field.start, field.end)
    return fieldValue(block, field).replaceAll(/[ \t]+/g, ' ')
  })
}

function writtenName(block: HeaderBlock, name: string): string {
  const field = block.fields.find((other) => other.name === name)
  return field === undefined ? name : block.text.slice(field.start, field.nameEnd)
}
