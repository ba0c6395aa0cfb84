// The directories of all tenants: people, applications, and which application a tenant has let in. What an administrator changes here takes
// effect as in Entra: revocation at once, a consent only after it has spread (microsoft-365.md §2.3).
import { X509Certificate, createHash } from 'node:crypto'
import { EntraError } from './entra-error.ts'
import type { AppSeed, EntraSeed, TenantSeed, UserSeed } from './seed.ts'

export interface ConsentDelays {
  /** Until the service principal is found: before, AADSTS700016. */
  readonly principalMs: number
  /** Until tokens carry the roles: before, they are issued without, so that the resource answers 403. */
  readonly rolesMs: number
}

export interface Tenant extends TenantSeed {
  readonly people: ReadonlyMap<string, Person>
}

export interface Person extends UserSeed {
  readonly tenantId: string
  isEnabled: boolean
  /** Goes up with each revocation: what was issued under an earlier one is void. */
  sessionGeneration: number
}

export interface RegisteredApp extends AppSeed {
  readonly credentials: readonly AppCertificate[]
}

export interface AppCertificate {
  readonly certificate: X509Certificate
  /** base64url of the DER's hash, as `x5t#S256` and `x5t` carry it. */
  readonly sha256: string
  readonly sha1: string
}

interface ServicePrincipal {
  readonly visibleFromMs: number
  /** undefined: nobody has consented to application permissions. */
  readonly rolesFromMs: number | undefined
}

/** Paths that stand for no tenant in particular. */
export const SHARED_PATHS: readonly string[] = ['common', 'organizations']

export class Directory {
  readonly #tenants = new Map<string, Tenant>()
  readonly #apps = new Map<string, RegisteredApp>()
  readonly #principals = new Map<string, ServicePrincipal>()
  readonly #delays: ConsentDelays
  readonly #nowMs: () => number

  /** @throws when a certificate of the seed is not one */
  constructor(seed: EntraSeed, delays: ConsentDelays, nowMs: () => number) {
    this.#delays = delays
    this.#nowMs = nowMs
    for (const tenant of seed.tenants) {
      const people = tenant.users.map((user): [string, Person] => [
        user.oid,
        { ...user, tenantId: tenant.id, isEnabled: true, sessionGeneration: 0 },
      ])
      this.#tenants.set(tenant.id, { ...tenant, people: new Map(people) })
    }
    for (const app of seed.apps) {
      this.#apps.set(app.clientId, { ...app, credentials: app.certificates.map(readCertificate) })
      this.#principals.set(principalKey(app.homeTenant, app.clientId), {
        visibleFromMs: Number.NEGATIVE_INFINITY,
        rolesFromMs: undefined,
      })
    }
  }

  get tenants(): readonly Tenant[] {
    return [...this.#tenants.values()]
  }

  /** @param name  GUID or domain. @throws EntraError 90002 */
  tenant(name: string): Tenant {
    const key = name.toLowerCase()
    const found = this.#tenants.get(key) ?? this.tenants.find((tenant) => tenant.domain === key)
    if (found === undefined) throw new EntraError(90002)
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
    for (const tenant of this.#tenants.values()) {
      for (const person of tenant.people.values()) {
        if (person.userPrincipalName.toLowerCase() === name.toLowerCase()) return person
      }
    }
    throw new EntraError(50034)
  }

  /** @throws EntraError 700016 */
  app(clientId: string): RegisteredApp {
    const found = this.#apps.get(clientId.toLowerCase())
    if (found === undefined) throw new EntraError(700016)
    return found
  }

  isRegisteredAddress(redirectUri: string): boolean {
    return [...this.#apps.values()].some((app) => app.redirectUris.includes(redirectUri))
  }

  /** Refuses an application that the tenant has not let in, or not yet. @throws EntraError 700016 */
  requirePrincipal(tenantId: string, app: RegisteredApp): void {
    const principal = this.#principals.get(principalKey(tenantId, app.clientId))
    if (principal === undefined || principal.visibleFromMs > this.#nowMs()) throw new EntraError(700016)
  }

  /** Lets a person of `tenantId` sign in to the application, with his own consent where the tenant allows it. @throws EntraError 700016, 90094 */
  admitUserOf(tenantId: string, app: RegisteredApp): void {
    if (tenantId !== app.homeTenant && app.isMultiTenant !== true) throw new EntraError(700016)
    const key = principalKey(tenantId, app.clientId)
    const principal = this.#principals.get(key)
    if (this.tenant(tenantId).allowsUserConsent === false && principal?.rolesFromMs === undefined)
      throw new EntraError(90094)
    if (principal === undefined) this.#principals.set(key, { visibleFromMs: this.#nowMs(), rolesFromMs: undefined })
  }

  /** What an administrator of the tenant grants: every permission that the application asks for. @throws EntraError 700016 */
  consent(tenantId: string, app: RegisteredApp): void {
    if (tenantId !== app.homeTenant && app.isMultiTenant !== true) throw new EntraError(700016)
    const key = principalKey(tenantId, app.clientId)
    const nowMs = this.#nowMs()
    const known = this.#principals.get(key)
    this.#principals.set(key, {
      visibleFromMs: known?.visibleFromMs ?? nowMs + this.#delays.principalMs,
      rolesFromMs: known?.rolesFromMs ?? nowMs + this.#delays.rolesMs,
    })
  }

  withdrawConsent(tenantId: string, app: RegisteredApp): void {
    this.#principals.delete(principalKey(tenantId, app.clientId))
  }

  /** Application roles that tokens for `resource` carry now; none before the consent has spread. @throws EntraError 500011 */
  rolesOf(tenantId: string, app: RegisteredApp, resource: string): readonly string[] {
    const asked = app.permissions?.[resource]
    if (asked === undefined) throw new EntraError(500011)
    const rolesFromMs = this.#principals.get(principalKey(tenantId, app.clientId))?.rolesFromMs
    return rolesFromMs !== undefined && rolesFromMs <= this.#nowMs() ? asked : []
  }
}

function principalKey(tenantId: string, clientId: string): string {
  return `${tenantId} ${clientId}`
}

function readCertificate(pem: string): AppCertificate {
  const certificate = new X509Certificate(pem)
  const hash = (algorithm: string) => createHash(algorithm).update(certificate.raw).digest('base64url')
  return { certificate, sha256: hash('sha256'), sha1: hash('sha1') }
}
