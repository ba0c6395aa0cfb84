// What tests and operators do to the simulated Microsoft 365 that no client could: time, faults, consents, and changes of a tenant's objects.
import type { ContractReport } from '../contract/record.ts'
import type { EntraControl } from '../entra/control.ts'
import type { Fault } from '../faults/faults.ts'
import { defaultBehaviour } from '../exchange/behaviour.ts'
import type { ExchangeBehaviour } from '../exchange/behaviour.ts'
import { addVerifiedDomain } from '../tenants/verified-domain.ts'
import { writesOf } from '../exchange/write-log.ts'
import type { ExchangeWrite } from '../exchange/write-log.ts'
import { graphStateOf, IN_ORDER } from '../graph/graph-state.ts'
import type { DeltaDisorder } from '../graph/graph-state.ts'
import type { MailWorld } from '../mail/mail-world.ts'
import type { People } from '../people/people.ts'
import type { SandboxServices } from '../services.ts'
import type { ExchangeRoles } from '../tenants/exchange-roles.ts'
import type { DirectoryObject, ExchangeObject, Recipient, TenantData } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'

export interface ControlDeps {
  readonly services: SandboxServices
  readonly entra: EntraControl
  readonly exchangeRoles: ExchangeRoles
  readonly exchangeBehaviour: ExchangeBehaviour
  /** undefined: there is no mail. */
  readonly mail: MailWorld | undefined
  readonly people: People | undefined
}

/** Null takes a member away. */
export type Patch = Readonly<Record<string, unknown>>

/** Of a directory object, beside its members. */
export interface Links {
  readonly members?: readonly string[]
  readonly owners?: readonly string[]
  /** null: nobody. */
  readonly manager?: string | null
}

/** The request names something that is not there. */
export class NotInSandbox extends Error {
  override readonly name = 'NotInSandbox'
}

export class SandboxControl {
  readonly #services: SandboxServices
  readonly #entra: EntraControl
  readonly #exchangeRoles: ExchangeRoles
  readonly #exchangeBehaviour: ExchangeBehaviour
  readonly #mail: MailWorld | undefined
  readonly #people: People | undefined

  constructor({ services, entra, exchangeRoles, exchangeBehaviour, mail, people }: ControlDeps) {
    this.#mail = mail
    this.#people = people
    this.#exchangeBehaviour = exchangeBehaviour
    this.#services = services
    this.#entra = entra
    this.#exchangeRoles = exchangeRoles
  }

  /** @throws RangeError */
  addFault(fault: Fault): void {
    this.#services.faults.add(fault)
  }

  clearFaults(): void {
    this.#services.faults.clear()
  }

  /** @param ms  >= 0 */
  advanceClock(ms: number): void {
    this.#services.clock.advance(ms)
  }

  /** Every delta token given so far is answered 410. */
  resetDeltas(tenantId: string): void {
    this.#tenant(tenantId).resetDeltas()
  }

  /** @param id  of a directory object, a recipient or a configuration object. @throws NotInSandbox */
  changeObject(tenantId: string, id: string, patch: Patch, links: Links = {}): void {
    const tenant = this.#tenant(tenantId)
    const object = tenant.object(id)
    if (object !== undefined) {
      tenant.putObject(linked({ ...object, properties: patched(object.properties, patch) }, links))
      return
    }
    const recipient = tenant.recipient(id)
    if (recipient !== undefined) {
      tenant.putRecipient({ ...recipient, properties: patched(recipient.properties, patch) })
      return
    }
    const configuration = tenant.exchangeObject(id)
    if (configuration === undefined) throw new NotInSandbox('the tenant has no such object')
    tenant.putExchangeObject({ ...configuration, properties: patched(configuration.properties, patch) })
  }

  putObject(tenantId: string, object: DirectoryObject): void {
    this.#tenant(tenantId).putObject(object)
  }

  putRecipient(tenantId: string, recipient: Recipient): void {
    this.#tenant(tenantId).putRecipient(recipient)
  }

  putExchangeObject(tenantId: string, object: ExchangeObject): void {
    this.#tenant(tenantId).putExchangeObject(object)
  }

  /** @throws NotInSandbox */
  removeObject(tenantId: string, id: string): void {
    const tenant = this.#tenant(tenantId)
    if (tenant.object(id) !== undefined) tenant.removeObject(id)
    else if (tenant.recipient(id) !== undefined) tenant.removeRecipient(id)
    else if (tenant.exchangeObject(id) !== undefined) tenant.removeExchangeObject(id)
    else throw new NotInSandbox('the tenant has no such object')
  }

  /** As an administrator adds and verifies one: from then on an accepted domain. @throws RangeError when another tenant has it */
  addVerifiedDomain(tenantId: string, domain: string): void {
    addVerifiedDomain(this.#tenant(tenantId), domain, {
      others: [...this.#services.tenants.values()],
      guid: this.#services.guid,
      nowMs: this.#services.clock.nowMs(),
    })
  }

  /** Whether usage reports name people by hashes. */
  concealReports(tenantId: string, isConcealed: boolean): void {
    const tenant = this.#tenant(tenantId)
    tenant.data = { ...tenant.data, reportsConcealNames: isConcealed }
  }

  grantConsent(tenantId: string, clientId: string): void {
    this.#entra.grantConsent(this.#tenant(tenantId).id, clientId)
  }

  withdrawConsent(tenantId: string, clientId: string): void {
    this.#entra.withdrawConsent(this.#tenant(tenantId).id, clientId)
  }

  /** @param role  `View-Only Recipients`; `Organization Management` is what Entra's role Exchange Administrator gives */
  grantExchangeRole(tenantId: string, clientId: string, role: string): void {
    this.#exchangeRoles.grant(this.#tenant(tenantId).id, clientId, role)
  }

  withdrawExchangeRole(tenantId: string, clientId: string, role: string): void {
    this.#exchangeRoles.withdraw(this.#tenant(tenantId).id, clientId, role)
  }

  /** @param scale  of Graph's published limits, > 0; undefined: no limits. All budgets are full again. */
  setThrottling(scale: number | undefined): void {
    graphStateOf(this.#services).throttling.limit(scale)
  }

  /** Graph's deltas tell items twice, again, or out of order. */
  disorderDeltas(disorder: Partial<DeltaDisorder>): void {
    graphStateOf(this.#services).deltaDisorder = { ...IN_ORDER, ...disorder }
  }

  /** What isn't named becomes as it was at the start. */
  setExchangeBehaviour(behaviour: Partial<ExchangeBehaviour>): void {
    Object.assign(this.#exchangeBehaviour, defaultBehaviour(), behaviour)
  }

  /** What Exchange was told to change and did, oldest first. @throws NotInSandbox */
  writes(tenantId: string): readonly ExchangeWrite[] {
    return writesOf(this.#services, this.#tenant(tenantId).id)
  }

  /** @throws NotInSandbox when there is none */
  get mail(): MailWorld {
    if (this.#mail === undefined) throw new NotInSandbox('this sandbox was started without mail')
    return this.#mail
  }

  /** Who writes and gets mail. @throws NotInSandbox */
  get people(): People {
    if (this.#people === undefined) throw new NotInSandbox('this sandbox was started without mail')
    return this.#people
  }

  report(): ContractReport {
    return this.#services.record.report()
  }

  state(tenantId: string): TenantData {
    return this.#tenant(tenantId).toData()
  }

  /** @throws NotInSandbox */
  #tenant(id: string): SimulatedTenant {
    const tenant = this.#services.tenants.get(id)
    if (tenant === undefined) throw new NotInSandbox('there is no such tenant')
    return tenant
  }
}

function patched(properties: Patch, patch: Patch): Record<string, unknown> {
  return Object.fromEntries(Object.entries({ ...properties, ...patch }).filter(([, value]) => value !== null))
}

function linked({ manager: before, ...object }: DirectoryObject, links: Links): DirectoryObject {
  const { members = object.members, owners = object.owners, manager = before } = links
  return { ...object, members, owners, ...(manager === undefined || manager === null ? {} : { manager }) }
}
