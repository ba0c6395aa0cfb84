// The names of the simulated internet and what is kept at them (RFC 1034): one tree, which may change at any time. No network here.
import { isIPv4, isIPv6 } from 'node:net'

export interface ZoneData {
  readonly A: string
  readonly AAAA: string
  readonly CNAME: string
  readonly MX: { readonly preference: number; readonly exchange: string }
  /** Of any length: it is cut into strings of 255 octets when it is sent. */
  readonly TXT: string
}
export type ZoneType = keyof ZoneData

export interface ZoneRecord<T extends ZoneType = ZoneType> {
  readonly type: T
  readonly value: ZoneData[T]
}

/** So that all of a name, and a chain of aliases before it, fits into the 64 KiB that TCP takes. */
const MAX_TEXT_OCTETS = 2_048
const MAX_RECORDS = 16

export class Zones {
  readonly #names = new Map<string, readonly ZoneRecord[]>()
  /** Names above those that hold something, by how many they stand above: they exist, and hold nothing. */
  readonly #above = new Map<string, number>()

  /**
   * In place of what the name holds of this type.
   * @param name  in A-labels, any case, with or without the final dot
   * @throws when no name server would take it: a malformed name or value, something beside a CNAME (RFC 1034 §3.6.2)
   */
  set<T extends ZoneType>(name: string, type: T, ...values: readonly ZoneData[T][]): void {
    const key = keyOf(name)
    if (!isDomainName(key)) throw new Error(`${name} is not the name of a domain`)
    for (const value of values) if (!isValue(type, value)) throw new Error(`no ${type} record of ${name} reads so`)
    if (values.length > MAX_RECORDS) throw new Error(`more than ${MAX_RECORDS} records of one type at ${name}`)
    const records = [...this.#others(key, type), ...values.map((value): ZoneRecord => ({ type, value }))]
    if (records.some((record) => record.type === 'CNAME') && records.length > 1) {
      throw new Error(`a CNAME of ${name} stands alone`)
    }
    this.#put(key, records)
  }

  /** @param type  undefined: all that the name holds */
  remove(name: string, type?: ZoneType): void {
    const key = keyOf(name)
    this.#put(key, type === undefined ? [] : this.#others(key, type))
  }

  /** @returns undefined where there is no such name; nothing where there are only names below it */
  find(name: string): readonly ZoneRecord[] | undefined {
    const key = keyOf(name)
    return this.#names.get(key) ?? (key === '' || this.#above.has(key) ? [] : undefined)
  }

  #others(key: string, type: ZoneType): ZoneRecord[] {
    return (this.#names.get(key) ?? []).filter((record) => record.type !== type)
  }

  #put(key: string, records: readonly ZoneRecord[]): void {
    const step = Number(records.length > 0) - Number(this.#names.has(key))
    if (records.length > 0) this.#names.set(key, records)
    else this.#names.delete(key)
    if (step === 0) return
    for (let dot = key.indexOf('.'); dot >= 0; dot = key.indexOf('.', dot + 1)) {
      const above = key.slice(dot + 1)
      const count = (this.#above.get(above) ?? 0) + step
      if (count > 0) this.#above.set(above, count)
      else this.#above.delete(above)
    }
  }
}

function keyOf(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/** Letters, digits, hyphens, and the underscores of `_dmarc` and `_domainkey`. */
function isDomainName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
}

function isValue<T extends ZoneType>(type: T, value: ZoneData[T]): boolean {
  if (typeof value !== 'string') {
    const { preference, exchange } = value
    // The null MX (RFC 7505) is the root.
    return Number.isInteger(preference) && preference >= 0 && preference <= 0xffff && isTarget(exchange)
  }
  switch (type) {
    case 'A':
      return isIPv4(value)
    case 'AAAA':
      return isIPv6(value) && !value.includes('%')
    case 'CNAME':
      return isDomainName(keyOf(value))
    default:
      return Buffer.byteLength(value) <= MAX_TEXT_OCTETS
  }
}

function isTarget(exchange: string): boolean {
  return exchange === '.' || isDomainName(keyOf(exchange))
}
