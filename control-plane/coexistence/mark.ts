// The mark of ours in a connector's comment, a rule's comments and a group's notes: whose object it is, which one, and what it was made from. Anybody
// may write into those texts, so a mark is believed only whole, and what stands around it is kept. Pure. (coexistence.md §2)
import type { OwnMark } from './tenant-object.ts'

/** Exchange takes no longer comments. */
export const MAX_COMMENT_LENGTH = 1024

const MARK = /(?<![\w:.-])causeway:([A-Za-z0-9_]{1,64}):([a-z0-9-]{1,64}):([0-9a-f]{8,64})(?![\w:-])/g

export interface MarkedText {
  /** undefined: there is none, or more than one of different content, and nobody can say whose it is. */
  readonly mark: OwnMark | undefined
  /** What others wrote, trimmed. */
  readonly other: string
}

export function parseMark(text: string | null | undefined): MarkedText {
  if (text === null || text === undefined || text.length > MAX_COMMENT_LENGTH)
    return { mark: undefined, other: text ?? '' }
  const found = [...text.matchAll(MARK)]
  const [[, project, key, specHash] = []] = found
  const isOne = new Set(found.map(([whole]) => whole)).size === 1
  const mark =
    isOne && project !== undefined && key !== undefined && specHash !== undefined
      ? { project, key, specHash }
      : undefined
  return { mark, other: withoutMarks(text) }
}

/**
 * @param other  what stands there beside a mark; marks in it are replaced, its end is cut where it would not fit
 * @throws RangeError for a mark that could not be read again
 */
export function writeMark({ project, key, specHash }: OwnMark, other = ''): string {
  const mark = `causeway:${project}:${key}:${specHash}`
  if (withoutMarks(mark) !== '') throw new RangeError('not a mark that can be read again')
  // Where it is cut, what was none may become one.
  const kept = withoutMarks(withoutMarks(other).slice(0, MAX_COMMENT_LENGTH - mark.length - 1)).toWellFormed()
  return kept === '' ? mark : `${mark}\n${kept}`
}

/** To the end: what stood around one may be another. */
function withoutMarks(text: string): string {
  let left = text
  for (let before = ''; before !== left;) {
    before = left
    left = left.replaceAll(MARK, ' ').trim()
  }
  return left
}
