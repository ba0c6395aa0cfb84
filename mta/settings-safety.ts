// What a configuration must not add up to: an open relay, one that believes everybody, or one that can't tell where mail goes. Each
// fault names the line to change. (SP-2, SP-8, SP-10) Pure.
import { isLoopback } from './network-names.ts'
import type { WrittenSettings } from './settings-keys.ts'

export interface UnsafePart {
  /** Where: keys and indices from the top of the file. */
  readonly keys: readonly (string | number)[]
  readonly rule: string
}

export function unsafeParts(settings: WrittenSettings): UnsafePart[] {
  return [
    ...whereMailGoes(settings),
    ...mxParts(settings),
    ...listenerParts(settings),
    ...proofParts(settings),
    ...doubledListeners(settings),
  ]
}

/** Tenants are in the file, or come with the push. */
function knowsTenants({ tenants, controlPlane }: WrittenSettings): boolean {
  return tenants !== undefined || controlPlane !== undefined
}

function whereMailGoes({ routes, tenants, policy, table, controlPlane }: WrittenSettings): UnsafePart[] {
  // What is pushed may not stand in the file at all, which is told by its own rule.
  if (controlPlane !== undefined) return []
  if (table === undefined)
    return [{ keys: ['table'], rule: 'is missing; `table` (a file) or `controlPlane` must be given' }]
  if (routes === undefined && tenants === undefined)
    return [{ keys: ['routes'], rule: 'is missing; `routes` (for trying) or `tenants` must be given' }]
  if (routes !== undefined && tenants !== undefined)
    return [{ keys: ['routes'], rule: 'stands beside `tenants`: one of them says where mail goes' }]
  if (tenants === undefined && policy.route === 'return')
    return [{ keys: ['policy', 'route'], rule: 'needs `tenants`: without them nobody knows who sent it' }]
  return []
}

function mxParts(settings: WrittenSettings): UnsafePart[] {
  const { mx, policy } = settings
  if (mx === undefined)
    return policy.route === 'mx' ? [{ keys: ['policy', 'route'], rule: 'needs the section `mx`' }] : []
  const { resolver, dane } = mx
  const isTrusted = resolver?.trustedPath === true || resolver?.servers.every(({ address }) => isLoopback(address))
  return [
    ...(!knowsTenants(settings)
      ? [{ keys: ['mx'], rule: 'needs `tenants`: with `routes` all mail goes to one server a direction' }]
      : []),
    ...(dane && isTrusted !== true
      ? [
          {
            keys: ['mx', 'dane'],
            rule: 'needs `mx.resolver` with servers on loopback addresses, or `trustedPath: true`: whoever can change an answer on its way can say that it was validated',
          },
        ]
      : []),
  ]
}

function listenerParts(settings: WrittenSettings): UnsafePart[] {
  const { listeners, certificates, requireTls, controlPlane } = settings
  const hasTenants = knowsTenants(settings)
  return listeners.flatMap((listener, index): UnsafePart[] => {
    const at = (key: string, rule: string): UnsafePart => ({ keys: ['listeners', index, key], rule })
    const isOutside = !isLoopback(listener.address)
    return [
      // A control plane pushes them; until then STARTTLS is answered 454.
      ...(listener.tls === 'starttls' && certificates.length === 0 && controlPlane === undefined
        ? [at('tls', 'needs `certificates`')]
        : []),
      ...(isOutside && !hasTenants
        ? [
            at(
              'address',
              'needs `tenants`: without a tenant proof every customer of Exchange Online could send through us (SP-2)',
            ),
          ]
        : []),
      ...(isOutside && !requireTls
        ? [at('address', 'needs `requireTls: true`: outside this machine mail comes over TLS only (SP-10)')]
        : []),
      ...(listener.direction === undefined && !hasTenants
        ? [at('direction', 'is missing; only the proof tokens of `tenants` could tell it')]
        : []),
    ]
  })
}

function proofParts({ listeners, tenants, proof }: WrittenSettings): UnsafePart[] {
  if (tenants === undefined) return []
  const hasToken = (direction: 'out' | 'in') => tenants.some(({ proofTokens }) => proofTokens[direction] !== undefined)
  const needsToken = proof.need !== 'dkim'
  return listeners.flatMap(({ direction }, index): UnsafePart[] => {
    const keys = ['listeners', index, 'direction']
    if (direction === undefined) {
      if (!needsToken) return [{ keys, rule: 'is missing; with `proof: { need: dkim }` no token tells it' }]
      if (hasToken('out') || hasToken('in')) return []
      return [{ keys, rule: 'is missing; no tenant has `proofTokens` that tell it' }]
    }
    if (!needsToken || hasToken(direction)) return []
    return [{ keys, rule: `no tenant has a token for it: give one as \`tenants[].proofTokens.${direction}\` (SP-4)` }]
  })
}

/** The second of two listeners on one port would only be noticed when it can't be bound. */
function doubledListeners({ listeners }: WrittenSettings): UnsafePart[] {
  const seen = new Set<string>()
  return listeners.flatMap(({ address, port }, index) => {
    const where = `${address} port ${port}`
    if (port === 0 || !seen.has(where)) {
      seen.add(where)
      return []
    }
    return [{ keys: ['listeners', index], rule: `${where}: another listener has this address and port` }]
  })
}
