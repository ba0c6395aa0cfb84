// One operation asked for by somebody who may: what a handler gets, and what it gives back.
import type { GraphOperation } from '../contract/graph-paths.ts'
import type { AppCaller, SandboxServices } from '../services.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import type { DirectoryIndex } from './directory-index.ts'
import { badRequest } from './graph-error.ts'
import type { GraphState } from './graph-state.ts'

export interface GraphCall {
  readonly services: SandboxServices
  readonly state: GraphState
  readonly tenant: SimulatedTenant
  readonly index: DirectoryIndex
  readonly caller: AppCaller
  readonly operation: GraphOperation
  /** After the version, as it came. */
  readonly path: string
  readonly query: URLSearchParams
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Parsed JSON; undefined: none. */
  readonly body: unknown
  /** What a link of ours was made with, when this is one. */
  readonly link: unknown
  readonly nowMs: number
  /** Of the request that it came in: a batch hands its members on. */
  readonly dispatch: Dispatch
}

/** One request of a batch, answered as if it had come alone. */
export type Dispatch = (request: {
  readonly method: string
  /** Relative to the version. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: unknown
}) => Promise<GraphAnswer>

export interface GraphAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly content:
    | { readonly kind: 'json'; readonly body: unknown }
    | { readonly kind: 'text'; readonly type: string; readonly text: string }
    | { readonly kind: 'none' }
  /** A fault that hits the connection of a whole batch, not its member alone. */
  readonly breaks?: 'reset' | 'cut'
}

export type GraphHandler = (call: GraphCall) => GraphAnswer | Promise<GraphAnswer>

export function json(body: unknown, status = 200): GraphAnswer {
  return { status, content: { kind: 'json', body } }
}

/** From the path. @throws GraphFault 400 when the operation has none */
export function parameter(call: GraphCall, name: string): string {
  const value = call.operation.parameters[name]
  if (value === undefined) throw badRequest(`The parameter '${name}' is missing.`)
  return value
}
