// Lines of a file, which end in LF and in nothing else: node's readline also splits at U+2028, which a display name may hold.
import { createReadStream } from 'node:fs'

export interface Line {
  readonly text: string
  /** Whether it ended; only the last may not. */
  readonly isWhole: boolean
}

/** UTF-8. Empty lines too. */
export async function* linesOf(path: string): AsyncGenerator<Line> {
  let rest = ''
  for await (const chunk of createReadStream(path, 'utf8') as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const text of parts) yield { text, isWhole: true }
  }
  if (rest !== '') yield { text: rest, isWhole: false }
}

/** @throws when the last line did not end */
export async function* whole(lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  for await (const line of lines) {
    if (!line.isWhole) throw new Error('a file ends in the middle of a line')
    yield line
  }
}
