// permission-sets.json: the consent applications, what each asks for and what for.

/** `permission-sets.json`: consent applications, by name. */
export interface PermissionSetsFile {
  readonly sets: Readonly<Record<string, PermissionSet>>
  readonly otherResourceRoles: readonly ResourceRole[]
}

export interface PermissionSet {
  readonly tenant: string
  readonly microsoftGraph: PermissionRequest
  readonly exchangeOnline?: PermissionRequest & {
    readonly exchangeRbac: readonly { readonly capability: string; readonly leastRole: string }[]
  }
  /** An operation of Graph, or a cmdlet. */
  readonly capabilities: Readonly<Record<string, readonly { readonly op?: string; readonly cmdlet?: string }[]>>
}

export interface PermissionRequest {
  readonly resourceAppId: string
  readonly roles: readonly { readonly name: string; readonly id: string | null; readonly optional?: boolean }[]
}

export interface ResourceRole {
  readonly resource: string
  readonly resourceAppId?: string
  readonly name: string
  readonly id: string | null
}

/** What an application of this set asks for, optional roles too, by the address that tokens name. @throws when there is no such set */
export function permissionsOf({ sets }: PermissionSetsFile, name: string): Readonly<Record<string, readonly string[]>> {
  const set = sets[name]
  if (set === undefined) throw new Error(`there is no permission set ${name}`)
  return {
    'https://graph.microsoft.com': set.microsoftGraph.roles.map((role) => role.name),
    ...(set.exchangeOnline === undefined
      ? {}
      : { 'https://outlook.office365.com': set.exchangeOnline.roles.map((role) => role.name) }),
  }
}
