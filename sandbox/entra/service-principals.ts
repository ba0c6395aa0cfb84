// Which application a tenant has let in, and with which roles. A consent takes effect once it has spread (microsoft-365.md §2.3); what an administrator
// takes away is gone at once. What was granted stays granted when the registration asks for less or more: that takes another consent.
import { EntraError } from './entra-error.ts'

export interface ConsentDelays {
  /** Until the service principal is found: before, AADSTS700016. */
  readonly principalMs: number
  /** Until tokens carry the roles: before, they are issued without, so that the resource answers 403. */
  readonly rolesMs: number
}

/** By resource (`https://graph.microsoft.com`). */
export type Roles = Readonly<Record<string, readonly string[]>>

interface Granted {
  readonly fromMs: number
  readonly roles: Roles
}

export interface ServicePrincipal {
  readonly visibleFromMs: number
  /** Oldest first; the last whose time has come counts. None: nobody has consented to application permissions. */
  readonly granted: readonly Granted[]
  /** Switched off by the tenant's administrator. */
  readonly isDisabled?: boolean
  /** By a Conditional Access policy for workload identities. */
  readonly isBlocked?: boolean
}

/** `tenant id, client id` → principal. */
export type KeptPrincipals = readonly (readonly [string, ServicePrincipal])[]

export class ServicePrincipals {
  readonly #principals: Map<string, ServicePrincipal>
  readonly #delays: ConsentDelays
  readonly #nowMs: () => number

  constructor(delays: ConsentDelays, nowMs: () => number, kept: KeptPrincipals = []) {
    this.#delays = delays
    this.#nowMs = nowMs
    this.#principals = new Map(kept)
  }

  toKept(): KeptPrincipals {
    return [...this.#principals]
  }

  /** Makes it, to be seen at once and with no roles. @returns whether it is new */
  make(tenantId: string, clientId: string): boolean {
    const key = keyOf(tenantId, clientId)
    if (this.#principals.has(key)) return false
    this.#principals.set(key, { visibleFromMs: 0, granted: [] })
    return true
  }

  /** Once it has spread. */
  isFound(tenantId: string, clientId: string): boolean {
    const principal = this.#principals.get(keyOf(tenantId, clientId))
    return principal !== undefined && principal.visibleFromMs <= this.#nowMs()
  }

  /** Found, and not switched off. */
  isUsable(tenantId: string, clientId: string): boolean {
    return this.isFound(tenantId, clientId) && this.#principals.get(keyOf(tenantId, clientId))?.isDisabled !== true
  }

  hasConsent(tenantId: string, clientId: string): boolean {
    return (this.#principals.get(keyOf(tenantId, clientId))?.granted.length ?? 0) > 0
  }

  /** @throws EntraError 700016, 7000112 */
  require(tenantId: string, clientId: string): void {
    if (!this.isFound(tenantId, clientId)) throw new EntraError(700016)
    if (!this.isUsable(tenantId, clientId)) throw new EntraError(7000112)
  }

  /** @throws EntraError 53003 */
  requireUnblocked(tenantId: string, clientId: string): void {
    if (this.#principals.get(keyOf(tenantId, clientId))?.isBlocked === true) throw new EntraError(53003)
  }

  grant(tenantId: string, clientId: string, roles: Roles): void {
    const key = keyOf(tenantId, clientId)
    const nowMs = this.#nowMs()
    const known = this.#principals.get(key)
    const before = known?.granted ?? []
    // The same again hurries nothing and delays nothing.
    const isNew = JSON.stringify(before.at(-1)?.roles) !== JSON.stringify(roles)
    this.#principals.set(key, {
      ...known,
      visibleFromMs: known?.visibleFromMs ?? nowMs + this.#delays.principalMs,
      granted: isNew ? [...before, { fromMs: nowMs + this.#delays.rolesMs, roles }] : before,
    })
  }

  withdraw(tenantId: string, clientId: string): void {
    this.#principals.delete(keyOf(tenantId, clientId))
  }

  /** @throws EntraError 700016 when the tenant doesn't know it */
  setState(tenantId: string, clientId: string, state: Pick<ServicePrincipal, 'isDisabled' | 'isBlocked'>): void {
    const key = keyOf(tenantId, clientId)
    const known = this.#principals.get(key)
    if (known === undefined) throw new EntraError(700016)
    this.#principals.set(key, { ...known, ...state })
  }

  /** That tokens carry now. */
  rolesOf(tenantId: string, clientId: string): Roles {
    const granted = this.#principals.get(keyOf(tenantId, clientId))?.granted ?? []
    return granted.findLast(({ fromMs }) => fromMs <= this.#nowMs())?.roles ?? {}
  }
}

function keyOf(tenantId: string, clientId: string): string {
  return `${tenantId} ${clientId}`
}
