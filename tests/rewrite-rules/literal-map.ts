// An AddressMap of a few addresses, for tests of what is found in a header rather than of what the table makes of it.
import { normaliseDomain, unquoteLocalPart } from '../../rewrite-rules/addr-spec.ts'
import type { AddressMap, Mapped } from '../../rewrite-rules/lookup.ts'

export interface LiteralEntry {
  /** As the corpus writes it: quotes and escapes off. */
  readonly local: string
  readonly domain: string
  readonly to: { readonly local: string; readonly domain: string }
}

/** Every entry maps its address to `to`, in both functions; nothing else matches. Compares as R20 says. */
export function literalMap(entries: readonly LiteralEntry[]): AddressMap & { readonly asked: string[] } {
  const byKey = new Map<string, LiteralEntry>()
  for (const entry of entries) byKey.set(key(entry.local, entry.domain), entry)
  const asked: string[] = []
  return {
    asked,
    map(_fn, local, domain): Mapped {
      asked.push(`${local}@${domain}`)
      const entry = byKey.get(key(unquoteLocalPart(local), domain))
      return entry === undefined ? { kind: 'kept' } : { kind: 'replaced', rule: 'entry', ...entry.to, keep: 'nothing' }
    },
    entryOf(local, domain) {
      const found = byKey.get(key(unquoteLocalPart(local), domain))
      return found === undefined ? undefined : entries.indexOf(found)
    },
  }
}

function key(local: string, domain: string): string {
  // Malformed domains of the corpus are compared as they are.
  return `${local.normalize('NFC').toLowerCase()}\n${normaliseDomain(domain) ?? domain.toLowerCase()}`
}
