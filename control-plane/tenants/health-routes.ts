// The health of a tenant over HTTP: one word, and what is behind it. (control-plane.md §2)
import { z } from 'zod'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import { usableCertificates } from './connection-certificate-store.ts'
import { consentSchema, shapeConsent } from './consent-shape.ts'
import { findConsent } from './consent-store.ts'
import { existingTenant, placeOf } from './consent-routes.ts'
import type { SharedApp } from './connection.ts'

const healthSchema = z
  .strictObject({
    status: z.enum(['ok', 'attention', 'stopped', 'not-connected']).meta({
      description:
        '`attention`: work goes on, something is missing or ends soon; `stopped`: nobody works in the tenant until it is mended.',
    }),
    checkedAt: time.optional(),
    certificate: z.strictObject({ expiresAt: time, daysLeft: z.int() }).optional(),
    trouble: consentSchema.shape.trouble,
    missing: z.array(z.string()),
    exchange: consentSchema.shape.exchange.shape.state,
    notes: z.array(z.enum(['certificate-ends-soon', 'exchange-role-missing', 'domains-outside'])),
  })
  .meta({ id: 'TenantHealth' })

const DAY_MS = 86_400_000
const SOON_DAYS = 30

export function healthRoutes({ sharedApp }: { readonly sharedApp: SharedApp | undefined }): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/projects/{project}/tenants/{tenant}/health',
      id: 'readTenantHealth',
      summary: 'Read whether the product can work in a tenant',
      tag: 'tenants',
      access: 'tenant.read',
      params: z.strictObject({ project: z.string(), tenant: z.string() }),
      responses: { 200: { description: 'Its health', schema: healthSchema } },
      handler: ({ read, organisation, project, params, now }) =>
        read(async (tx) => {
          const place = placeOf(organisation, project)
          const tenant = await existingTenant(tx, place, params.tenant)
          const consent = await findConsent(tx, place, tenant.id)
          const [active] = tenant.appModel === 'single-tenant' ? await usableCertificates(tx, place, tenant.id) : []
          const daysLeft = active && Math.floor((active.expiresAt.getTime() - now) / DAY_MS)
          const clientId = tenant.appModel === 'single-tenant' ? tenant.clientId : sharedApp?.clientId
          const shown = shapeConsent(consent, clientId, place.project.slice(-8))
          const notes = [
            ...(daysLeft !== undefined && daysLeft <= SOON_DAYS ? (['certificate-ends-soon'] as const) : []),
            ...(shown.exchange.state === 'missing' ? (['exchange-role-missing'] as const) : []),
            ...(shown.domains === undefined ? [] : (['domains-outside'] as const)),
          ]
          const status =
            consent?.state === 'connected'
              ? notes.length > 0
                ? 'attention'
                : 'ok'
              : consent?.state === 'paused'
                ? 'stopped'
                : 'not-connected'
          return {
            status: 200,
            body: {
              status,
              ...(shown.checkedAt === undefined ? {} : { checkedAt: shown.checkedAt }),
              ...(active === undefined || daysLeft === undefined
                ? {}
                : { certificate: { expiresAt: active.expiresAt.toISOString(), daysLeft } }),
              ...(shown.trouble === undefined ? {} : { trouble: shown.trouble }),
              missing: shown.missing,
              exchange: shown.exchange.state,
              notes,
            },
          }
        }),
    }),
  ]
}
