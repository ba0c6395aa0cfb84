// Graph for one connection: what GraphClient promises, over calls that the caller makes. Paths and queries are ours, links are the service's own and
// checked before they are kept or followed.
import type { GraphClient, GraphPage, ReadOptions } from '../microsoft/clients.ts'
import { member } from '../microsoft/json-answer.ts'
import { checkLink } from '../microsoft/links.ts'
import type { Address } from '../microsoft/links.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { sendBatches } from './batch.ts'
import { readReport } from './report.ts'
import { graphAddress, graphCall } from './request.ts'
import type { GraphDeps } from './request.ts'
import type { GraphMethod } from './workload.ts'

export function createGraphClient(deps: GraphDeps): GraphClient {
  const { caller } = deps
  return {
    async get<T>(path: string, options: ReadOptions) {
      return (await caller.read(graphCall(deps, 'GET', graphAddress(deps, path, options.query), options))) as T
    },

    async page<T>(at: { readonly path: string } | { readonly link: string }, options: ReadOptions) {
      const address = 'link' in at ? linkAddress(deps, at.link, options) : graphAddress(deps, at.path, options.query)
      const call = { ...graphCall(deps, 'GET', address, options), isExpected: isPage }
      return readPage<T>(deps, await caller.read(call), address, options)
    },

    report: (path, options) =>
      readReport(caller, graphCall(deps, 'GET', graphAddress(deps, path, options.query), options)),

    batch: (calls, options) => sendBatches(deps, calls, options),

    async write<T>(method: Exclude<GraphMethod, 'GET'>, path: string, body: unknown, options: ReadOptions) {
      const call = graphCall(deps, method, graphAddress(deps, path, options.query), options)
      const value = await caller.write(body === undefined ? call : { ...call, body })
      return value === null ? undefined : (value as T)
    },
  }
}

function linkAddress({ caller }: GraphDeps, link: unknown, { operation }: ReadOptions): Address {
  try {
    return checkLink(caller.endpoints, 'graph', link)
  } catch (error) {
    throw error instanceof MicrosoftError ? new MicrosoftError(error.code, { operation }) : error
  }
}

const isPage = (value: unknown): boolean => Array.isArray(member(value, 'value'))

/** A link that leads back to its own page would be followed for ever; longer rounds are for whoever follows links to see. */
function readPage<T>(deps: GraphDeps, value: unknown, asked: Address, options: ReadOptions): GraphPage<T> {
  const link = (name: string): string | undefined => {
    const text = member(value, name)
    if (text === undefined || text === null) return undefined
    const { url } = linkAddress(deps, text, options)
    if (name === '@odata.nextLink' && url.href === asked.url.href)
      throw new MicrosoftError('LINK_REFUSED', { operation: options.operation })
    return text as string
  }
  return {
    items: member(value, 'value') as readonly T[],
    next: link('@odata.nextLink'),
    delta: link('@odata.deltaLink'),
  }
}
