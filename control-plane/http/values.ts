// Forms of values that bodies, queries and answers of several features share (WS-4). Pure.
import { z } from 'zod'

/** As Entra writes ids of tenants and objects; taken in any case, kept in lower case. */
export const guid = z
  .string()
  .max(36)
  .toLowerCase()
  .regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'a GUID')
  .meta({ format: 'uuid' })

/** Controls, invisible formatting, separators, private and unassigned code points: nothing that a name is read by. */
const UNREADABLE = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u

/**
 * A name or remark that people read: trimmed, NFC, without what can't be seen, so that two that look alike are less likely two.
 * @param max  UTF-16 code units
 */
export function readableText(min: number, max: number) {
  return z
    .string()
    .trim()
    .normalize('NFC')
    .min(min)
    .max(max)
    .refine((text) => !UNREADABLE.test(text), 'no control or invisible characters')
}

/** RFC 3339 in UTC, in answers. */
export const time = z.iso.datetime()
