// Which events a webhook or notification asks for. Pure; the database compares them the same way (takes_event of migration 0040).
import { z } from 'zod'

export const eventPatterns = z
  .array(
    z
      .string()
      .max(100)
      .regex(/^(?:\*|[a-z][a-z0-9-]*\.(?:\*|[a-z][a-z0-9-]*))$/, 'a type, `area.*` or `*`'),
  )
  .min(1)
  .max(50)
  .refine((patterns) => new Set(patterns).size === patterns.length, 'no pattern twice')
  .meta({ description: 'Types of events: `mapping.revised`, all of an area: `relay.*`, or all: `*`.' })

/** Where a subscription is: an organisation with its projects, or one project. */
export const PLACES = [
  { base: '/organizations/{organization}', name: 'Organization', params: { organization: z.string() } },
  { base: '/projects/{project}', name: 'Project', params: { project: z.string() } },
] as const
export type SubscriptionPlace = (typeof PLACES)[number]
