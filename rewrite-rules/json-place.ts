// Where a member stands in the text of a JSON value: for telling people about a fault in it.
import { PlaceCounter } from './text-place.ts'
import type { Place } from './text-place.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPENING: readonly number[] = [0x5b, 0x7b]
const CLOSING: readonly number[] = [0x5d, 0x7d]

/**
 * @param bytes  valid JSON in UTF-8
 * @param path  names of members and numbers of items, from the outside in
 * @returns place in `bytes`: of the value, or of the innermost one around it that is there
 */
export function findMember(bytes: Uint8Array, path: readonly string[]): Place {
  let at = skipSpace(bytes, 0)
  for (const name of path) {
    const next = findIn(bytes, at, name)
    if (next === undefined) break
    at = next
  }
  const counter = new PlaceCounter()
  counter.advance(bytes, 0, at)
  return counter.place
}

/** Where the member or item of the object or list at `start` begins. Of two members with a name the last one counts, as with JSON.parse. */
function findIn(bytes: Uint8Array, start: number, name: string): number | undefined {
  if (!OPENING.includes(bytes[start] ?? 0)) return undefined
  let found: number | undefined
  let index = 0
  for (let at = skipSpace(bytes, start + 1); at < bytes.length && !CLOSING.includes(bytes[at] ?? 0); index++) {
    let key = String(index)
    let value = at
    let end = skipValue(bytes, at)
    const colon = skipSpace(bytes, end)
    if (bytes[colon] === COLON) {
      key = String(JSON.parse(new TextDecoder().decode(bytes.subarray(at, end))))
      value = skipSpace(bytes, colon + 1)
      end = skipValue(bytes, value)
    }
    if (key === name) found = value
    at = skipSpace(bytes, end)
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1)
  }
  return found
}

/** @returns where the value ends that begins at `start` */
function skipValue(bytes: Uint8Array, start: number): number {
  let depth = 0
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) {
      at = endOfString(bytes, at)
      if (depth === 0) return at + 1
    } else if (OPENING.includes(byte)) depth++
    else if (CLOSING.includes(byte)) {
      if (depth === 0) return at
      if (--depth === 0) return at + 1
    } else if (depth === 0 && (byte === COMMA || byte === COLON || isSpace(byte))) return at
  }
  return bytes.length
}

/** @returns where the closing quote is */
function endOfString(bytes: Uint8Array, start: number): number {
  let at = start + 1
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}

function skipSpace(bytes: Uint8Array, start: number): number {
  let at = start
  while (at < bytes.length && isSpace(bytes[at] ?? 0)) at++
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
