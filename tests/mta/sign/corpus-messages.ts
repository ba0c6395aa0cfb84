// Messages of the shared corpus as a tenant would hand them over: line ends of the wire, one author in the project's domain.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { applyEdits, Refusal, scanHeader } from '../../../rewrite-rules/index.ts'
import { SHARED } from '../../harness/shared.ts'
import { PROJECT_DOMAIN } from './project-keys.ts'

export interface CorpusMessage {
  readonly path: string
  readonly tags: readonly string[]
  readonly bytes: Buffer
}

/** A CR or LF alone is refused before anything is signed (PH-1). */
const REFUSED = /(?<!\r)\n|\r(?!\n)/

/** Every message of the corpus that a relay would accept, as it is on the wire. */
export function* corpusMessages(): Generator<CorpusMessage> {
  const corpus = join(SHARED, 'corpus')
  const { files } = JSON.parse(readFileSync(join(corpus, 'manifest.json'), 'utf8')) as {
    files: { path: string; kind: string; tags: string[]; line_ending?: string }[]
  }
  for (const { path, kind, tags } of files) {
    if (kind !== 'eml') continue
    let text = readFileSync(join(corpus, path), 'latin1')
    if (tags.includes('mbox-from-line')) text = text.slice(text.indexOf('\n') + 1)
    if (!/\r(?!\n)/.test(text) && !tags.includes('mixed-line-endings')) text = text.replaceAll(/(?<!\r)\n/g, '\r\n')
    if (REFUSED.test(text)) continue
    // SMTP content ends with a line end (RFC 5321 §4.1.1.4).
    if (!text.endsWith('\r\n')) text += '\r\n'
    yield { path, tags, bytes: Buffer.from(text, 'latin1') }
  }
}

/** The message with one From in the project's domain in place of its own; undefined where the engine refuses its header. */
export function asProjectMail(message: Buffer): Buffer | undefined {
  try {
    const header = scanHeader(message)
    const rest = applyEdits(
      message,
      header.fields
        .filter(({ name }) => name === 'from' || name === 'dkim-signature')
        .map(({ start, end }) => ({ start, end, text: '' })),
    )
    return Buffer.concat([Buffer.from(`From: Alice <alice@${PROJECT_DOMAIN}>\r\n`), rest])
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}
