// The project's DKIM keys (R80, KM-6): PEM files become key objects once, with the domain and the selector they sign for. A set is made
// whole or not at all, and never changed: rotation is a new set in place of the old one.
import { createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { normaliseDomain } from '../../rewrite-rules/index.ts'

export const DKIM_ALGORITHMS = ['rsa-sha256', 'ed25519-sha256'] as const
export type DkimAlgorithm = (typeof DKIM_ALGORITHMS)[number]

export interface DkimKey {
  /** Lower case, A-labels: d=. */
  readonly domain: string
  /** Lower case: s=. */
  readonly selector: string
  readonly algorithm: DkimAlgorithm
  readonly privateKey: KeyObject
}

/** As the configuration has it, the file read. */
export interface DkimKeyText {
  readonly domain: string
  readonly selector: string
  readonly pem: string
}

export type DkimKeyFaultKind =
  | 'bad-domain'
  | 'bad-selector'
  | 'bad-pem'
  | 'public-key'
  | 'encrypted'
  | 'wrong-type'
  | 'too-short'
  | 'too-long'
  | 'duplicate'
  | 'no-rsa'

/** Nothing of a key is in it. */
export interface DkimKeyFault {
  readonly kind: DkimKeyFaultKind
  /** Which of the given keys, from 0. */
  readonly index: number
  readonly domain: string
  readonly selector: string
  readonly rule: string
}

export class DkimKeysFault extends Error {
  override readonly name = 'DkimKeysFault'
  readonly faults: readonly DkimKeyFault[]

  constructor(faults: readonly DkimKeyFault[]) {
    super(faults.map(({ domain, selector, rule }) => `DKIM key ${selector}._domainkey.${domain}: ${rule}`).join('; '))
    this.faults = faults
  }
}

const RULES: Readonly<Record<DkimKeyFaultKind, string>> = {
  'bad-domain': 'the domain is no domain name',
  'bad-selector': 'the selector is no DNS name (letters, digits, hyphens and dots)',
  'bad-pem': 'holds no private key in PEM form (PKCS#8 or PKCS#1)',
  'public-key': 'holds a public key; the private one signs',
  encrypted: 'is encrypted; nobody is there to type its passphrase',
  'wrong-type': 'must be RSA or Ed25519 (RFC 8301, RFC 8463)',
  'too-short': 'must have 2048 bits at least (RFC 8301 §3.2)',
  'too-long': 'must have 4096 bits at most: more need not be verified by anybody (RFC 8301 §3.2)',
  duplicate: 'is the second key of its algorithm for this domain',
  'no-rsa': 'is Ed25519, and the domain has no RSA key beside it: most receivers verify RSA only (RFC 8463 §5)',
}

const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 4096

export class DkimKeys {
  readonly #byDomain: ReadonlyMap<string, readonly DkimKey[]>

  private constructor(byDomain: ReadonlyMap<string, readonly DkimKey[]>) {
    this.#byDomain = byDomain
  }

  static readonly none = new DkimKeys(new Map())

  /** @throws DkimKeysFault with everything that is wrong */
  static parse(texts: readonly DkimKeyText[]): DkimKeys {
    const faults: DkimKeyFault[] = []
    const byDomain = new Map<string, DkimKey[]>()
    const indexOf = new Map<DkimKey, number>()
    for (const [index, { domain, selector, pem }] of texts.entries()) {
      const fault = (kind: DkimKeyFaultKind) => faults.push({ kind, index, domain, selector, rule: RULES[kind] })
      const key = parseDkimKey(domain, selector, pem)
      if (typeof key === 'string') {
        fault(key)
        continue
      }
      const sameDomain = byDomain.get(key.domain) ?? []
      if (sameDomain.some(({ algorithm }) => algorithm === key.algorithm)) fault('duplicate')
      byDomain.set(key.domain, [...sameDomain, key])
      indexOf.set(key, index)
    }
    for (const [domain, keys] of byDomain) {
      const [key] = keys
      if (key === undefined || keys.some(({ algorithm }) => algorithm === 'rsa-sha256')) continue
      faults.push({
        kind: 'no-rsa',
        index: indexOf.get(key) ?? 0,
        domain,
        selector: key.selector,
        rule: RULES['no-rsa'],
      })
    }
    if (faults.length > 0) throw new DkimKeysFault(faults)
    for (const keys of byDomain.values()) keys.sort((a, b) => rank(a) - rank(b))
    return new DkimKeys(byDomain)
  }

  /**
   * The keys of exactly this domain, RSA first; never empty.
   * @param domain  lower case, A-labels
   */
  find(domain: string): readonly DkimKey[] | undefined {
    return this.#byDomain.get(domain)
  }

  get domains(): readonly string[] {
    return [...this.#byDomain.keys()]
  }
}

function rank({ algorithm }: DkimKey): number {
  return DKIM_ALGORITHMS.indexOf(algorithm)
}

function parseDkimKey(domainText: string, selectorText: string, pem: string): DkimKey | DkimKeyFaultKind {
  const domain = normaliseDomain(domainText)
  if (domain?.includes('.') !== true || !isDnsName(domain)) return 'bad-domain'
  const selector = selectorText.toLowerCase()
  if (!isDnsName(selector)) return 'bad-selector'
  const privateKey = parsePrivateKey(pem)
  if (typeof privateKey === 'string') return privateKey
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0
  switch (privateKey.asymmetricKeyType) {
    case 'ed25519':
      return { domain, selector, algorithm: 'ed25519-sha256', privateKey }
    case 'rsa':
      if (bits < MIN_RSA_BITS) return 'too-short'
      if (bits > MAX_RSA_BITS) return 'too-long'
      return { domain, selector, algorithm: 'rsa-sha256', privateKey }
    default:
      return 'wrong-type'
  }
}

function parsePrivateKey(pem: string): KeyObject | DkimKeyFaultKind {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem)) return 'encrypted'
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    return /-----BEGIN (?:RSA )?PUBLIC KEY-----|-----BEGIN CERTIFICATE-----/.test(pem) ? 'public-key' : 'bad-pem'
  }
  try {
    return createPrivateKey(pem)
  } catch {
    return 'bad-pem' // What OpenSSL says of it helps nobody, and a key stays out of every text.
  }
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** What can be a name in a d= or s= and in the DNS: it goes into a header field as it is. @param name  in lower case */
export function isDnsName(name: string): boolean {
  return name.length > 0 && name.length <= 253 && name.split('.').every((label) => LABEL.test(label))
}
