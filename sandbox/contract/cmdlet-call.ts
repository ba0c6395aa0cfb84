// Judges a cmdlet that is called over InvokeCommand, by the published reference pages. (contracts: exchange-cmdlets.json)
import type { Contracts } from './contracts.ts'
import { judgeCall } from './cmdlets.ts'
import type { Violation } from './violation.ts'

export interface CmdletJudgement {
  readonly violations: readonly Violation[]
  /** A value outside a list that may be incomplete. */
  readonly warnings: readonly Violation[]
}

/** @param parameters  as the call names them, in any case, aliases too */
export function judgeCmdlet(
  contracts: Contracts,
  cmdlet: string,
  parameters: Readonly<Record<string, unknown>>,
): CmdletJudgement {
  return judgeCall(contracts.cmdlets, cmdlet, parameters)
}

/** Management roles any of which exposes the cmdlet; reads also by View-Only roles. */
export function rolesFor(contracts: Contracts, cmdlet: string): readonly string[] {
  return contracts.roles.for(cmdlet)
}
