// Nonces of connector validation and probes (SP-11, coexistence.md §2.1): their mail is answered, recorded and delivered nowhere.
import { fault, readText } from './certificates.ts'

export interface Nonce {
  readonly nonce: string
  /** ms since the epoch */
  readonly until: number
}

const FORMAT = 'causeway-nonces/1'
const NONCE = /^[a-z0-9]{16,64}$/
const MOST_NONCES = 1000

/** What the local part of such a recipient begins with. */
const PREFIXES = { validation: 'connector-validation-', probe: 'probe-' } as const

/** Mail to a nonce, and what for. */
export interface NamedNonce {
  readonly kind: keyof typeof PREFIXES
  readonly nonce: string
}

/** @throws SettingsFault */
export function loadNonces(file: string): readonly Nonce[] {
  const value = parseJson(file)
  const { format, nonces, ...others } = value
  const [unknown] = Object.keys(others)
  if (unknown !== undefined)
    throw fault(file, `has an unknown key ${JSON.stringify(unknown)}; known are format, nonces`)
  if (format !== FORMAT) throw fault(file, `format must be "${FORMAT}"`)
  return parseNonces(file, nonces)
}

/** @param file  where the list comes from, for faults. @throws SettingsFault */
export function parseNonces(file: string, nonces: unknown): readonly Nonce[] {
  if (!Array.isArray(nonces) || nonces.length > MOST_NONCES)
    throw fault(file, `nonces must be a list of at most ${MOST_NONCES}`)
  return nonces.map((item: unknown, index) => {
    const { nonce, until } = isObject(item) ? item : {}
    const at = typeof until === 'string' ? Date.parse(until) : Number.NaN
    if (typeof nonce !== 'string' || !NONCE.test(nonce))
      throw fault(file, `nonces[${index}].nonce must be 16 to 64 lower case letters and digits`)
    if (Number.isNaN(at)) throw fault(file, `nonces[${index}].until must be a time such as "2026-12-01T00:00:00Z"`)
    return { nonce, until: at }
  })
}

/**
 * The nonce that an address names: mail to it is to be answered and delivered nowhere. undefined: it is ordinary mail.
 *
 * @param address  forward-path as received
 * @param names  ours, lower case; undefined: that the address is ours is known
 * @param now  ms since the epoch
 */
export function nonceOf(
  address: string,
  names: readonly string[] | undefined,
  nonces: readonly Nonce[],
  now: number,
): NamedNonce | undefined {
  const at = address.lastIndexOf('@')
  if (at === -1 || names?.includes(address.slice(at + 1).toLowerCase()) === false) return undefined
  const local = address.slice(0, at).toLowerCase()
  for (const kind of ['validation', 'probe'] as const) {
    const prefix = PREFIXES[kind]
    if (!local.startsWith(prefix)) continue
    const found = nonces.find(({ nonce, until }) => nonce === local.slice(prefix.length) && now < until)
    return found && { kind, nonce: found.nonce }
  }
  return undefined
}

function parseJson(file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readText(file))
    if (isObject(value)) return value
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw fault(file, 'is no JSON', cause)
  }
  throw fault(file, 'must be a JSON object')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
