// A field of tags with a signature in b= (RFC 6376 §3.5, §3.7; RFC 8463 §3): its text, folded, and how it is signed. DKIM-Signature,
// ARC-Message-Signature and ARC-Seal are of this kind.
import { createHash, sign } from 'node:crypto'
import { relaxedText } from './header-canon.ts'
import type { DkimKey } from './dkim-keys.ts'

export type Tag = readonly [name: string, value: string | readonly string[]]

// RFC 5322 §2.1.1: 78 without the line break.
const LINE_OCTETS = 78

/**
 * Makes the field.
 * @param tags  without b=; a list is written with colons
 * @param signed  canonical fields before this one, each with CR LF at its end
 * @returns the whole field, CR LF included
 */
export async function signedField(
  name: string,
  tags: readonly Tag[],
  signed: string,
  key: Pick<DkimKey, 'algorithm' | 'privateKey'>,
): Promise<string> {
  const text = foldTags(name.length + 2, [...tags, ['b', '']])
  // §3.7: the field itself comes last, b= empty, without a line break.
  const signature = await signBytes(key, Buffer.from(signed + relaxedText(name, text), 'latin1'))
  return `${name}: ${text}${foldBase64(signature.toString('base64'))}\r\n`
}

/** In the thread pool: an RSA signature takes longer than all else a message needs. */
function signBytes(
  { algorithm, privateKey }: Pick<DkimKey, 'algorithm' | 'privateKey'>,
  bytes: Buffer,
): Promise<Buffer> {
  return new Promise((done, fail) => {
    const settle = (error: Error | null, signature: Buffer): void => (error === null ? done(signature) : fail(error))
    if (algorithm === 'rsa-sha256') sign('sha256', bytes, privateKey, settle)
    // RFC 8463 §3: PureEdDSA over the hash.
    else sign(null, createHash('sha256').update(bytes).digest(), privateKey, settle)
  })
}

/** `a=1; b=2` with folds between tags and between the entries of lists, the last tag on a line of its own. */
function foldTags(nameLength: number, tags: readonly Tag[]): string {
  let text = ''
  let column = nameLength
  for (const [i, [name, value]] of tags.entries()) {
    const isLast = i === tags.length - 1
    const words =
      typeof value === 'string'
        ? [`${name}=${value}`]
        : value.map((entry, j) => (j === 0 ? `${name}=${entry}` : `:${entry}`))
    for (const [j, word] of words.entries()) {
      const end = j === words.length - 1 && !isLast ? ';' : ''
      const space = j === 0 && i > 0 ? ' ' : ''
      if (i > 0 && (column + space.length + word.length + end.length > LINE_OCTETS || (isLast && j === 0))) {
        text += `\r\n ${word}${end}`
        column = 1 + word.length + end.length
      } else {
        text += space + word + end
        column += space.length + word.length + end.length
      }
    }
  }
  return text
}

/** Lines after `\r\n b=`. */
function foldBase64(text: string): string {
  const first = LINE_OCTETS - ' b='.length
  let folded = text.slice(0, first)
  for (let at = first; at < text.length; at += LINE_OCTETS - 1) folded += `\r\n ${text.slice(at, at + LINE_OCTETS - 1)}`
  return folded
}
