// Changes of octets as data: which octets stay where, and what is new between them. A transfer encoding or a charset can then carry out the
// change in its own spelling and leave that of all other octets alone (R40, R54, R65).
import { Buffer } from 'node:buffer'

export type Piece =
  /** Octets that stay, by their position in the original. */
  | { readonly from: number; readonly to: number }
  /** New octets as latin1 text; a line break that is one may be spelled in a special way. */
  | { readonly added: string; readonly isLineBreak: boolean }

/**
 * Puts `pieces` in the place of the octets [start, end). Positions ascend, within one splice and from splice to splice, and none
 * is between a CR and its LF. A splice does not end with a line break that it replaces.
 */
export interface Splice {
  readonly start: number
  readonly end: number
  readonly pieces: readonly Piece[]
}

/** A body with its transfer encoding undone. */
export interface DecodedBody {
  readonly octets: Buffer
  /** There were characters outside the alphabet, or padding is wrong (`cte-suspicious`). */
  readonly isSuspicious: boolean
  /** The encoded body with `splices` of `octets` carried out. */
  encode(splices: readonly Splice[]): Buffer
}

export function applySplices(octets: Buffer, splices: readonly Splice[]): Buffer {
  let length = octets.length
  for (const { start, end, pieces } of splices) {
    length -= end - start
    for (const piece of pieces) length += 'added' in piece ? piece.added.length : piece.to - piece.from
  }
  const result = Buffer.allocUnsafe(length)
  let from = 0
  let to = 0
  for (const { start, end, pieces } of splices) {
    to += octets.copy(result, to, from, start)
    for (const piece of pieces) {
      if ('added' in piece) to += result.write(piece.added, to, 'latin1')
      else to += octets.copy(result, to, piece.from, piece.to)
    }
    from = end
  }
  octets.copy(result, to, from)
  return result
}
