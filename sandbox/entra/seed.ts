// What the simulated Entra ID is filled with: tenants with their people, and the applications that sign people in or act by themselves.
// Whoever starts it gives all of it; nothing is made up here.

export interface EntraSeed {
  readonly tenants: readonly TenantSeed[]
  readonly apps: readonly AppSeed[]
}

export interface TenantSeed {
  /** GUID */
  readonly id: string
  /** `contoso.example`: stands for the GUID in every path. */
  readonly domain: string
  /** Verified as well. */
  readonly otherDomains?: readonly string[]
  readonly name: string
  /** Where it is registered; default `global`, where this Entra is. */
  readonly cloud?: 'global' | 'gcc-high' | 'dod' | 'china'
  readonly users: readonly UserSeed[]
  /** Whether a user may consent to `openid profile email` for himself; false: an administrator first (AADSTS90094). Default true. */
  readonly allowsUserConsent?: boolean
}

export interface UserSeed {
  /** Object id, a GUID. */
  readonly oid: string
  readonly userPrincipalName: string
  readonly name: string
  /** Default true. */
  readonly isEnabled?: boolean
  /** May consent for the whole tenant. */
  readonly isAdministrator?: boolean
}

export interface AppSeed {
  /** GUID */
  readonly clientId: string
  readonly name: string
  /** Where it is registered; there it has a service principal from the start. */
  readonly homeTenant: string
  readonly isMultiTenant?: boolean
  /** Compared character by character. */
  readonly redirectUris: readonly string[]
  /** X.509, PEM: what its client assertions may be signed with. */
  readonly certificates: readonly string[]
  /** Application permissions it asks for, by resource (`https://graph.microsoft.com`). Given by consent only. */
  readonly permissions?: Readonly<Record<string, readonly string[]>>
}
