// What is wrong with a configuration, or with a table, policy or key file: all of it at once, each fault with its place. (product.md §8)
import type { PolicyFault, TableFault } from '../rewrite-rules/index.ts'

export interface FaultPlace {
  readonly file: string
  /** 1 = the first; undefined where the file as a whole is meant */
  readonly line?: number
  /** `listeners[0].port`; empty for the file itself */
  readonly path: string
  /** As written, shortened; empty where there is nothing to show. */
  readonly value: string
  readonly rule: string
}

/** The file can't be used. */
export class SettingsFault extends Error {
  override readonly name = 'SettingsFault'
  readonly faults: readonly FaultPlace[]

  constructor(faults: readonly FaultPlace[], options?: { cause?: unknown }) {
    super(faults.map(faultText).join('\n'), options)
    this.faults = faults
  }
}

/** `relay.yaml:3: listeners[0].port: 99999: must be …` */
export function faultText({ file, line, path, value, rule }: FaultPlace): string {
  return [line === undefined ? file : `${file}:${line}`, path, value, rule].filter((part) => part !== '').join(': ')
}

/** Faults that the engine found in a table or policy, as places in the file they came from. */
export function placesOf(file: string, faults: (TableFault | PolicyFault)['faults']): FaultPlace[] {
  return faults.map(({ path, value, reason, rule }) => {
    // The engine's word for what isn't there at all.
    return { file, path, value: value === 'undefined' ? '' : value, rule: `${reason} (${rule})` }
  })
}
