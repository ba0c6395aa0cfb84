// Chance that comes out alike from the same seed (sfc32 by Chris Doty-Humphrey, seeded by splitmix32). Not for secrets.

export class SeededRandom {
  #a: number
  #b: number
  #c: number
  #counter = 1
  readonly #text = Buffer.from('-'.repeat(36))

  /** @param seed  any whole number; its low 32 bits count */
  constructor(seed: number) {
    let state = seed >>> 0
    const mixed = () => {
      state = (state + 0x9e3779b9) >>> 0
      let z = state
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
      return (z ^ (z >>> 15)) >>> 0
    }
    this.#a = mixed()
    this.#b = mixed()
    this.#c = mixed()
    for (let round = 0; round < 12; round++) this.word()
  }

  /** 32 bits. */
  word(): number {
    const sum = (this.#a + this.#b + this.#counter) >>> 0
    this.#counter = (this.#counter + 1) >>> 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) >>> 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0
    return sum
  }

  /** From 0 up to, but not including, `end`. */
  below(end: number): number {
    return Math.floor((this.word() / 2 ** 32) * end)
  }

  between(first: number, last: number): number {
    return first + this.below(last - first + 1)
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0]
  }

  /** Shaped as version 4 (RFC 9562). */
  guid(): string {
    // Written into bytes and read out whole: pieces put together stay pieces in memory, which a hundred thousand objects feel.
    let digit = 0
    for (let nth = 0; nth < 4; nth++) {
      for (let word = this.word(), shift = 28; shift >= 0; shift -= 4) {
        const value = (word >>> shift) & 15
        this.#text[PLACES[digit] ?? 0] = HEX[digit === 12 ? 4 : digit === 16 ? 8 | (value & 3) : value] ?? 0
        digit++
      }
    }
    return this.#text.toString('latin1')
  }
}

const HEX = Buffer.from('0123456789abcdef')
/** Where the 32 digits stand among the dashes. */
const PLACES = Array.from({ length: 32 }, (_, digit) => digit + [8, 12, 16, 20].filter((dash) => dash <= digit).length)
