// Which Exchange management roles the administrators of the tenants gave to which application (microsoft-365.md §2.4). Exchange.ManageAsApp alone
// opens nothing. Takes effect at once; in Exchange Online it may take up to two hours.

/** `tenant id client id` → roles. */
export type KeptExchangeRoles = readonly (readonly [string, readonly string[]])[]

export class ExchangeRoles {
  readonly #roles: Map<string, ReadonlySet<string>>
  readonly #onChange: (kept: KeptExchangeRoles) => void

  /** @param onChange  told all of them at each change */
  constructor(kept: KeptExchangeRoles = [], onChange: (kept: KeptExchangeRoles) => void = () => {}) {
    this.#onChange = onChange
    this.#roles = new Map(kept.map(([key, roles]) => [key, new Set(roles)]))
  }

  /** In the order in which they were given. */
  of(tenantId: string, clientId: string): readonly string[] {
    return [...(this.#roles.get(keyOf(tenantId, clientId)) ?? [])]
  }

  /** @param role  `View-Only Recipients`; `Organization Management` for what Entra's role Exchange Administrator gives */
  grant(tenantId: string, clientId: string, role: string): void {
    this.#set(tenantId, clientId, [...this.of(tenantId, clientId), role])
  }

  withdraw(tenantId: string, clientId: string, role: string): void {
    this.#set(
      tenantId,
      clientId,
      this.of(tenantId, clientId).filter((each) => each !== role),
    )
  }

  #set(tenantId: string, clientId: string, roles: readonly string[]): void {
    if (roles.length === 0) this.#roles.delete(keyOf(tenantId, clientId))
    else this.#roles.set(keyOf(tenantId, clientId), new Set(roles))
    this.#onChange([...this.#roles].map(([key, each]) => [key, [...each]]))
  }
}

function keyOf(tenantId: string, clientId: string): string {
  return `${tenantId} ${clientId}`.toLowerCase()
}
