// The directories of all tenants: people, applications, and which application a tenant has let in. What an administrator changes here takes
// effect as in Entra: revocation at once, a consent only after it has spread (microsoft-365.md §2.3).
import { EntraError } from './entra-error.ts'
import { Registrations } from './registrations.ts'
import type { RegisteredApp } from './registrations.ts'
import type { AppSeed, EntraSeed, TenantSeed, UserSeed } from './seed.ts'
import { ServicePrincipals } from './service-principals.ts'
import type { ConsentDelays, KeptPrincipals, Roles } from './service-principals.ts'

export type { ConsentDelays } from './service-principals.ts'
export type { AppCertificate, RegisteredApp } from './registrations.ts'

export interface Tenant extends TenantSeed {
  readonly people: ReadonlyMap<string, Person>
}

export interface Person extends UserSeed {
  readonly tenantId: string
  isEnabled: boolean
  /** Goes up with each revocation: what was issued under an earlier one is void. */
  sessionGeneration: number
}

/** What outlives a restart. Sessions, codes, refresh tokens and signing keys don't: everybody signs in anew. */
export interface EntraKept {
  readonly apps: readonly AppSeed[]
  readonly principals: KeptPrincipals
  /** People who were switched on or off since the seed: object id, and whether they are on. */
  readonly switched: readonly (readonly [string, boolean])[]
}

/** Paths that stand for no tenant in particular. */
export const SHARED_PATHS: readonly string[] = ['common', 'organizations']

/** Microsoft's own, in every tenant: a token for them is issued to anybody, without roles if need be. */
const RESOURCES: readonly string[] = ['https://graph.microsoft.com', 'https://outlook.office365.com']

/** Of this Entra. A tenant of another cloud is known by name, so that it can be told where it belongs. */
const CLOUD = 'global'

export class Directory {
  readonly #tenants = new Map<string, Tenant>()
  readonly #peopleByName = new Map<string, Person>()
  readonly #switched: Map<string, boolean>
  readonly #registrations: Registrations
  readonly #principals: ServicePrincipals
  readonly #onChange: (kept: EntraKept) => void

  /** @throws when a certificate of the seed is not one */
  constructor(
    seed: EntraSeed,
    delays: ConsentDelays,
    nowMs: () => number,
    { kept, onChange = () => {} }: { kept?: EntraKept | undefined; onChange?: (kept: EntraKept) => void } = {},
  ) {
    this.#onChange = onChange
    this.#switched = new Map(kept?.switched)
    for (const tenant of seed.tenants) this.#keepTenant(tenant)
    this.#registrations = new Registrations(seed.apps, kept?.apps)
    this.#principals = new ServicePrincipals(delays, nowMs, kept?.principals)
    for (const { homeTenant, clientId } of seed.apps) this.#principals.make(homeTenant, clientId)
  }

  get tenants(): readonly Tenant[] {
    return [...this.#tenants.values()].filter(isHere)
  }

  /** @param name  GUID or domain. @throws EntraError 90002; 90038 when it belongs to another cloud */
  tenant(name: string): Tenant {
    const key = name.toLowerCase()
    const found =
      this.#tenants.get(key) ??
      [...this.#tenants.values()].find(({ domain, otherDomains = [] }) => [domain, ...otherDomains].includes(key))
    if (found === undefined) throw new EntraError(90002)
    if (!isHere(found)) throw new EntraError(90038)
    return found
  }

  /** @throws EntraError 50034 */
  person(tenantId: string, oid: string): Person {
    const found = this.#tenants.get(tenantId)?.people.get(oid)
    if (found === undefined) throw new EntraError(50034)
    return found
  }

  /** @param name  user principal name, in any case. @throws EntraError 50034 */
  personByName(name: string): Person {
    const found = this.#peopleByName.get(name.toLowerCase())
    if (found === undefined) throw new EntraError(50034)
    return found
  }

  /** @throws EntraError 50034 */
  setEnabled(name: string, isEnabled: boolean): void {
    const person = this.personByName(name)
    person.isEnabled = isEnabled
    this.#switched.set(person.oid, isEnabled)
    this.#changed()
  }

  /** @throws EntraError 700016 */
  app(clientId: string): RegisteredApp {
    const found = this.#registrations.find(clientId)
    if (found === undefined) throw new EntraError(700016)
    return found
  }

  /** For an administrator's changes; what `change` gives. @throws what `change` throws, and then nothing is changed */
  changeRegistrations<T>(change: (registrations: Registrations) => T): T {
    const outcome = change(this.#registrations)
    for (const { homeTenant, clientId } of this.#registrations.all()) this.#principals.make(homeTenant, clientId)
    this.#changed()
    return outcome
  }

  isRegisteredAddress(redirectUri: string): boolean {
    return this.#registrations.all().some((app) => app.redirectUris.includes(redirectUri))
  }

  /** Refuses an application that the tenant has not let in, or not yet, or no more. @throws EntraError 700016, 7000112 */
  requirePrincipal(tenantId: string, app: RegisteredApp): void {
    this.#principals.require(tenantId, app.clientId)
  }

  /** @throws EntraError 53003 */
  requireUnblocked(tenantId: string, app: RegisteredApp): void {
    this.#principals.requireUnblocked(tenantId, app.clientId)
  }

  /** Whether resources still take its tokens. */
  isLetIn(tenantId: string, clientId: string): boolean {
    return this.#principals.isUsable(tenantId, clientId)
  }

  /** Lets a person of `tenantId` sign in to the application, with his own consent where the tenant allows it. @throws EntraError 700016, 90094 */
  admitUserOf(tenantId: string, app: RegisteredApp): void {
    requireAudience(tenantId, app)
    const hasConsent = this.#principals.hasConsent(tenantId, app.clientId)
    if (this.tenant(tenantId).allowsUserConsent === false && !hasConsent) throw new EntraError(90094)
    if (this.#principals.make(tenantId, app.clientId)) this.#changed()
  }

  /** What an administrator of the tenant grants: every permission that the application asks for. @throws EntraError 700016 */
  consent(tenantId: string, app: RegisteredApp): void {
    requireAudience(tenantId, app)
    this.#principals.grant(tenantId, app.clientId, app.permissions ?? {})
    this.#changed()
  }

  withdrawConsent(tenantId: string, app: RegisteredApp): void {
    this.#principals.withdraw(tenantId, app.clientId)
    this.#changed()
  }

  /** @throws EntraError 700016 when the tenant doesn't know it */
  setPrincipalState(tenantId: string, app: RegisteredApp, state: { isDisabled?: boolean; isBlocked?: boolean }): void {
    this.#principals.setState(tenantId, app.clientId, state)
    this.#changed()
  }

  /** Applications that are found in the tenant by now. */
  principals(tenantId: string): readonly RegisteredApp[] {
    return this.#registrations.all().filter(({ clientId }) => this.#principals.isFound(tenantId, clientId))
  }

  /** Application roles granted by now, by resource. */
  grantedRoles(tenantId: string, app: RegisteredApp): Roles {
    return this.#principals.rolesOf(tenantId, app.clientId)
  }

  /** Application roles that tokens for `resource` carry now; none before the consent has spread. @throws EntraError 500011 */
  rolesOf(tenantId: string, app: RegisteredApp, resource: string): readonly string[] {
    const granted = this.grantedRoles(tenantId, app)[resource]
    const isResource = RESOURCES.includes(resource) || app.permissions?.[resource] !== undefined
    if (granted === undefined && !isResource) throw new EntraError(500011)
    return granted ?? []
  }

  #keepTenant(tenant: TenantSeed): void {
    const people = new Map<string, Person>()
    for (const { isEnabled = true, ...user } of tenant.users) {
      const person: Person = {
        ...user,
        tenantId: tenant.id,
        isEnabled: this.#switched.get(user.oid) ?? isEnabled,
        sessionGeneration: 0,
      }
      people.set(user.oid, person)
      const name = user.userPrincipalName.toLowerCase()
      if (!this.#peopleByName.has(name)) this.#peopleByName.set(name, person)
    }
    this.#tenants.set(tenant.id, { ...tenant, people })
  }

  #changed(): void {
    this.#onChange({
      apps: this.#registrations.toKept(),
      principals: this.#principals.toKept(),
      switched: [...this.#switched],
    })
  }
}

/** @throws EntraError 700016 when a single-tenant application is asked for elsewhere */
function requireAudience(tenantId: string, app: RegisteredApp): void {
  if (tenantId !== app.homeTenant && app.isMultiTenant !== true) throw new EntraError(700016)
}

function isHere({ cloud = CLOUD }: TenantSeed): boolean {
  return cloud === CLOUD
}
