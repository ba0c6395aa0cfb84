// Get-ManagementRoleAssignment: which roles an application holds, as the tenant's administrator gave them.
import type { ServicePrincipalFacts } from '../services.ts'
import type { Cmdlet, CmdletCall } from './cmdlet.ts'
import { rowsOf } from './cmdlet.ts'
import { absentObject } from './exchange-error.ts'
import { PropertyWriter } from './properties.ts'

export const getManagementRoleAssignment: Cmdlet = {
  name: 'Get-ManagementRoleAssignment',
  isWrite: false,
  heeds: ['RoleAssignee', 'Role', 'Enabled'],
  run: (call) => {
    const { parameters, services, tenant } = call
    const role = parameters.text('Role')?.toLowerCase()
    const isWanted = parameters.flag('Enabled') ?? true
    const assignments = assigneesOf(call).flatMap((assignee) =>
      services.exchangeRoles(tenant.id, assignee.appId).map((name) => ({ name, assignee })),
    )
    const writer = new PropertyWriter(call.select, call.behaviour.sizes)
    return {
      rows: rowsOf(
        assignments.filter(({ name }) => isWanted && (role === undefined || name.toLowerCase() === role)),
        ({ name, assignee }) =>
          writer.write({
            AssignmentMethod: 'Direct',
            CustomRecipientWriteScope: null,
            Enabled: true,
            Identity: `${name}-${assignee.id}`,
            IsValid: true,
            Name: `${name}-${assignee.id}`,
            RecipientReadScope: 'Organization',
            RecipientWriteScope: 'Organization',
            Role: name,
            RoleAssignee: assignee.id,
            RoleAssigneeName: assignee.displayName,
            RoleAssigneeType: 'ServicePrincipal',
          }),
      ),
    }
  },
}

/** All of them, or the one that is asked for by its name, its own id or the application's. */
function assigneesOf({ parameters, services, tenant, behaviour }: CmdletCall): readonly ServicePrincipalFacts[] {
  const wanted = parameters.text('RoleAssignee')
  const all = services.servicePrincipals(tenant.id)
  if (wanted === undefined) return all
  const found = all.filter(({ id, appId, displayName }) =>
    [id, appId, displayName].some((name) => name.toLowerCase() === wanted.toLowerCase()),
  )
  if (found.length === 0) throw absentObject(wanted, behaviour.absentStatus)
  return found
}
