// Somebody as a header field or a calendar names him: a name and an address. Reads `Name <address>` as people type it, and writes it so that every
// reader finds the same name and address in it (RFC 5322 §3.4, RFC 2047).
import { encodedWords, isPlainText, oneLine } from './header-words.ts'

export interface NamedAddress {
  /** Empty: none. */
  readonly name: string
  /** As given, never changed. */
  readonly address: string
}

const ATEXT = String.raw`[A-Za-z0-9!#$%&'*+/=?^_\x60{|}~-]+`
const QUOTED = String.raw`"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"`
const ADDRESS = new RegExp(
  String.raw`^(?:${ATEXT}(?:\.${ATEXT})*|${QUOTED})@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$`,
)
const LONGEST_ADDRESS = 320

/** `Olga Berg <olga@example.net>`, `"Berg, Olga" <olga@example.net>`, `olga@example.net`. @throws RangeError */
export function parseNamedAddress(text: string): NamedAddress {
  const trimmed = text.trim()
  const bracket = trimmed.lastIndexOf('<')
  if (bracket < 0 || !trimmed.endsWith('>')) return { name: '', address: checkedAddress(trimmed) }
  const written = trimmed.slice(0, bracket).trim()
  const name = /^".*"$/s.test(written) ? written.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : written
  return { name: oneLine(name), address: checkedAddress(trimmed.slice(bracket + 1, -1).trim()) }
}

/** @throws RangeError: the sandbox's people have addresses in ASCII only */
export function checkedAddress(address: string): string {
  if (!isAddress(address)) throw new RangeError('an address is not one')
  return address
}

export function isAddress(text: string): boolean {
  return text.length <= LONGEST_ADDRESS && ADDRESS.test(text)
}

/** In words between which a field may be folded. */
export function addressWords({ name, address }: NamedAddress): readonly string[] {
  const shown = oneLine(name)
  if (shown === '') return [`<${address}>`]
  return [...nameWords(shown), `<${address}>`]
}

/** Words of a whole list, commas included. */
export function addressListWords(list: readonly NamedAddress[]): readonly string[] {
  return list.flatMap((each, place) => {
    const words = addressWords(each)
    const last = words.length - 1
    return place === list.length - 1 ? words : words.with(last, `${words[last]},`)
  })
}

/** Mailboxes are the same whatever the case of their addresses. */
export function isSameAddress(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}

const LONGEST_QUOTED = 60

function nameWords(name: string): readonly string[] {
  if (!isPlainText(name)) return encodedWords(name)
  if (name.split(' ').every((word) => new RegExp(`^${ATEXT}$`).test(word))) return name.split(' ')
  const quoted = `"${name.replaceAll(/[\\"]/g, String.raw`\$&`)}"`
  return quoted.length > LONGEST_QUOTED ? encodedWords(name) : [quoted]
}
