// The clients against a server of the test's own making that plays Entra, Graph and Exchange as badly as it likes. Everything it was sent is kept.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { Metrics } from '../../../common/metrics.ts'
import type { OrganisationId, ProjectId, TenantId } from '../../../control-plane/ids.ts'
import { parseBudgets } from '../../../control-plane/microsoft/budgets.ts'
import type { Connection, MicrosoftClients, Microsoft365 } from '../../../control-plane/microsoft/clients.ts'
import { createMicrosoft365 } from '../../../control-plane/microsoft/microsoft365.ts'
import type { Microsoft365Deps } from '../../../control-plane/microsoft/microsoft365.ts'
import { makeAppCertificate } from '../../harness/entra-seed.ts'
import { VirtualPace } from './virtual-pace.ts'

export const GRAPH_ORIGIN = 'https://graph.sandbox.test'
export const EXCHANGE_ORIGIN = 'https://outlook.sandbox.test'
export const TENANT = 'c0c0c0c0-0000-4000-8000-000000000001'
const CLIENT = '3a3a3a3a-0000-4000-8000-000000000002'

let certificate: ReturnType<typeof makeAppCertificate> | undefined

export function connectionOf(override: Partial<Connection> = {}): Connection {
  certificate ??= makeAppCertificate()
  return {
    organisation: 'org_1' as OrganisationId,
    project: 'prj_1' as ProjectId,
    tenant: 'tnt_1' as TenantId,
    cloud: 'global',
    entraTenantId: TENANT,
    clientId: CLIENT,
    ...certificate,
    ...override,
  }
}

/** What the server was asked, but for tokens. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Play = (asked: Asked, response: ServerResponse, nth: number) => void

export interface Scene extends MicrosoftClients {
  readonly asked: Asked[]
  readonly tokensGiven: () => number
  readonly pace: VirtualPace
  readonly logLines: string[]
  readonly metrics: Metrics
  readonly microsoft: Microsoft365
  readonly url: string
}

export interface SceneOptions extends Partial<Pick<Microsoft365Deps, 'jsonLimits' | 'reportLimits'>> {
  readonly budgets?: string
  readonly connection?: Partial<Connection>
}

export async function scene(t: TestContext, play: Play, options: SceneOptions = {}): Promise<Scene> {
  const asked: Asked[] = []
  let tokens = 0
  const url = await listening(t, (request, response) => {
    readAll(request).then((body) => {
      const { method = '', url: path = '', headers } = request
      if (path.includes('/oauth2/v2.0/token')) {
        tokens++
        json(response, { token_type: 'Bearer', expires_in: 3_599, access_token: `token-${tokens}` })
        return
      }
      const one = { method, path, headers, body }
      asked.push(one)
      play(one, response, asked.length)
    }, response.destroy.bind(response))
  })
  const pace = new VirtualPace()
  const logLines: string[] = []
  const metrics = emptyMetrics()
  const sandboxUrl = new URL(url)
  const { budgets = '', connection, ...limits } = options
  const fault = (rule: string): never => {
    throw new Error(rule)
  }
  const microsoft = createMicrosoft365({
    settings: {
      mode: 'evaluation',
      microsoft: {
        budgets: parseBudgets(budgets, fault),
        sandbox: { entra: sandboxUrl, graph: sandboxUrl, exchange: sandboxUrl },
      },
    },
    log: createLog({ write: (line) => logLines.push(line), level: 'debug', now: () => pace.now() }),
    metrics,
    now: () => pace.now(),
    monotonicMs: () => pace.monotonicMs(),
    pace,
    ...limits,
  })
  const clients = microsoft.clientsOf(connectionOf(connection))
  return { ...clients, asked, tokensGiven: () => tokens, pace, logLines, metrics, microsoft, url }
}

export async function listening(
  t: TestContext,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function json(response: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value))
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}
