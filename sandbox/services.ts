// What the simulated Graph and Exchange are given: the tenants, the time, the published contracts, and who may have put a fault in the way.
import type { SandboxClock } from './clock.ts'
import type { ContractRecord } from './contract/record.ts'
import type { Contracts } from './contract/contracts.ts'
import type { ExchangeBehaviour } from './exchange/behaviour.ts'
import type { Faults } from './faults/faults.ts'
import type { ExchangeObject } from './tenants/objects.ts'
import type { SimulatedTenant } from './tenants/tenant.ts'

/** Whom an access token is of, once its signature, audience and time were checked. */
export interface AppCaller {
  readonly tenantId: string
  readonly clientId: string
  /** Application roles of the token. */
  readonly roles: readonly string[]
}

/** An application as a tenant knows it: Graph shows it under servicePrincipals, Exchange asks for its roles. */
export interface ServicePrincipalFacts {
  readonly id: string
  readonly appId: string
  readonly displayName: string
  /** Application roles that the tenant granted it, by the resource's appId. */
  readonly grantedRoles: Readonly<Record<string, readonly string[]>>
}

/** One of the things that Validate-OutboundConnector tries. */
export interface ValidationTask {
  readonly name: string
  readonly isSuccessful: boolean
  /** What the other side said, or why it wasn't reached. */
  readonly detail: string
}

export interface SandboxServices {
  /** By tenant id. */
  readonly tenants: ReadonlyMap<string, SimulatedTenant>
  readonly clock: SandboxClock
  readonly contracts: Contracts
  readonly record: ContractRecord
  readonly faults: Faults
  /** @param authorization  header as it came; undefined for a token that is none, of another audience, or out of date */
  readonly callerOf: (authorization: string | undefined, audience: string) => Promise<AppCaller | undefined>
  /** Of the tenant, once a consent has spread. */
  readonly servicePrincipals: (tenantId: string) => readonly ServicePrincipalFacts[]
  /** Exchange management roles (`View-Only Recipients`) that the tenant's administrator gave the application; also by a directory role. */
  readonly exchangeRoles: (tenantId: string, clientId: string) => readonly string[]
  /** Switches of Exchange; changed in place. Default: as `defaultBehaviour` has them. */
  readonly exchangeBehaviour?: ExchangeBehaviour
  /** Sends a test message through a connector. Absent: this sandbox has no mail. */
  readonly validateConnector?: (
    tenantId: string,
    connector: ExchangeObject,
    recipients: readonly string[],
  ) => Promise<readonly ValidationTask[]>
  /** Of the random source of the run: ids come out alike from the same seed. */
  readonly guid: () => string
}
