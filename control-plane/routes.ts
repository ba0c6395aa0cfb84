// Every route of the API, in the order in which they are matched: fixed words before ids.
import { randomBytes } from 'node:crypto'
import { apiKeyRoutes } from './access/api-key-routes.ts'
import { breakGlassRoutes } from './access/break-glass-routes.ts'
import type { SignInDeps } from './access/entra-sign-in.ts'
import { FailureLimit } from './access/failure-limit.ts'
import { installationAdministratorRoutes } from './access/installation-administrator-routes.ts'
import { meRoutes } from './access/me-routes.ts'
import { memberRoutes } from './access/member-routes.ts'
import { roleRoutes } from './access/role-routes.ts'
import type { Sessions } from './access/session-lookup.ts'
import { sessionRoutes } from './access/session-routes.ts'
import { createSignInRecord } from './access/sign-in-record.ts'
import { signInRoutes } from './access/sign-in-routes.ts'
import { supportGrantRoutes } from './access/support-grant-routes.ts'
import { auditRoutes } from './audit/audit-routes.ts'
import { eventRoutes } from './events/event-routes.ts'
import { StreamAccess } from './events/stream-access.ts'
import { addressRules } from './http/outbound-address.ts'
import type { AnyRoute } from './http/route.ts'
import { keyRoutes } from './keys/key-routes.ts'
import { mappingRoutesOf } from './mapping/all-routes.ts'
import type { CompiledTables } from './mapping/compiled-tables.ts'
import { messageRoutes } from './messages/message-routes.ts'
import type { HealthCheck } from './monitoring/health.ts'
import { monitoringRoutes } from './monitoring/monitoring-routes.ts'
import { operationRoutes } from './operations/operation-routes.ts'
import { organisationRoutes } from './organisations/organisation-routes.ts'
import { settingsRoutes } from './organisations/settings-routes.ts'
import { certificateRoutes } from './projects/certificate-routes.ts'
import { deletionRoutes } from './projects/deletion-routes.ts'
import { projectRoutes } from './projects/project-routes.ts'
import { createResolveTxt } from './relays/check-dkim-record.ts'
import { dkimKeyRoutes } from './relays/dkim-key-routes.ts'
import { enrolmentRoutes } from './relays/enrolment-routes.ts'
import { relayRoutes } from './relays/relay-routes.ts'
import { relaySettingsRoutes } from './relays/relay-settings-routes.ts'
import type { Services } from './services.ts'
import { tenantRoutes } from './tenants/tenant-routes.ts'
import { notificationRoutes } from './webhooks/notification-routes.ts'
import { webhookRoutes } from './webhooks/webhook-routes.ts'

export interface RoutesDeps extends Pick<
  Services,
  'settings' | 'database' | 'sealer' | 'wakeUps' | 'log' | 'metrics' | 'now' | 'monotonicMs'
> {
  readonly tables: CompiledTables
  readonly health: HealthCheck
  readonly sessions: Sessions
  /** undefined: nobody can sign in but by the one-time code. */
  readonly signIn: SignInDeps | undefined
}

export function allRoutes(deps: RoutesDeps): AnyRoute[] {
  const { settings, database, sealer, wakeUps, log, metrics, now, monotonicMs, tables, health, sessions, signIn } = deps
  const { db } = database
  const failures = new FailureLimit(monotonicMs)
  const record = createSignInRecord({ db, log, metrics })
  const streams = { db, wakeUps, streamAccess: new StreamAccess({ db, now }) }
  const isEvaluation = settings.mode === 'evaluation'
  const region = { region: settings.region }
  return [
    ...monitoringRoutes(health),
    ...signInRoutes({ db, sealer, signIn, sessions, failures, record, log }),
    ...breakGlassRoutes({ db, failures, record, log, random: randomBytes, isEvaluation }),
    ...sessionRoutes({ signIn, publicUrl: settings.publicUrl }),
    ...meRoutes(),
    ...installationAdministratorRoutes(),
    ...auditRoutes({ db, sealer, log, now }),
    ...certificateRoutes(),
    ...organisationRoutes(region),
    ...settingsRoutes(region),
    ...memberRoutes(),
    ...roleRoutes(),
    ...apiKeyRoutes(),
    ...supportGrantRoutes(),
    ...projectRoutes(),
    ...deletionRoutes(),
    ...tenantRoutes(),
    ...mappingRoutesOf({ db, tables }),
    ...relayRoutes(),
    ...enrolmentRoutes(),
    ...relaySettingsRoutes(),
    ...keyRoutes(),
    ...dkimKeyRoutes({ sealer, resolveTxt: createResolveTxt(settings.dnsServers) }),
    ...messageRoutes({ sealer }),
    ...webhookRoutes({ sealer, rules: addressRules(settings.outboundAllow) }),
    ...notificationRoutes({ sealer }),
    ...eventRoutes(streams),
    ...operationRoutes(streams),
  ]
}
