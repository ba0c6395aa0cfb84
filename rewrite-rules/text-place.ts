// Where in a text something stands, for people: counted along while the text goes by.

export interface Place {
  /** From 1. */
  readonly line: number
  /** In characters, from 1. */
  readonly column: number
}

const LF = 0x0a

/** Counts lines and columns of UTF-8. */
export class PlaceCounter {
  #line = 1
  #column = 1

  get place(): Place {
    return { line: this.#line, column: this.#column }
  }

  advance(bytes: Uint8Array, start: number, end: number): void {
    let from = start
    for (let at = bytes.indexOf(LF, start); at >= 0 && at < end; at = bytes.indexOf(LF, at + 1)) {
      this.#line++
      this.#column = 1
      from = at + 1
    }
    for (let at = from; at < end; at++) if (((bytes[at] ?? 0) & 0xc0) !== 0x80) this.#column++
  }
}
