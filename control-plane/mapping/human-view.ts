// A message as a mail program would show it, for the person who looks at a preview. It decides nothing (PS-1), reads the beginning only, and what
// it gives is text (WS-3).
import { simpleParser } from 'mailparser'
import type { AddressObject } from 'mailparser'
import { z } from 'zod'

/** Of the message that are read. */
const MAX_BYTES = 256 * 1024
/** UTF-16 code units that are shown. */
const MAX_FIELD = 2_000
const MAX_TEXT = 10_000
const MAX_ATTACHMENTS = 50

export const viewSchema = z
  .strictObject({
    subject: z.string().optional(),
    from: z.string().optional(),
    to: z.string().optional(),
    cc: z.string().optional(),
    replyTo: z.string().optional(),
    date: z.iso.datetime().optional(),
    text: z.string().optional().meta({ description: 'The beginning of the first plain text.' }),
    attachments: z.array(z.strictObject({ name: z.string().optional(), type: z.string() })),
    isCut: z.boolean().meta({ description: 'Only the beginning of the message was read.' }),
  })
  .meta({ id: 'MessageView', description: 'As a mail program would show it; decides nothing.' })

export type MessageView = z.output<typeof viewSchema>

/** @param message  its first chunks at least */
export async function viewMessage(message: readonly Buffer[]): Promise<MessageView> {
  const beginning = firstBytes(message, MAX_BYTES + 1)
  const parsed = await simpleParser(beginning.subarray(0, MAX_BYTES), {
    skipHtmlToText: true,
    skipTextToHtml: true,
    skipTextLinks: true,
    skipImageLinks: true,
  })
  const { subject, date, text } = parsed
  return {
    ...shown('subject', subject, MAX_FIELD),
    ...shown('from', addressText(parsed.from), MAX_FIELD),
    ...shown('to', addressText(parsed.to), MAX_FIELD),
    ...shown('cc', addressText(parsed.cc), MAX_FIELD),
    ...shown('replyTo', addressText(parsed.replyTo), MAX_FIELD),
    ...(date === undefined || Number.isNaN(date.getTime()) ? {} : { date: date.toISOString() }),
    ...shown('text', text, MAX_TEXT),
    attachments: parsed.attachments.slice(0, MAX_ATTACHMENTS).map(({ filename, contentType }) => ({
      ...shown('name', filename, MAX_FIELD),
      type: cut(contentType, MAX_FIELD),
    })),
    isCut: beginning.length > MAX_BYTES,
  }
}

function firstBytes(chunks: readonly Buffer[], count: number): Buffer {
  const taken: Buffer[] = []
  let left = count
  for (const chunk of chunks) {
    if (left <= 0) break
    taken.push(chunk.subarray(0, left))
    left -= chunk.length
  }
  return Buffer.concat(taken)
}

function addressText(address: AddressObject | AddressObject[] | undefined): string | undefined {
  if (address === undefined) return undefined
  return Array.isArray(address) ? address.map(({ text }) => text).join(', ') : address.text
}

function shown<K extends string>(name: K, text: string | undefined, max: number): Partial<Record<K, string>> {
  return text === undefined || text === '' ? {} : ({ [name]: cut(text, max) } as Partial<Record<K, string>>)
}

const cut = (text: string, max: number): string => (text.length > max ? `${text.slice(0, max - 1)}…` : text)
