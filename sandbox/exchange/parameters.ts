// Parameters of a cmdlet as a call gives them: names in any case, switches as true, lists as arrays or one value. The contract has judged them before.
import { unfitValue } from './exchange-error.ts'

/** Accepted by every cmdlet, and heeded by none here. */
const COMMON = new Set(
  [
    'Verbose',
    'Debug',
    'ErrorAction',
    'WarningAction',
    'InformationAction',
    'ErrorVariable',
    'WarningVariable',
    'InformationVariable',
    'OutVariable',
    'OutBuffer',
    'PipelineVariable',
    'ProgressAction',
  ].map((name) => name.toLowerCase()),
)

export class Parameters {
  readonly #given: ReadonlyMap<string, { readonly name: string; readonly value: unknown }>

  constructor(given: Readonly<Record<string, unknown>>) {
    const entries = Object.entries(given).filter(([name]) => !name.includes('@odata.'))
    this.#given = new Map(entries.map(([name, value]) => [name.toLowerCase(), { name, value }]))
  }

  /** Names as given, common ones left out. */
  get names(): readonly string[] {
    return [...this.#given.entries()].filter(([key]) => !COMMON.has(key)).map(([, { name }]) => name)
  }

  has(name: string): boolean {
    return this.value(name) !== undefined
  }

  /** As given, by name; null where that was given. */
  get given(): Readonly<Record<string, unknown>> {
    return Object.fromEntries([...this.#given.values()].map(({ name, value }) => [name, value]))
  }

  /** As it is in the JSON; null counts as not given. */
  value(name: string): unknown {
    return this.#given.get(name.toLowerCase())?.value ?? undefined
  }

  /** @throws ExchangeError when it is no text */
  text(name: string): string | undefined {
    const value = this.value(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    if (typeof value !== 'string') throw unfitValue(name, 'Cannot convert value to type "System.String".')
    return value
  }

  /** A switch, or a Boolean; `$true` counts. */
  isOn(name: string): boolean {
    return this.flag(name) === true
  }

  /** undefined: not given. @throws ExchangeError when it is neither true nor false */
  flag(name: string): boolean | undefined {
    const value = this.value(name)
    if (value === undefined || typeof value === 'boolean') return value
    const text = typeof value === 'string' ? value.replace('$', '').toLowerCase() : ''
    if (text === 'true' || text === 'false') return text === 'true'
    throw unfitValue(name, 'Cannot convert value to type "System.Boolean".')
  }

  /** Several values as an array, one alone as text or with commas, as PowerShell writes them. */
  list(name: string): readonly string[] | undefined {
    const value = this.value(name)
    if (value === undefined) return undefined
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    return values.flatMap((each) => {
      if (typeof each !== 'string') throw unfitValue(name, 'Cannot convert value to type "System.String[]".')
      return each.split(',').map((part) => part.trim())
    })
  }

  /** undefined: not given. @throws ExchangeError when it is neither a number nor `Unlimited` */
  resultSize(): number | undefined {
    const text = this.text('ResultSize')
    if (text === undefined) return undefined
    if (text.toLowerCase() === 'unlimited') return Number.POSITIVE_INFINITY
    if (/^\d{1,10}$/.test(text) && Number(text) > 0) return Number(text)
    throw unfitValue('ResultSize', 'Cannot convert value to type "Microsoft.Exchange.Data.Unlimited`1[System.UInt32]".')
  }
}
