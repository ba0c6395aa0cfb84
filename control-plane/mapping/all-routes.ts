// Every route of the mapping table.
import type { Db } from '../db/database.ts'
import type { AnyRoute } from '../http/route.ts'
import type { CompiledTables } from './compiled-tables.ts'
import { importRoutes } from './import-routes.ts'
import { lookupRoutes } from './lookup-routes.ts'
import { mappingRoutes } from './mapping-routes.ts'
import { previewRoutes } from './preview-routes.ts'
import { revisionRoutes } from './revision-routes.ts'
import { ruleRoutes } from './rule-routes.ts'

export interface MappingDeps {
  readonly db: Db
  readonly tables: CompiledTables
}

/** In this order: fixed words come before ids in paths. */
export function mappingRoutesOf({ db, tables }: MappingDeps): AnyRoute[] {
  return [
    ...importRoutes({ db }),
    ...ruleRoutes(),
    ...mappingRoutes(),
    ...revisionRoutes(),
    ...lookupRoutes(tables),
    ...previewRoutes(tables),
  ]
}
