// JSON of an answer: read under the sender's bound, and its members found whatever their case, because Microsoft's own samples have `Error` where the
// metadata says `error` (microsoft-365.md §3, field case).
import { isUtf8 } from 'node:buffer'
import type { Answer } from './sender.ts'

/** undefined: no JSON. An empty body is `null`. @throws MicrosoftError as Answer.body does */
export async function readJson(answer: Answer): Promise<{ readonly value: unknown } | undefined> {
  const chunks: Uint8Array[] = []
  for await (const chunk of answer.body()) chunks.push(chunk)
  if (chunks.length === 0) return { value: null }
  if (!isJsonType(answer.headers.get('content-type'))) return undefined
  const bytes = Buffer.concat(chunks)
  if (!isUtf8(bytes)) return undefined
  try {
    return { value: JSON.parse(bytes.toString()) as unknown }
  } catch {
    return undefined
  }
}

const isJsonType = (type: string | null): boolean => /^application\/(?:[\w.-]+\+)?json\b/i.test(type ?? '')

/** A member by its name in any case; the exact one first. */
export function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const record = value as Record<string, unknown>
  if (Object.hasOwn(record, name)) return record[name]
  const lower = name.toLowerCase()
  const found = Object.keys(record).find((key) => key.toLowerCase() === lower)
  return found === undefined ? undefined : record[found]
}

export function textMember(value: unknown, name: string): string | undefined {
  const found = member(value, name)
  return typeof found === 'string' ? found : undefined
}

export function listMember(value: unknown, name: string): readonly unknown[] {
  const found = member(value, name)
  return Array.isArray(found) ? found : []
}
