// What an administrator runs once, under his own rights, so that the application may use Exchange: the permission alone opens nothing. A role group
// with only the roles we use, or, simpler and wider, a directory role. Pure. (microsoft-365.md §2.4)

export interface ExchangeSetup {
  /** For Exchange Online PowerShell, in their order. */
  readonly commands: readonly string[]
  readonly alternative: string
}

/** @param group  name of the role group, unique in the tenant */
export function exchangeSetup(clientId: string, roles: readonly string[], group: string): ExchangeSetup {
  return {
    commands: [
      'Connect-ExchangeOnline',
      `$app = Get-MgServicePrincipal -Filter "appId eq '${clientId}'"`,
      `New-ServicePrincipal -AppId ${clientId} -ObjectId $app.Id -DisplayName '${group}'`,
      `New-RoleGroup -Name '${group}' -Roles ${roles.map((role) => `'${role}'`).join(',')}`,
      `Add-RoleGroupMember -Identity '${group}' -Member $app.Id`,
    ],
    alternative:
      'In place of the role group: assign the directory role Exchange Administrator to the application. It can do more than we use.',
  }
}
