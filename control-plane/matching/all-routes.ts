// Every route of matchings, pairs and collections.
import type { Db } from '../db/database.ts'
import { collectionRoutes } from '../directory/collection-routes.ts'
import type { AnyRoute } from '../http/route.ts'
import { matchingReportRoutes } from './matching-report.ts'
import { matchingRoutes } from './matching-routes.ts'
import { pairFileRoutes } from './pair-file-routes.ts'
import { pairRoutes } from './pair-routes.ts'

export interface MatchingDeps {
  readonly db: Db
}

/** In this order: fixed words come before ids in paths. */
export function matchingRoutesOf({ db }: MatchingDeps): AnyRoute[] {
  return [
    ...matchingRoutes(),
    ...pairFileRoutes({ db }),
    ...pairRoutes(),
    ...collectionRoutes(),
    ...matchingReportRoutes({ db }),
  ]
}
