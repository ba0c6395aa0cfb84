// Command lines out of a stream of octets. Only CR LF ends a line; a CR, LF or NUL elsewhere is a fault of the session. (PH-1) Pure.

const LF = 0x0a

export type CommandLine =
  /** Octets of the line as latin1 text, without its CR LF. */
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'too-long' }
  /** Bare CR, bare LF or NUL: nothing after it can be trusted to be what it seems. */
  | { readonly kind: 'malformed' }

export interface CommandRead {
  /** undefined: the line is not complete yet, and all of the chunk was taken. */
  readonly line: CommandLine | undefined
  /** Offset in the chunk of what follows. */
  readonly end: number
}

export class CommandReader {
  readonly #maxBytes: number
  #pending = ''
  /** The current line is too long already: what comes of it is dropped. */
  #isTooLong = false
  #endedWithCr = false

  /** @param maxBytes  of a line with its CR LF */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Beginning of a line whose end hasn't come yet; `""` where that line is too long. */
  get pending(): string {
    return this.#pending
  }

  /** Reads on in `chunk` from `start`, to the end of one line at most. */
  read(chunk: Buffer, start: number): CommandRead {
    const lf = chunk.indexOf(LF, start)
    const end = lf === -1 ? chunk.length : lf + 1
    const piece = chunk.toString('latin1', start, end)
    if (this.#isMalformed(piece, lf !== -1)) return { line: { kind: 'malformed' }, end }

    if (this.#pending.length + piece.length > this.#maxBytes) this.#isTooLong = true
    const text = this.#isTooLong ? '' : this.#pending + piece
    if (lf === -1) {
      this.#pending = text
      if (piece !== '') this.#endedWithCr = piece.endsWith('\r')
      return { line: undefined, end }
    }
    const line: CommandLine = this.#isTooLong ? { kind: 'too-long' } : { kind: 'line', text: text.slice(0, -2) }
    this.#pending = ''
    this.#isTooLong = false
    this.#endedWithCr = false
    return { line, end }
  }

  /** @param isLast  `piece` ends with the line's LF; it holds no other */
  #isMalformed(piece: string, isLast: boolean): boolean {
    if (piece.includes('\0')) return true
    if (this.#endedWithCr && piece !== '' && piece !== '\n') return true
    const cr = piece.indexOf('\r')
    if (!isLast) return cr !== -1 && cr !== piece.length - 1
    return piece === '\n' ? !this.#endedWithCr : cr !== piece.length - 2
  }
}
