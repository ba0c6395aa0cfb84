// DKIM keys (R80, RFC 6376, RFC 8463): what is generated, the DNS record that publishes it, and what may become of a key. Pure but for chance.
import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import type { DkimKeyId } from '../ids.ts'

export const DKIM_ALGORITHMS = ['rsa-2048', 'rsa-3072', 'ed25519'] as const
export type DkimAlgorithm = (typeof DKIM_ALGORITHMS)[number]

export const DKIM_STATES = ['generated', 'published', 'active', 'retired'] as const
/**
 * - `generated`: its DNS record is not known to be there
 * - `published`: the record was seen
 * - `active`: relays sign with it
 * - `retired`: its private half is gone; the record has to stay while mail that it signed is under way
 */
export type DkimState = (typeof DKIM_STATES)[number]

/** A key should have been replaced after a year (KM-7). */
export const DKIM_LIFE_MS = 365 * 86_400_000
/** Mail may be deferred for 5 days (RFC 5321 §4.5.4.1), and be verified again by whoever forwards it. */
export const KEEP_RECORD_MS = 14 * 86_400_000

export const CHECK_RESULTS = ['found', 'missing', 'different', 'unreachable'] as const
export type CheckResult = (typeof CHECK_RESULTS)[number]

export interface DkimKey {
  readonly id: DkimKeyId
  readonly domain: string
  readonly selector: string
  readonly algorithm: DkimAlgorithm
  readonly state: DkimState
  /** `p=` of the record. */
  readonly publicKey: string
  readonly replaces: DkimKeyId | undefined
  readonly version: number
  readonly createdAt: Date
  readonly createdBy: string
  readonly expiresAt: Date
  readonly checkedAt: Date | undefined
  readonly checkResult: CheckResult | undefined
  readonly activatedAt: Date | undefined
  readonly retiredAt: Date | undefined
  /** To the hour; undefined: never pushed to a relay. */
  readonly lastUsedAt: Date | undefined
}

export interface DkimKeyPair {
  readonly publicKey: string
  /** PKCS #8 PEM */
  readonly privateKey: string
}

const generate = promisify(generateKeyPair)

export async function generateDkimKey(algorithm: DkimAlgorithm): Promise<DkimKeyPair> {
  if (algorithm === 'ed25519') {
    const { publicKey, privateKey } = await generate('ed25519', {})
    // RFC 8463 §4: the bare 32 octets of the point, which end the DER.
    const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
    return {
      publicKey: point.toString('base64'),
      privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    }
  }
  const { publicKey, privateKey } = await generate('rsa', { modulusLength: algorithm === 'rsa-2048' ? 2_048 : 3_072 })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** Labels of letters, digits and `-`; lower case. undefined when it is none. */
export function parseSelector(written: string): string | undefined {
  const selector = written.toLowerCase()
  if (selector.length > 63) return undefined
  return selector.split('.').every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) ? selector : undefined
}

/** `cw-202611-ed-3f9c`: tells when it was made; the end keeps two of one month apart. @param random  four hex digits */
export function defaultSelector(algorithm: DkimAlgorithm, now: Date, random: string): string {
  const month = now.toISOString().slice(0, 7).replace('-', '')
  return `cw-${month}-${algorithm === 'ed25519' ? 'ed' : 'rsa'}-${random}`
}

export interface DnsRecord {
  readonly name: string
  readonly type: 'TXT'
  readonly value: string
  /** As a zone file has it: strings of at most 255 octets (RFC 1035 §3.3.14). */
  readonly strings: readonly string[]
}

const MAX_STRING = 255

export function dnsRecordOf({
  domain,
  selector,
  algorithm,
  publicKey,
}: Pick<DkimKey, 'domain' | 'selector' | 'algorithm' | 'publicKey'>): DnsRecord {
  const value = `v=DKIM1; k=${algorithm === 'ed25519' ? 'ed25519' : 'rsa'}; p=${publicKey}`
  const strings = Array.from({ length: Math.ceil(value.length / MAX_STRING) }, (_, index) =>
    value.slice(index * MAX_STRING, (index + 1) * MAX_STRING),
  )
  return { name: `${selector}._domainkey.${domain}`, type: 'TXT', value, strings }
}

/**
 * Whether DNS has the key as receivers will read it (RFC 6376 §3.6.1): tags in any order, white space within, unknown ones ignored.
 *
 * @param records  TXT records of the name, each its strings
 */
export function judgeDnsRecords(
  records: readonly (readonly string[])[],
  { algorithm, publicKey }: Pick<DkimKey, 'algorithm' | 'publicKey'>,
): CheckResult {
  const texts = records.map((strings) => strings.join('')).filter((text) => /(^|;)\s*p\s*=/.test(text))
  // Of several records the outcome is undefined (RFC 6376 §3.6.2.2): one only is a published key.
  const [text, ...others] = texts
  if (text === undefined) return 'missing'
  if (others.length > 0) return 'different'
  const tags = new Map<string, string>()
  for (const part of text.split(';')) {
    const equals = part.indexOf('=')
    if (equals > 0) tags.set(part.slice(0, equals).trim(), part.slice(equals + 1).replaceAll(/\s/g, ''))
  }
  const kind = algorithm === 'ed25519' ? 'ed25519' : 'rsa'
  const hashes = tags.get('h')?.split(':')
  const services = tags.get('s')?.split(':')
  const isUsable =
    (tags.get('v') ?? 'DKIM1') === 'DKIM1' &&
    (tags.get('k') ?? 'rsa') === kind &&
    (hashes === undefined || hashes.includes('sha256')) &&
    (services === undefined || services.includes('*') || services.includes('email')) &&
    tags.get('p') === publicKey
  return isUsable ? 'found' : 'different'
}

export type DkimAct = 'activate' | 'rotate' | 'retire'

/** Why a key in this state can't be acted on so; undefined: it can. */
export function actFault(act: DkimAct, state: DkimState): string | undefined {
  switch (act) {
    case 'activate':
      if (state === 'active') return 'The key is active already.'
      return state === 'retired' ? 'The key was retired: its private half is gone.' : undefined
    case 'rotate':
      return state === 'retired' ? 'The key was retired: generate another one.' : undefined
    case 'retire':
      return state === 'retired' ? 'The key is retired already.' : undefined
    default:
      return act satisfies never
  }
}
