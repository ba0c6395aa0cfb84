// What Graph says when it can't do what was asked: status, code and message in the published envelope (contracts: graph-errors.json).

export class GraphFault extends Error {
  override readonly name = 'GraphFault'
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

export const badRequest = (message: string): GraphFault => new GraphFault(400, 'Request_BadRequest', message)

/** For what only the advanced queries can, when they weren't asked for. */
export const unsupportedQuery = (message: string): GraphFault =>
  new GraphFault(400, 'Request_UnsupportedQuery', message)

export const notFound = (name: string): GraphFault =>
  new GraphFault(
    404,
    'Request_ResourceNotFound',
    `Resource '${name}' does not exist or one of its queried reference-property objects are not present.`,
  )

export const accessDenied = (): GraphFault =>
  new GraphFault(403, 'Authorization_RequestDenied', 'Insufficient privileges to complete the operation.')

export const expiredPageToken = (): GraphFault =>
  new GraphFault(
    400,
    'Directory_ExpiredPageToken',
    'The specified page token value has expired and can no longer be included in your request.',
  )

/** What identifies one request in answers and logs. */
export interface RequestTrace {
  readonly requestId: string
  readonly clientRequestId: string
  /** ms since the epoch */
  readonly atMs: number
}

export function errorBody({ code, message }: GraphFault, { requestId, clientRequestId, atMs }: RequestTrace): unknown {
  const date = new Date(atMs).toISOString().slice(0, 19)
  const innerError = { date, 'request-id': requestId, 'client-request-id': clientRequestId }
  return { error: { code, message, innerError } }
}
