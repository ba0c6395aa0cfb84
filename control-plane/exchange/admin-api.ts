// Exchange's cmdlets over HTTPS for one connection: InvokeCommand, as Microsoft's own PowerShell module speaks it (undocumented; seen in public code,
// microsoft-365.md §14.1). Everything about that transport is in this file, so that a documented one can follow.
import type { Budgets } from '../microsoft/budgets.ts'
import type { Call, Caller } from '../microsoft/caller.ts'
import type { Connection, ExchangeClient, Parameters } from '../microsoft/clients.ts'
import type { Claim } from '../microsoft/governor.ts'
import { listMember, member } from '../microsoft/json-answer.ts'
import { checkLink, ownAddress } from '../microsoft/links.ts'
import type { Address } from '../microsoft/links.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { judgeExchangeError } from './exchange-error.ts'

export interface ExchangeDeps {
  readonly connection: Connection
  readonly caller: Caller
  readonly budgets: Budgets
}

/** The organisation's own mailbox: calls about nobody in particular are routed by it. */
const ANCHOR = 'APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}'
const PAGE_SIZE = 1_000
/** Ten million rows: more is a service that goes round in circles. */
const MAX_PAGES = 10_000
const READ = /^(?:Get|Test)-[A-Za-z]{1,60}$/
const CMDLET = /^[A-Z][a-z]+-[A-Za-z]{1,60}$/
const PROPERTY = /^[A-Za-z]\w{0,100}$/

export function createExchangeClient(deps: ExchangeDeps): ExchangeClient {
  return {
    async *read<T>(
      cmdlet: string,
      parameters: Parameters,
      { select = [], signal }: { readonly select?: readonly string[]; readonly signal?: AbortSignal } = {},
    ) {
      if (!READ.test(cmdlet) || !select.every((name) => PROPERTY.test(name)))
        throw new Error('unreachable: not a cmdlet that reads, or not properties')
      const query = select.length === 0 ? '' : `?$select=${select.join(',')}`
      const been = new Set<string>()
      let address: Address | undefined = commandAddress(deps, query)
      while (address !== undefined) {
        been.add(address.url.href)
        const answer = await deps.caller.read(call(deps, cmdlet, parameters, { address, isRead: true, signal }))
        const next = member(answer, '@odata.nextLink')
        // Followed by posting the same again; never back to where we were.
        address = next === undefined || next === null ? undefined : nextAddress(deps, cmdlet, next, been)
        yield rowsOf(answer) as readonly T[]
      }
    },

    async invoke<T>(cmdlet: string, parameters: Parameters, { signal }: { readonly signal?: AbortSignal } = {}) {
      if (!CMDLET.test(cmdlet)) throw new Error('unreachable: not a cmdlet')
      const address = commandAddress(deps, '')
      const answer = await deps.caller.write(call(deps, cmdlet, parameters, { address, isRead: false, signal }))
      return rowsOf(answer) as readonly T[]
    },
  }
}

function commandAddress({ caller, connection }: ExchangeDeps, query: string): Address {
  return ownAddress(caller.endpoints.exchange, `/adminapi/beta/${connection.entraTenantId}/InvokeCommand${query}`)
}

function nextAddress({ caller }: ExchangeDeps, cmdlet: string, link: unknown, been: ReadonlySet<string>): Address {
  try {
    const address = checkLink(caller.endpoints, 'exchange', link)
    if (!been.has(address.url.href) && been.size < MAX_PAGES) return address
  } catch (error) {
    if (!(error instanceof MicrosoftError)) throw error
  }
  throw new MicrosoftError('LINK_REFUSED', { operation: cmdlet })
}

interface Sent {
  readonly address: Address
  readonly isRead: boolean
  readonly signal: AbortSignal | undefined
}

function call(deps: ExchangeDeps, cmdlet: string, parameters: Parameters, sent: Sent): Call {
  const { connection, budgets } = deps
  return {
    service: 'exchange',
    operation: cmdlet,
    method: 'POST',
    address: sent.address,
    headers: {
      accept: 'application/json; odata.metadata=minimal',
      prefer: `odata.maxpagesize=${PAGE_SIZE}`,
      'x-anchormailbox': `${ANCHOR}@${connection.entraTenantId}`,
      'x-cmdletname': cmdlet,
      'parameter-based-routing': 'true',
    },
    body: { CmdletInput: { CmdletName: cmdlet, Parameters: parameters } },
    claims: exchangeClaims(budgets, connection, sent.isRead),
    judge: judgeExchangeError,
    isExpected: (value) => value === null || Array.isArray(member(value, 'value')),
    countWarnings: (value) => listMember(value, '@adminapi.warnings').length,
    signal: sent.signal,
  }
}

/** What is throttled is the organisation: reads and writes rest together, but stand in lines of their own. */
function exchangeClaims(budgets: Budgets, { clientId, entraTenantId }: Connection, isRead: boolean): Claim[] {
  const own = `${clientId} ${entraTenantId}`
  const kind = isRead ? 'exchange-reads' : 'exchange-writes'
  return [
    { bucket: `exchange ${own}`, limit: {}, cost: 1 },
    { bucket: `${kind} ${own}`, limit: budgets[kind], cost: 1 },
  ]
}

const rowsOf = (answer: unknown): readonly unknown[] => listMember(answer, 'value')
