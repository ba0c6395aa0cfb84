// The simulated Microsoft 365: Entra ID, Graph, Exchange's admin API and the control of all three, each on a loopback port of its own.
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SandboxClock } from './clock.ts'
import { loadContracts } from './contract/contracts.ts'
import { ContractRecord } from './contract/record.ts'
import { handleControl } from './control/control-endpoints.ts'
import { SandboxControl } from './control/control.ts'
import type { ConsentDelays } from './entra/directory.ts'
import { startEntra } from './entra/entra.ts'
import type { Entra, Principal } from './entra/entra.ts'
import type { AppSeed } from './entra/seed.ts'
import { defaultBehaviour } from './exchange/behaviour.ts'
import type { ExchangeBehaviour } from './exchange/behaviour.ts'
import { handleExchange } from './exchange/endpoints.ts'
import { Faults } from './faults/faults.ts'
import { handleGraph } from './graph/endpoints.ts'
import { startLoopbackServer } from './loopback-server.ts'
import { startMailWorld } from './mail/mail-world.ts'
import type { MailOptions, MailWorld } from './mail/mail-world.ts'
import { People } from './people/people.ts'
import type { KeptMoves, PersonMovesDeps } from './people/person-moves.ts'
import type { SandboxServices, ServicePrincipalFacts } from './services.ts'
import { entraSeedOf } from './tenants/entra-seed.ts'
import { KeptFile } from './tenants/kept-file.ts'
import type { TenantData } from './tenants/objects.ts'
import { stateIn, stateInMemory } from './tenants/sandbox-state.ts'
import type { SimulatedTenant } from './tenants/tenant.ts'

export interface SandboxOptions {
  readonly tenants: readonly TenantData[]
  readonly apps: readonly AppSeed[]
  /** With graph-paths.json and the others. */
  readonly contractsDirectory: string
  /** Of the tenants in memory. Default: the machine's time, from now. */
  readonly clock?: SandboxClock
  /** What happens is kept in here, and what was kept counts for more than `tenants` and `clock`. Default: all of it ends with the process. */
  readonly directory?: string
  /** Default 127.0.0.1 and free ports. */
  readonly at?: { readonly address?: string; readonly ports?: Partial<SandboxPorts> }
  /** Default 2 s until the service principal is found, 5 s until it has its roles. */
  readonly consentDelays?: ConsentDelays
  /** Default `crypto.randomBytes`. */
  readonly random?: (bytes: number) => Buffer
  /** Default: there is no mail. */
  readonly mail?: MailOptions
  /** The contract record is appended to files in here, too. */
  readonly reportDirectory?: string | undefined
}

export interface SandboxPorts {
  readonly entra: number
  readonly graph: number
  readonly exchange: number
  readonly control: number
}

export interface Sandbox {
  readonly entra: Entra
  /** Where it is reached; its links say `https://graph.sandbox.test`. */
  readonly graphUrl: string
  readonly exchangeUrl: string
  readonly controlUrl: string
  readonly tenants: ReadonlyMap<string, SimulatedTenant>
  readonly clock: SandboxClock
  readonly faults: Faults
  readonly record: ContractRecord
  readonly exchangeBehaviour: ExchangeBehaviour
  readonly control: SandboxControl
  readonly services: SandboxServices
  /** undefined: it was not asked for. */
  readonly mail: MailWorld | undefined
  /** What is kept is durable on return. */
  close(): Promise<void>
}

/** The resources' own applications, by the address that tokens name. */
const RESOURCE_APPS: Readonly<Record<string, string>> = {
  'https://graph.microsoft.com': '00000003-0000-0000-c000-000000000000',
  'https://outlook.office365.com': '00000002-0000-0ff1-ce00-000000000000',
}

/** @throws when an address, a contract or what was kept can't be used */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { tenants, apps, directory, random = randomBytes, at = {}, reportDirectory } = options
  await using stack = new AsyncDisposableStack()
  const state =
    directory === undefined
      ? stateInMemory(tenants, options.clock ?? new SandboxClock(Date.now))
      : await stateIn(directory, tenants, Date.now)
  stack.defer(() => state.close())
  const { clock, exchangeRoles } = state
  const place = (service: keyof SandboxPorts) => ({
    address: at.address ?? '127.0.0.1',
    port: at.ports?.[service] ?? 0,
  })
  const entra = await startEntra({
    seed: entraSeedOf(
      [...state.tenants.values()].map((tenant) => tenant.toData()),
      apps,
    ),
    now: clock.nowMs,
    at: place('entra'),
    random,
    ...state.entra,
    ...(options.consentDelays === undefined ? {} : { consentDelays: options.consentDelays }),
  })
  stack.defer(() => entra.close())

  const exchangeBehaviour = defaultBehaviour()
  const guid = () => guidFrom(random(16))
  const mail =
    options.mail === undefined
      ? undefined
      : await startMailWorld({ ...options.mail, tenants: state.tenants, clock, guid, directory })
  stack.defer(() => mail?.close())
  const movesFile = directory === undefined ? undefined : new KeptFile<KeptMoves>(join(directory, 'moves.json'))
  stack.defer(() => movesFile?.flush())
  const people =
    mail === undefined ? undefined : peopleOf(mail, { tenants: state.tenants, nowMs: clock.nowMs, guid, movesFile })
  stack.defer(() => people?.close())
  const services: SandboxServices = {
    tenants: state.tenants,
    clock,
    contracts: loadContracts(options.contractsDirectory),
    record: new ContractRecord(reportDirectory === undefined ? {} : { directory: reportDirectory }),
    faults: new Faults(),
    callerOf: (authorization, audience) => entra.tokens.read(authorization, audience),
    servicePrincipals: (tenantId) => entra.principals(tenantId).map((principal) => asFacts(tenantId, principal)),
    exchangeRoles: (tenantId, clientId) => exchangeRoles.of(tenantId, clientId),
    exchangeBehaviour,
    guid,
    ...(mail === undefined ? {} : { validateConnector: (...about) => mail.validateConnector(...about) }),
  }
  const control = new SandboxControl({ services, entra: entra.control, exchangeRoles, exchangeBehaviour, mail, people })
  const graph = await startLoopbackServer(place('graph'), (...exchange) => handleGraph(services, ...exchange))
  stack.defer(() => graph.close())
  const exchange = await startLoopbackServer(place('exchange'), (...each) => handleExchange(services, ...each))
  stack.defer(() => exchange.close())
  const controlServer = await startLoopbackServer(place('control'), (...each) => handleControl(control, ...each))
  stack.defer(() => controlServer.close())

  const running = stack.move()
  return {
    entra,
    graphUrl: graph.url,
    exchangeUrl: exchange.url,
    controlUrl: controlServer.url,
    tenants: state.tenants,
    clock,
    faults: services.faults,
    record: services.record,
    exchangeBehaviour,
    control,
    services,
    mail,
    close: () => running.disposeAsync(),
  }
}

function peopleOf(mail: MailWorld, deps: PersonMovesDeps): People {
  return new People({
    ...deps,
    mail,
    signerOf: (domain) => (domain === mail.outsideSigner.domain ? mail.outsideSigner : undefined),
  })
}

/** Its object id is the tenant's and the application's, always. */
function asFacts(tenantId: string, { clientId, name, roles }: Principal): ServicePrincipalFacts {
  const grantedRoles: Record<string, readonly string[]> = {}
  for (const [resource, names] of Object.entries(roles)) grantedRoles[RESOURCE_APPS[resource] ?? resource] = names
  const id = guidFrom(createHash('sha256').update(`${tenantId} ${clientId}`).digest())
  return { id, appId: clientId, displayName: name, grantedRoles }
}

/** Shaped as version 4 (RFC 9562). */
function guidFrom(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
