// What a run used of Microsoft's contracts, and where it broke them. A test run of many processes gathers its records in one directory.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Violation } from './violation.ts'

export type Service = 'graph' | 'exchange'

/** A violation with the request it was in: method and template, or cmdlet. No values. */
export interface RecordedViolation extends Violation {
  readonly request: string
}

export interface Use {
  readonly service: Service
  /** `GET /users/{user-id}/manager`, `Get-Mailbox` */
  readonly name: string
  /** As published: `listed`, `documented`, `inferred`, `delegated-only`; `unknown`. */
  readonly status: string
  readonly isWrite: boolean
  readonly tenantId: string
  readonly count: number
}

export interface ContractReport {
  readonly uses: readonly Use[]
  readonly violations: readonly RecordedViolation[]
}

export interface RecordOptions {
  /** Each use and violation is appended to a file in here, as a line of JSON. */
  readonly directory?: string
}

export class ContractRecord {
  readonly #uses = new Map<string, Use>()
  readonly #violations: RecordedViolation[] = []
  readonly #file: string | undefined

  constructor({ directory }: RecordOptions = {}) {
    this.#file = directory === undefined ? undefined : join(directory, `contract-${process.pid}.jsonl`)
  }

  use(service: Service, name: string, status: string, isWrite: boolean, tenantId: string): void {
    const key = `${service} ${tenantId} ${name}`
    const known = this.#uses.get(key)
    this.#uses.set(key, { service, name, status, isWrite, tenantId, count: (known?.count ?? 0) + 1 })
    // The first use tells all that a report of many processes wants.
    if (known === undefined) this.#append({ use: { service, name, status, isWrite, tenantId } })
  }

  violation(violation: RecordedViolation): void {
    this.#violations.push(violation)
    this.#append({ violation })
  }

  get violations(): readonly RecordedViolation[] {
    return this.#violations
  }

  report(): ContractReport {
    const byName = (a: Use, b: Use) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
    return { uses: [...this.#uses.values()].toSorted(byName), violations: [...this.#violations] }
  }

  #append(line: unknown): void {
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(line)}\n`)
  }
}
