// Every route of the API, in the order in which they are matched: fixed words before ids.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
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
import { accountRoutes } from './directory/account-routes.ts'
import { discoveryRoutes } from './discovery/discovery-routes.ts'
import { eventRoutes } from './events/event-routes.ts'
import { StreamAccess } from './events/stream-access.ts'
import { assessmentReportRoutes } from './findings/assessment-report.ts'
import { findingRoutes } from './findings/finding-routes.ts'
import { addressRules } from './http/outbound-address.ts'
import type { AnyRoute } from './http/route.ts'
import { failedJobRoutes } from './jobs/failed-job-routes.ts'
import { keyRoutes } from './keys/key-routes.ts'
import { mappingRoutesOf } from './mapping/all-routes.ts'
import type { CompiledTables } from './mapping/compiled-tables.ts'
import { messageRoutes } from './messages/message-routes.ts'
import { matchingRoutesOf } from './matching/all-routes.ts'
import type { HealthCheck } from './monitoring/health.ts'
import { monitoringRoutes } from './monitoring/monitoring-routes.ts'
import { operationRoutes } from './operations/operation-routes.ts'
import { organisationRoutes } from './organisations/organisation-routes.ts'
import { settingsRoutes } from './organisations/settings-routes.ts'
import { personRoutes } from './persons/person-routes.ts'
import { certificateRoutes } from './projects/certificate-routes.ts'
import { deletionRoutes } from './projects/deletion-routes.ts'
import { projectRoutes } from './projects/project-routes.ts'
import { relayCertificateRoutes } from './certificates/certificate-routes.ts'
import { coexistenceRoutes } from './coexistence/coexistence-routes.ts'
import { createDns } from './coexistence/published-records.ts'
import { createResolveTxt } from './relays/check-dkim-record.ts'
import { dkimKeyRoutes } from './relays/dkim-key-routes.ts'
import { enrolmentRoutes } from './relays/enrolment-routes.ts'
import { relayNonceRoutes } from './relays/relay-nonce-routes.ts'
import { relayRoutes } from './relays/relay-routes.ts'
import { relaySecretRoutes } from './relays/relay-secret-routes.ts'
import { relaySettingsRoutes } from './relays/relay-settings-routes.ts'
import type { Services } from './services.ts'
import { connectionCertificateRoutes } from './tenants/connection-certificate-routes.ts'
import { consentRoutes } from './tenants/consent-routes.ts'
import { consentVisitRoutes } from './tenants/consent-visit-routes.ts'
import { healthRoutes } from './tenants/health-routes.ts'
import { tenantRoutes } from './tenants/tenant-routes.ts'
import { notificationRoutes } from './webhooks/notification-routes.ts'
import { webhookRoutes } from './webhooks/webhook-routes.ts'

export interface RoutesDeps extends Pick<
  Services,
  'settings' | 'database' | 'sealer' | 'wakeUps' | 'connect' | 'log' | 'metrics' | 'now' | 'monotonicMs'
> {
  readonly tables: CompiledTables
  readonly health: HealthCheck
  readonly sessions: Sessions
  /** undefined: nobody can sign in but by the one-time code. */
  readonly signIn: SignInDeps | undefined
}

export function allRoutes(deps: RoutesDeps): AnyRoute[] {
  const {
    settings,
    database,
    sealer,
    wakeUps,
    connect,
    log,
    metrics,
    now,
    monotonicMs,
    tables,
    health,
    sessions,
    signIn,
  } = deps
  const { db } = database
  const failures = new FailureLimit(monotonicMs)
  const record = createSignInRecord({ db, log, metrics })
  const streams = { db, wakeUps, streamAccess: new StreamAccess({ db, now }) }
  const isEvaluation = settings.mode === 'evaluation'
  const connecting = { db, sealer, ...connect }
  const region = { region: settings.region }
  return [
    ...monitoringRoutes(health),
    ...signInRoutes({ db, sealer, signIn, sessions, failures, record, log }),
    ...breakGlassRoutes({
      db,
      failures,
      record,
      log,
      random: randomBytes,
      isEvaluation,
      publicUrl: settings.publicUrl,
    }),
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
    ...consentRoutes({ ...connecting, publicUrl: settings.publicUrl, random: randomBytes }),
    ...consentVisitRoutes({
      ...connecting,
      publicUrl: settings.publicUrl,
      failures,
      random: randomBytes,
      now,
      wait: sleep,
    }),
    ...connectionCertificateRoutes(connecting),
    ...healthRoutes(connect),
    ...discoveryRoutes(),
    ...accountRoutes(),
    ...findingRoutes(),
    ...assessmentReportRoutes({ db }),
    ...mappingRoutesOf({ db, tables }),
    ...matchingRoutesOf({ db }),
    ...relayRoutes(),
    ...enrolmentRoutes(),
    ...relaySettingsRoutes(),
    ...relaySecretRoutes(sealer),
    ...relayNonceRoutes(sealer),
    ...keyRoutes(),
    ...dkimKeyRoutes({ sealer, resolveTxt: createResolveTxt(settings.dnsServers) }),
    ...relayCertificateRoutes({ sealer }),
    ...coexistenceRoutes({ ...connecting, now, dns: createDns(settings.dnsServers) }),
    ...messageRoutes({ sealer }),
    ...personRoutes({ db, sealer }),
    ...webhookRoutes({ sealer, rules: addressRules(settings.outboundAllow) }),
    ...notificationRoutes({ sealer }),
    ...eventRoutes(streams),
    ...operationRoutes(streams),
    ...failedJobRoutes(),
  ]
}
