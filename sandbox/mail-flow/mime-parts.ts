// Finds the leaves of a MIME message as spans of its bytes, for the rules that look at attachments or write into the text. One pass over the lines with
// a bounded stack of boundaries; a message nested deeper has its depths taken for text of the outermost part found.
import { endOfLine, isEmptyLine, parseMessage, valuesOf } from './header.ts'
import type { Message } from './header.ts'

const MAX_DEPTH = 20

export interface Part {
  /** Lower case, without parameters. */
  readonly type: string
  readonly charset: string
  /** Content-Transfer-Encoding, lower case. */
  readonly encoding: string
  /** Of an attachment. */
  readonly fileName: string | undefined
  readonly isAttachment: boolean
  /** Within a signed or encrypted part: it can't be changed. */
  readonly isSealed: boolean
  readonly start: number
  readonly end: number
}

interface Level {
  readonly boundary: string
  readonly isSealed: boolean
}

export function partsOf(bytes: Uint8Array): readonly Part[] {
  const parts: Part[] = []
  const levels: Level[] = []
  let headerStart: number | undefined = 0
  let leaf: Omit<Part, 'end'> | undefined
  let at = 0
  const closeLeaf = (lineStart: number) => {
    if (leaf !== undefined) parts.push({ ...leaf, end: Math.max(leaf.start, withoutLineEnd(bytes, lineStart)) })
    leaf = undefined
  }
  while (at < bytes.length) {
    const end = endOfLine(bytes, at)
    const delimiter = levels.length === 0 ? undefined : delimiterAt(bytes, at, end)
    const level = delimiter === undefined ? -1 : levels.findLastIndex(({ boundary }) => isOf(boundary, delimiter))
    if (level >= 0 && delimiter !== undefined) {
      closeLeaf(at)
      const isLast = delimiter !== `--${levels[level]?.boundary}`
      levels.length = isLast ? level : level + 1
      headerStart = isLast ? undefined : end
    } else if (headerStart !== undefined && isEmptyLine(bytes, at, end)) {
      const { boundary, ...found } = describe(parseMessage(bytes.subarray(headerStart, at)), end)
      const isSealed = found.isSealed || (levels.at(-1)?.isSealed ?? false)
      headerStart = undefined
      if (boundary !== undefined && levels.length < MAX_DEPTH) levels.push({ boundary, isSealed })
      else leaf = { ...found, isSealed }
    }
    at = end
  }
  if (leaf !== undefined) parts.push({ ...leaf, end: bytes.length })
  return parts
}

function describe(header: Message, start: number): Omit<Part, 'end'> & { readonly boundary: string | undefined } {
  const contentType = valuesOf(header, 'Content-Type')[0] ?? 'text/plain'
  const disposition = valuesOf(header, 'Content-Disposition')[0] ?? ''
  const type = (/^[^\s;]+/.exec(contentType)?.[0] ?? 'text/plain').toLowerCase()
  const fileName = parameter(disposition, 'filename') ?? parameter(contentType, 'name')
  return {
    type,
    charset: (parameter(contentType, 'charset') ?? 'us-ascii').toLowerCase(),
    encoding: (valuesOf(header, 'Content-Transfer-Encoding')[0] ?? '7bit').toLowerCase(),
    fileName,
    isAttachment: fileName !== undefined || disposition.toLowerCase().startsWith('attachment'),
    isSealed: /^(?:multipart\/(?:signed|encrypted)|application\/(?:x-)?pkcs7-mime)$/.test(type),
    boundary: type.startsWith('multipart/') ? parameter(contentType, 'boundary') : undefined,
    start,
  }
}

/** The last piece of one in several (RFC 2231), which is where an extension stands. */
function parameter(value: string, name: string): string | undefined {
  const found = value.matchAll(/;\s*([\w-]+)(?:\*\d+)?\*?\s*=\s*(?:"([^"]*)"|([^;\s"]+))/g)
  return [...found]
    .findLast(([, each]) => each?.toLowerCase() === name)
    ?.slice(2)
    .find((each) => each !== undefined)
}

/** A line that begins with `--`, without the space at its end; a boundary has 70 characters at most (RFC 2046 §5.1.1). */
function delimiterAt(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (bytes[start] !== 0x2d || bytes[start + 1] !== 0x2d || end - start > 120) return undefined
  return Buffer.from(bytes.subarray(start, end)).toString('utf8').trimEnd()
}

function isOf(boundary: string, delimiter: string): boolean {
  return delimiter === `--${boundary}` || delimiter === `--${boundary}--`
}

/** The line end before a delimiter belongs to it. */
function withoutLineEnd(bytes: Uint8Array, lineStart: number): number {
  if (bytes[lineStart - 1] !== 0x0a) return lineStart
  return bytes[lineStart - 2] === 0x0d ? lineStart - 2 : lineStart - 1
}
