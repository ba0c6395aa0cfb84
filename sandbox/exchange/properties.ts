// Properties as they go over the wire: only those asked for, with the annotations that tell lists and GUIDs, times and sizes in Exchange's writing.
import { localiseSize } from './sizes.ts'
import type { SizeCulture } from './sizes.ts'

export type Properties = Readonly<Record<string, unknown>>

interface Spelling {
  readonly isWanted: boolean
  readonly write: (into: Record<string, unknown>, value: unknown) => void
}

/** Made once a page: what is to be done with a name is decided once, not in every row. */
export class PropertyWriter {
  readonly #select: ReadonlySet<string> | undefined
  readonly #culture: SizeCulture
  readonly #spellings = new Map<string, Spelling>()

  /** @param select  lower case; undefined: everything */
  constructor(select: ReadonlySet<string> | undefined, culture: SizeCulture) {
    this.#select = select
    this.#culture = culture
  }

  /** Later sources win. */
  write(...sources: readonly Properties[]): Record<string, unknown> {
    const row: Record<string, unknown> = {}
    for (let index = sources.length - 1; index >= 0; index--) {
      const source = sources[index] ?? {}
      for (const name in source) {
        const spelling = this.#spelling(name)
        if (spelling.isWanted && row[name] === undefined) spelling.write(row, source[name])
      }
    }
    return row
  }

  #spelling(name: string): Spelling {
    let known = this.#spellings.get(name)
    if (known === undefined) {
      known = {
        isWanted: this.#select === undefined || this.#select.has(name.toLowerCase()),
        write: this.#writerOf(name),
      }
      this.#spellings.set(name, known)
    }
    return known
  }

  #writerOf(name: string): Spelling['write'] {
    const dataType = `${name}@data.type`
    const odataType = `${name}@odata.type`
    if (/(?:Guid|^ExchangeObjectId)$/.test(name)) {
      return (row, value) => {
        if (value !== null) {
          row[dataType] = 'System.Guid'
          row[odataType] = '#Guid'
        }
        row[name] = value
      }
    }
    if (/^When\w+$/.test(name)) {
      return (row, value) => {
        if (value !== null) row[dataType] = 'System.DateTime'
        row[name] = exchangeTime(value, name.endsWith('UTC'))
      }
    }
    if (/(?:Size|Quota)$/.test(name)) {
      // Most rows hold the same quotas.
      const written = new Map<unknown, unknown>()
      return (row, value) => {
        if (!written.has(value)) written.set(value, localiseSize(value, this.#culture))
        row[name] = written.get(value)
      }
    }
    return (row, value) => {
      if (Array.isArray(value)) row[odataType] = '#Collection(String)'
      row[name] = value
    }
  }
}

/** `2024-05-22T16:52:10.0000000+00:00`; `…Z` of UTC properties. */
function exchangeTime(value: unknown, isUtc: boolean): unknown {
  const [, seconds, fraction = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z$/.exec(String(value)) ?? []
  return seconds === undefined ? value : `${seconds}.${fraction.padEnd(7, '0')}${isUtc ? 'Z' : '+00:00'}`
}
