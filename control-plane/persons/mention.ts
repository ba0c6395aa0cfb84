// A person's addresses and ids within values that say other things as well: found, taken out, or the only ones left in. Pure. (PR-6)

/** What stands where an address was. */
export const ERASED = '[erased]'
/** What stands where the address of somebody else was, in what one person is shown. */
const SOMEBODY_ELSE = '[somebody else]'

/** Whether a text or JSON value names one of these, as itself: `ann@contoso.example` is not in `joann@contoso.example`. */
export function mentions(value: unknown, names: readonly string[]): boolean {
  if (typeof value === 'string') return names.some((name) => nextMention(value, name, 0) >= 0)
  if (Array.isArray(value)) return value.some((item) => mentions(item, names))
  if (!isRecord(value)) return false
  return Object.entries(value).some(([key, member]) => mentions(key, names) || mentions(member, names))
}

/** Where these are named, as JSON pointers, with what stands there: nobody else's addresses. */
export function placesOf(value: unknown, names: readonly string[], pointer = ''): { at: string; text: unknown }[] {
  if (typeof value === 'string') return mentions(value, names) ? [{ at: pointer, text: withOnly(value, names) }] : []
  if (!isRecord(value)) return []
  return Object.entries(value).flatMap(([key, member]) => [
    ...(mentions(key, names) ? [{ at: pointer, text: key }] : []),
    ...placesOf(member, names, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`),
  ])
}

/** The same value without these. */
export function without(value: unknown, names: readonly string[]): unknown {
  if (typeof value === 'string') return names.reduce(withoutOne, value)
  if (Array.isArray(value)) return value.map((item) => without(item, names))
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [names.reduce(withoutOne, key), without(member, names)]),
  )
}

/** The same value with no other addresses than these: a person is shown nobody else's. Texts that hold others go whole. */
export function withOnly(value: unknown, names: readonly string[]): unknown {
  if (typeof value === 'string') return names.reduce(withoutOne, value).includes('@') ? SOMEBODY_ELSE : value
  if (Array.isArray(value)) return value.map((item) => withOnly(item, names)).filter((item) => item !== SOMEBODY_ELSE)
  if (!isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withOnly(member, names)]))
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

function withoutOne(text: string, name: string): string {
  let kept = ''
  let from = 0
  for (;;) {
    const at = nextMention(text, name, from)
    if (at < 0) return kept + text.slice(from)
    kept += text.slice(from, at) + ERASED
    from = at + name.length
  }
}

/** @returns where it begins; -1: nowhere from there on */
function nextMention(text: string, name: string, from: number): number {
  if (name === '') return -1
  const [folded, wanted] = [fold(text), fold(name)]
  for (let at = folded.indexOf(wanted, from); at >= 0; at = folded.indexOf(wanted, at + 1)) {
    if (!isPartBefore(text, at) && !isPartBehind(text, at + name.length)) return at
  }
  return -1
}

/** Without case, where that leaves each character in its place: which it does but for a handful. */
function fold(text: string): string {
  const lower = text.toLowerCase()
  if (lower.length === text.length) return lower
  return text.replace(/\p{Lu}/gu, (letter) =>
    letter.toLowerCase().length === letter.length ? letter.toLowerCase() : letter,
  )
}

/** What a local part goes on with to the left. Quotes and what sets addresses off are none of it. */
const LOCAL = /[\p{L}\p{M}\p{N}.!#$%&*+/?^_`{|}~-]/u
const isPartBefore = (text: string, at: number): boolean => at > 0 && LOCAL.test(text.slice(at - 1, at))

/** A domain goes on with a letter, digit or hyphen, or with a dot and a letter or digit: a dot alone ends a sentence. */
const LABEL = /^(?:[\p{L}\p{M}\p{N}_-]|\.[\p{L}\p{M}\p{N}])/u
const isPartBehind = (text: string, at: number): boolean => LABEL.test(text.slice(at, at + 2))
