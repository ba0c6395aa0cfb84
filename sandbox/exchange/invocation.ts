// A call of InvokeCommand as it came, alone or as a member of a batch, and what its headers, query and body have to be. (microsoft-365.md §14.1)
import type { Violation } from '../contract/violation.ts'

export interface Invocation {
  /** `/adminapi/beta/{tenant}/InvokeCommand` */
  readonly path: string
  readonly query: URLSearchParams
  /** By name in lower case. */
  readonly headers: (name: string) => string | undefined
  /** Parsed JSON; undefined: it was none. */
  readonly body: unknown
}

export interface CmdletInput {
  /** As the call writes it. */
  readonly name: string
  readonly parameters: Readonly<Record<string, unknown>>
}

const MAX_PAGE_SIZE = 1000
/** Whom a call may be routed by: the organisation's system mailbox, or somebody's name. */
const ANCHOR = /^(?:APP:|UPN:|SMTP:|OID:)?[^\s@]+@[^\s@]+$/i
const QUERY_OPTIONS: ReadonlySet<string> = new Set(['$select', '$skiptoken'])

/** `{"CmdletInput":{"CmdletName":…,"Parameters":{…}}}`, in this case of letters; undefined: something else. */
export function readInput(body: unknown): CmdletInput | undefined {
  if (!isRecord(body) || !hasOnly(body, ['CmdletInput'])) return undefined
  const input = body['CmdletInput']
  if (!isRecord(input) || !hasOnly(input, ['CmdletName', 'Parameters'])) return undefined
  const { CmdletName: name, Parameters: parameters = {} } = input
  if (typeof name !== 'string' || name === '' || !isRecord(parameters)) return undefined
  return { name, parameters }
}

/** What this call lacks, or says of another. @param cmdlet  the one in the body */
export function checkHeaders({ headers, query }: Invocation, cmdlet: string): readonly Violation[] {
  const faults: Violation[] = []
  const fault = (rule: Violation['rule'], where: string, message: string) =>
    faults.push({ rule, where, message, status: 400 })
  if (!/^application\/json\b/i.test(headers('content-type') ?? '')) {
    fault('wrong-header', 'Content-Type', 'Content-Type has to be application/json.')
  }
  if (headers('x-cmdletname')?.toLowerCase() !== cmdlet.toLowerCase()) {
    fault('wrong-header', 'X-CmdletName', 'X-CmdletName has to name the cmdlet of the body.')
  }
  if (!ANCHOR.test(headers('x-anchormailbox') ?? '')) {
    fault('wrong-header', 'X-AnchorMailbox', 'X-AnchorMailbox has to name a mailbox.')
  }
  for (const name of new Set(query.keys())) {
    if (!QUERY_OPTIONS.has(name) || query.getAll(name).length > 1) {
      fault('unknown-query-option', name.slice(0, 60), 'The query holds an option that InvokeCommand does not have.')
    }
  }
  return faults
}

/** @param prefer  `odata.maxpagesize=1000;odata.continue-on-error` */
export function readPageSize(prefer: string | undefined): number {
  const asked = Number(/odata\.maxpagesize\s*=\s*(\d{1,9})/i.exec(prefer ?? '')?.[1] ?? MAX_PAGE_SIZE)
  return Math.min(Math.max(asked, 1), MAX_PAGE_SIZE)
}

/** Names in lower case; undefined: all. */
export function readSelect(select: string | undefined): ReadonlySet<string> | undefined {
  const names = (select ?? '').split(',').map((name) => name.trim().toLowerCase())
  const given = names.filter((name) => name !== '')
  return given.length === 0 ? undefined : new Set(given)
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function hasOnly(record: Record<string, unknown>, names: readonly string[]): boolean {
  return Object.keys(record).every((name) => names.includes(name) || name.includes('@odata.'))
}
