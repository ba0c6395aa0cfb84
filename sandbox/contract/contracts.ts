// The contracts that Microsoft publishes, read from a directory once and indexed for the checks.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { indexCmdlets } from './cmdlets.ts'
import type { Cmdlets, CmdletsFile } from './cmdlets.ts'
import { GraphPaths } from './graph-paths.ts'
import type { GraphPathsFile } from './graph-paths.ts'
import { GraphSchema } from './graph-schema.ts'
import type { GraphSchemaFile } from './graph-schema.ts'
import { ManagementRoles } from './management-roles.ts'
import type { PermissionSetsFile } from './permission-sets.ts'

export interface Contracts {
  readonly graph: GraphPaths
  readonly schema: GraphSchema
  readonly cmdlets: Cmdlets
  readonly roles: ManagementRoles
  /** As the files have them. */
  readonly throttling: Readonly<Record<string, unknown>>
  readonly permissionSets: PermissionSetsFile
  readonly entra: Readonly<Record<string, unknown>>
  readonly errors: Readonly<Record<string, unknown>>
}

const loaded = new Map<string, Contracts>()

/** The files are taken to be whole: they are checked in. @throws when one is missing or no JSON */
export function loadContracts(directory: string): Contracts {
  const known = loaded.get(directory)
  if (known !== undefined) return known
  const read = (name: string): unknown => JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8'))
  const cmdlets = read('exchange-cmdlets') as CmdletsFile
  const permissionSets = read('permission-sets') as PermissionSetsFile
  const schema = new GraphSchema(read('graph-schema') as GraphSchemaFile)
  const contracts: Contracts = {
    graph: new GraphPaths(read('graph-paths') as GraphPathsFile),
    schema,
    cmdlets: indexCmdlets(cmdlets),
    roles: new ManagementRoles(cmdlets.requiredRbac, permissionSets),
    throttling: read('throttling') as Contracts['throttling'],
    permissionSets,
    entra: read('entra') as Contracts['entra'],
    errors: read('graph-errors') as Contracts['errors'],
  }
  loaded.set(directory, contracts)
  return contracts
}
