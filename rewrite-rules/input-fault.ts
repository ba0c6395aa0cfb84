// What is wrong with a table, a delta or a policy that someone wrote: all of it at once, each with its place and rule.

export interface Fault {
  /** Place in the input, lists counted from 0: `entries/17/known/2`. In CSV `row/18/known/2`: rows count from 1, the header line. */
  readonly path: string
  /** What stands there, as JSON, at most 200 characters. */
  readonly value: string
  /** `R3` of rewriting.md, `§13` of it, or `format`. */
  readonly rule: string
  /** For people; may hold addresses. */
  readonly reason: string
}

const MAX_FAULTS = 100
const MAX_VALUE_LENGTH = 200

/** The faults of one input, in the order found. Bounded: after `MAX_FAULTS` only `isFull` tells that there may be more. */
export class FaultList {
  readonly faults: Fault[] = []

  add(path: string, value: unknown, rule: string, reason: string): void {
    if (!this.isFull) this.faults.push({ path, value: shown(value), rule, reason })
  }

  get isFull(): boolean {
    return this.faults.length >= MAX_FAULTS
  }
}

function shown(value: unknown): string {
  // Cut before it is spelled out: a fault must not cost what the input does. What is no text is shown by its kind and size.
  const text =
    typeof value === 'string'
      ? JSON.stringify(value.slice(0, MAX_VALUE_LENGTH))
      : Array.isArray(value)
        ? `array of ${value.length}`
        : typeof value === 'object' && value !== null
          ? 'object'
          : String(value)
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH - 1)}…` : text
}

abstract class InputFault extends Error {
  readonly faults: readonly Fault[]

  constructor(subject: string, faults: readonly Fault[]) {
    const first = faults[0]
    // Without values and reasons: they hold addresses, and the message of an error ends up in a log.
    super(`${subject}: ${faults.length} faults, the first at "${first?.path ?? ''}" (${first?.rule ?? ''})`)
    this.faults = faults
  }
}

/** A mapping table or a delta of one that is not usable; whatever was in force before stays so (R3). */
export class TableFault extends InputFault {
  override readonly name = 'TableFault'

  constructor(faults: readonly Fault[]) {
    super('mapping table', faults)
  }
}

/** A policy that is not usable (rewriting.md §13). */
export class PolicyFault extends InputFault {
  override readonly name = 'PolicyFault'

  constructor(faults: readonly Fault[]) {
    super('policy', faults)
  }
}
