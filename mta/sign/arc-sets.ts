// The ARC sets of a header block (RFC 8617 §3.9, §4.1): which there are, not whether they are right.
import { fieldValue } from '../../rewrite-rules/index.ts'
import type { HeaderBlock, HeaderField } from '../../rewrite-rules/index.ts'

/** In the order in which a seal takes the fields of a set (RFC 8617 §5.1.1). */
const ARC_FIELDS = ['arc-authentication-results', 'arc-message-signature', 'arc-seal'] as const

export function isArcField(name: string): boolean {
  return (ARC_FIELDS as readonly string[]).includes(name)
}

export interface ArcSets {
  /** 0: there is none. */
  readonly highest: number
  /** Whether the seal with the highest instance says that the chain had failed before it. */
  readonly newestFailed: boolean
  /** All fields from set 1 up, each set in the order of a seal; undefined where one is missing or there twice. */
  readonly chain: readonly HeaderField[] | undefined
}

export function readArcSets(header: HeaderBlock): ArcSets {
  const found = header.fields
    .filter(({ name }) => isArcField(name))
    .map((field) => ({ field, value: fieldValue(header, field) }))
    .map(({ field, value }) => ({ field, value, instance: instanceOf(field.name, value) }))
  const highest = found.reduce((max, { instance = 0 }) => Math.max(max, instance), 0)
  const byKey = new Map<string, HeaderField>()
  for (const { field, instance } of found) byKey.set(`${instance} ${field.name}`, field)
  const chain = []
  for (let i = 1; i <= Math.min(highest, found.length); i++) {
    for (const name of ARC_FIELDS) {
      const field = byKey.get(`${i} ${name}`)
      if (field !== undefined) chain.push(field)
    }
  }
  const isWhole = chain.length === found.length && chain.length === highest * ARC_FIELDS.length
  return {
    highest,
    newestFailed: found.some(
      ({ field, value, instance }) =>
        field.name === 'arc-seal' && instance === highest && findTag(value, 'cv')?.toLowerCase() === 'fail',
    ),
    chain: isWhole ? chain : undefined,
  }
}

function instanceOf(name: string, value: string): number | undefined {
  // In ARC-Authentication-Results it comes first, before results in another grammar (§4.1.1).
  const text = findTag(name === 'arc-authentication-results' ? value.slice(0, value.indexOf(';') + 1) : value, 'i')
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

/** The value of a tag (RFC 6376 §3.2). */
function findTag(value: string, name: string): string | undefined {
  for (const tag of value.split(';')) {
    const equals = tag.indexOf('=')
    if (equals >= 0 && tag.slice(0, equals).trim() === name) return tag.slice(equals + 1).trim()
  }
  return undefined
}
