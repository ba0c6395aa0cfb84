// The simulated Exchange on a port of its own, over small tenants written by hand, and a client that says what the module says.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { SandboxClock } from '../../../sandbox/clock.ts'
import { loadContracts } from '../../../sandbox/contract/contracts.ts'
import { ContractRecord } from '../../../sandbox/contract/record.ts'
import { defaultBehaviour } from '../../../sandbox/exchange/behaviour.ts'
import type { ExchangeBehaviour } from '../../../sandbox/exchange/behaviour.ts'
import type { CmdletTable } from '../../../sandbox/exchange/cmdlets.ts'
import { handleExchange } from '../../../sandbox/exchange/endpoints.ts'
import { Faults } from '../../../sandbox/faults/faults.ts'
import type { AppCaller, SandboxServices } from '../../../sandbox/services.ts'
import type { DirectoryObject, ExchangeObject, Recipient, TenantData } from '../../../sandbox/tenants/objects.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'

export const TENANT = 'aaaaaaaa-0000-4000-8000-000000000001'
export const OTHER_TENANT = 'bbbbbbbb-0000-4000-8000-000000000002'
export const CLIENT = 'cccccccc-0000-4000-8000-000000000003'
export const CONTRACTS = loadContracts(join(import.meta.dirname, '..', '..', 'contracts'))

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of JSON; {} otherwise. */
  readonly body: ExchangeBody
}

export interface ExchangeBody {
  readonly value?: readonly Record<string, unknown>[]
  readonly '@odata.nextLink'?: string
  readonly '@adminapi.warnings'?: readonly string[]
  readonly error?: {
    readonly code: string
    readonly message: string
    readonly details?: readonly { readonly code: string; readonly target: string; readonly message: string }[]
    readonly innererror?: { readonly internalexception?: { readonly message: string; readonly type: string } }
  }
  readonly responses?: readonly { readonly id: string; readonly status: number; readonly body: ExchangeBody }[]
}

export interface CallOptions {
  readonly select?: string
  /** Over those of every call; undefined: left out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  /** In place of InvokeCommand of the tenant. */
  readonly path?: string
  readonly signal?: AbortSignal
}

export interface ExchangeServer {
  readonly url: string
  readonly tenant: SimulatedTenant
  readonly services: SandboxServices
  readonly behaviour: ExchangeBehaviour
  /** Given to the application by the tenant's administrator; changed in place. */
  readonly roles: string[]
  readonly call: (cmdlet: string, parameters?: Record<string, unknown>, options?: CallOptions) => Promise<Answer>
  readonly post: (path: string, body: string, headers: Readonly<Record<string, string | undefined>>) => Promise<Answer>
  /** What a link is fetched with: the call's own body again. */
  readonly follow: (
    link: string,
    cmdlet: string,
    parameters: Record<string, unknown>,
    headers?: CallOptions['headers'],
  ) => Promise<Answer>
}

export interface ServerOptions {
  readonly objects?: readonly DirectoryObject[]
  readonly recipients?: readonly Recipient[]
  readonly exchangeObjects?: readonly ExchangeObject[]
  readonly roles?: readonly string[]
  readonly cmdlets?: CmdletTable
}

/** Token texts that the server takes, and what they are worth. */
const CALLERS: Readonly<Record<string, AppCaller>> = {
  'Bearer good': { tenantId: TENANT, clientId: CLIENT, roles: ['Exchange.ManageAsApp'] },
  'Bearer no-role': { tenantId: TENANT, clientId: CLIENT, roles: [] },
  'Bearer other': { tenantId: OTHER_TENANT, clientId: CLIENT, roles: ['Exchange.ManageAsApp'] },
}

export async function startExchange(t: TestContext, options: ServerOptions = {}): Promise<ExchangeServer> {
  const tenant = new SimulatedTenant(tenantData(options))
  const behaviour = defaultBehaviour()
  const roles = [...(options.roles ?? ['Exchange Administrator'])]
  let made = 0
  const services: SandboxServices = {
    tenants: new Map([
      [TENANT, tenant],
      [OTHER_TENANT, new SimulatedTenant({ ...tenantData({}), id: OTHER_TENANT })],
    ]),
    clock: new SandboxClock(() => Date.UTC(2026, 0, 1)),
    contracts: CONTRACTS,
    record: new ContractRecord(),
    faults: new Faults(),
    callerOf: (authorization, audience) =>
      Promise.resolve(audience === 'https://outlook.office365.com' ? CALLERS[authorization ?? ''] : undefined),
    servicePrincipals: () => [
      { id: 'dddddddd-0000-4000-8000-000000000004', appId: CLIENT, displayName: 'Causeway', grantedRoles: {} },
    ],
    exchangeRoles: () => roles,
    exchangeBehaviour: behaviour,
    guid: () => guid('e', (made += 1)),
  }
  const server = createServer((request, response) => {
    handleExchange(services, request, response, ...(options.cmdlets === undefined ? [] : [options.cmdlets])).catch(
      (error: unknown) => {
        if (!response.headersSent) response.writeHead(500)
        response.end(String(error))
      },
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const send = async (
    path: string,
    body: string,
    headers: Readonly<Record<string, string | undefined>>,
    signal?: AbortSignal,
  ) => {
    const given = Object.entries(headers).filter((header): header is [string, string] => header[1] !== undefined)
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      body,
      headers: given,
      ...(signal === undefined ? {} : { signal }),
    })
    return readAnswer(response)
  }
  const call: ExchangeServer['call'] = (cmdlet, parameters = {}, { select, headers, path, signal } = {}) => {
    const query = select === undefined ? '' : `?$select=${encodeURIComponent(select)}`
    return send(
      path ?? `/adminapi/beta/${TENANT}/InvokeCommand${query}`,
      inputOf(cmdlet, parameters),
      { ...headersOf(cmdlet), ...headers },
      signal,
    )
  }
  return {
    url,
    tenant,
    services,
    behaviour,
    roles,
    call,
    post: send,
    follow: (link, cmdlet, parameters, headers) =>
      call(cmdlet, parameters, {
        path: link.slice('https://outlook.sandbox.test'.length),
        ...(headers === undefined ? {} : { headers }),
      }),
  }
}

export function inputOf(cmdlet: string, parameters: Record<string, unknown>): string {
  return JSON.stringify({ CmdletInput: { CmdletName: cmdlet, Parameters: parameters } })
}

export function headersOf(cmdlet: string): Record<string, string> {
  return {
    authorization: 'Bearer good',
    'content-type': 'application/json; charset=utf-8',
    'x-cmdletname': cmdlet,
    'x-anchormailbox': `APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@${TENANT}`,
    prefer: 'odata.maxpagesize=1000',
    accept: 'application/json; odata.metadata=minimal',
  }
}

async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text()
  const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json') && text.startsWith('{')
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? (JSON.parse(text) as ExchangeBody) : {},
  }
}

/** `Namespace.SomethingException` between the bars, or from within where there are no details. */
export function exceptionOf({ body }: { readonly body: ExchangeBody }): string | undefined {
  const [detail] = body.error?.details ?? []
  const type = detail?.message.split('|')[1] ?? body.error?.innererror?.internalexception?.type
  return type?.split('.').at(-1)
}

export function names(answer: Answer): unknown[] {
  return (answer.body.value ?? []).map((row) => row['Name'])
}

function tenantData({ objects = [], recipients = [], exchangeObjects = [] }: ServerOptions): TenantData {
  const domain = { isVerified: true, authenticationType: 'Managed', supportedServices: ['Email'] } as const
  return {
    id: TENANT,
    displayName: 'Contoso',
    countryLetterCode: 'IE',
    isSyncedFromOnPremises: false,
    cloud: 'global',
    domains: [
      { ...domain, id: 'contoso.com', isDefault: true, isInitial: false },
      { ...domain, id: 'contoso.onmicrosoft.com', isDefault: false, isInitial: true },
      { ...domain, id: 'unproven.example', isVerified: false, isDefault: false, isInitial: false },
    ],
    licences: [],
    objects,
    recipients,
    exchangeObjects,
    drives: {},
    reportsConcealNames: false,
    administrators: [],
  }
}

/** @param number  makes its ids */
export function mailbox(number: number, name: string, more: Partial<Recipient> = {}): Recipient {
  const { properties, ...rest } = more
  return {
    guid: guid('1', number),
    recipientTypeDetails: 'UserMailbox',
    externalDirectoryObjectId: guid('2', number),
    properties: {
      Name: name,
      Alias: name,
      DisplayName: `Display ${name}`,
      UserPrincipalName: `${name}@contoso.com`,
      ExchangeGuid: guid('3', number),
      EmailAddresses: [`SMTP:${name}@contoso.com`, `smtp:${name}.alias@contoso.com`, `X500:/o=Old/cn=${name}`],
      LegacyExchangeDN: `/o=ExchangeLabs/cn=Recipients/cn=${name}`,
      ...properties,
    },
    ...rest,
  }
}

export function guid(kind: string, number: number): string {
  return `${kind.repeat(8)}-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
}
