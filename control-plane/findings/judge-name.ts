// What is wrong with a display name. Pure. Names come from whoever could write them: hostile ones are told, and nothing of them is repeated.
import type { FindingCode } from './finding-kinds.ts'

/** UTF-16 code units: Entra ID's limit of displayName. */
const MAX_NAME = 256
/** Embeddings, overrides and isolates. Marks (U+200E, U+200F, U+061C) turn nothing that is written. */
const DIRECTION = /[\u202a-\u202e\u2066-\u2069]/
/** Joiners belong to some scripts. U+FFFD stands for what could not be kept. */
const INVISIBLE =
  /[\p{Cc}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\ufffd]|(?![\u200c-\u200f\u061c\u202a-\u202e\u2066-\u2069])\p{Cf}/u
const MARKUP = /<[a-z!/?]/i
const FORMULA = /^\s*[=+\-@]/

export function judgeName(name: string): FindingCode[] {
  if (name.trim() === '') return ['name-empty']
  const found: FindingCode[] = []
  if (name.length > MAX_NAME) found.push('name-too-long')
  if (DIRECTION.test(name)) found.push('name-direction-override')
  if (INVISIBLE.test(name)) found.push('name-invisible-characters')
  if (MARKUP.test(name)) found.push('name-markup')
  if (FORMULA.test(name)) found.push('name-formula')
  return found
}
