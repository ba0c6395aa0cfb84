// The cmdlets that the simulated Exchange carries out. The REST-only ones of the module (`Get-EXOMailbox` …) have endpoints of their own and are no
// cmdlets to InvokeCommand.
import type { Cmdlet } from './cmdlet.ts'
import { configurationCmdlets } from './configuration.ts'
import { getDistributionGroupMember } from './group-members.ts'
import { getMailboxFolderStatistics } from './mailbox-folders.ts'
import { getMailboxStatistics } from './mailbox-statistics.ts'
import { recipientCmdlets } from './recipients.ts'
import { getManagementRoleAssignment } from './role-assignments.ts'
import { validateOutboundConnector } from './validate-connector.ts'
import { connectorCmdlets } from './write-connectors.ts'
import { groupMemberCmdlets } from './write-group-members.ts'
import { groupCmdlets } from './write-groups.ts'
import { organizationCmdlets } from './write-organization.ts'
import { relationshipCmdlets } from './write-relationships.ts'
import { remoteDomainCmdlets } from './write-remote-domains.ts'
import { transportRuleCmdlets } from './write-transport-rules.ts'

/** By name in lower case: a call may write it in any. */
export type CmdletTable = ReadonlyMap<string, Cmdlet>

export const CMDLETS: CmdletTable = tableOf([
  ...recipientCmdlets,
  ...configurationCmdlets,
  getDistributionGroupMember,
  getMailboxStatistics,
  getMailboxFolderStatistics,
  getManagementRoleAssignment,
  ...connectorCmdlets,
  validateOutboundConnector,
  ...remoteDomainCmdlets,
  ...relationshipCmdlets,
  ...organizationCmdlets,
  ...transportRuleCmdlets,
  ...groupCmdlets,
  ...groupMemberCmdlets,
])

export function tableOf(cmdlets: readonly Cmdlet[]): CmdletTable {
  return new Map(cmdlets.map((cmdlet) => [cmdlet.name.toLowerCase(), cmdlet]))
}
