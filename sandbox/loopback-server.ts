// HTTP servers of the sandbox: on loopback addresses only, since whoever reaches one may be anybody.
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import { isIP } from 'node:net'

export interface LoopbackServer {
  /** `http://127.0.0.1:41234` */
  readonly url: string
  close(): Promise<void>
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** @throws when the address is not of this machine alone, or can't be listened on */
export async function startLoopbackServer(
  at: { readonly address: string; readonly port: number },
  handler: Handler,
): Promise<LoopbackServer> {
  if (!isLoopback(at.address)) throw new Error('the sandbox listens on loopback addresses only')
  const server = createServer()
  const port = await listen(server, at)
  server.on('request', (request, response) => {
    handler(request, response).catch((error: unknown) => {
      answerOwnFault(response, error)
    })
  })
  return { url: `http://${isIP(at.address) === 6 ? `[${at.address}]` : at.address}:${port}`, close: () => stop(server) }
}

export async function listen(server: Server | TlsServer, at: { address: string; port: number }): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(at.port, at.address, resolve)
  })
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? bound.port : at.port
}

export function stop(server: Server | TlsServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address === 'localhost' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** A fault of the sandbox itself, told to whoever sees it first: nothing in here is secret. */
export function answerOwnFault(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const text = error instanceof Error ? error.stack : String(error)
  response.writeHead(500, { 'content-type': 'text/plain' }).end(text)
}
