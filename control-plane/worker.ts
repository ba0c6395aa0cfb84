// The job worker as a process: background work, clocks, what a change left behind. Nothing is decided here. (product.md §2)
import { startAdminServer } from '../common/admin-server.ts'
import { chance as random } from '../common/chance.ts'
import { createLog } from '../common/log.ts'
import type { Log } from '../common/log.ts'
import { createMetrics } from '../common/metrics.ts'
import type { Metrics } from '../common/metrics.ts'
import { startProcessLog } from '../common/process-log.ts'
import { untilSignal } from '../common/until-signal.ts'
import { watchAudit } from './audit/audit-figures.ts'
import { openCheckpointDirectory } from './audit/checkpoint-directory.ts'
import { checkpointPost } from './audit/checkpoint-post.ts'
import type { CheckpointStorage } from './audit/checkpoint-storage.ts'
import { auditCheckpointJob, auditReconciler } from './audit/checkpoint-job.ts'
import { VERIFY_EVERY_MS, verifyChainJob } from './audit/verify-chain.ts'
import { createGateKeeper } from './coexistence/gate-keeper.ts'
import { heldTableReconciler } from './coexistence/end-holds.ts'
import { coexistenceReconciler, reconcileCoexistenceJob } from './coexistence/reconcile-job.ts'
import { withScope } from './db/database.ts'
import { discover } from './discovery/discover.ts'
import type { DiscoverDeps } from './discovery/discover.ts'
import { endOrphans } from './discovery/discovery-store.ts'
import { findingsReconciler, requestFindings } from './findings/finding-run-store.ts'
import { runFindingsJob } from './findings/run-findings.ts'
import { sweepResolved } from './findings/write-store.ts'
import { addressRules } from './http/outbound-address.ts'
import type { JobHandlers } from './jobs/job.ts'
import type { Reconciler } from './jobs/reconcile-all.ts'
import type { PeriodicJob } from './jobs/schedule-store.ts'
import { startJobs } from './jobs/start-jobs.ts'
import { ALL_SEALED_COLUMNS } from './keys/all-sealed-columns.ts'
import { expiryAlarms, watchExpiry } from './keys/expiry-alarms.ts'
import type { ProjectId } from './ids.ts'
import { ofProject } from './keys/key-owner.ts'
import { rewrapJob, rewrapReconciler } from './keys/rewrap-job.ts'
import { shredKeys } from './keys/shred-keys.ts'
import { applyImport } from './mapping/apply-import.ts'
import { sweepHistory } from './mapping/revision-store.ts'
import { sweepStaged } from './mapping/staging-store.ts'
import { syncPairEntries } from './matching/sync-pairs.ts'
import { applyPairs } from './matching/apply-pairs.ts'
import { sweepStagedPairs } from './matching/pair-file-store.ts'
import { runMatching } from './matching/run-matching.ts'
import { PAIR_SYNC_EVERY_MS, pairSyncJob } from './matching/sync-job.ts'
import { dropOldPartitions, makePartitionsAhead } from './messages/message-partition-store.ts'
import { watchCertificates } from './monitoring/certificate-figures.ts'
import { watchComponents } from './monitoring/component-figures.ts'
import { HealthCheck } from './monitoring/health.ts'
import { CancelWatch } from './operations/cancel-watch.ts'
import { operationJob } from './operations/operation-job.ts'
import { operationReconciler } from './operations/reconcile-operations.ts'
import { deleteOrganisationHandler, requestDueOrganisationDeletions } from './organisations/delete-organisation.ts'
import { projectIdsOf } from './organisations/organisation-store.ts'
import { deleteProjectHandler, requestDueProjectDeletions } from './projects/delete-project.ts'
import type { DeletionDeps } from './projects/delete-project.ts'
import { endpointListClient, exchangeRangeReconciler } from './relays/refresh-exchange-ranges.ts'
import { watchRelayFigures } from './relays/relay-figures.ts'
import { SnapshotKeys } from './relays/snapshot-keys.ts'
import { sweepTokenUses } from './relays/token-use-store.ts'
import { watchRelays } from './relays/watch-relays.ts'
import { retentionSweepJob, SWEEP_EVERY_MS, sweepInBatches } from './retention/sweep.ts'
import type { Sweeper } from './retention/sweep.ts'
import { commonSweepers, KEEP_HISTORY_MS } from './retention/sweepers.ts'
import { openServices } from './services.ts'
import type { Services } from './services.ts'
import { loadSettings } from './settings.ts'
import type { Settings } from './settings.ts'
import { checkTenantJob, checkTenantReconciler } from './tenants/check-tenant.ts'
import { sweepConsentFlows } from './tenants/consent-store.ts'
import { deliverWebhookJob } from './webhooks/deliver-webhook.ts'
import { createDeliveryFigures } from './webhooks/delivery-figures.ts'
import { createMailer } from './webhooks/mailer.ts'
import { sendNotificationJob } from './webhooks/send-notification.ts'

export interface RunningWorker {
  readonly metricsPort: number
  /** What is under way gives way within `graceMs`, and goes on elsewhere. */
  stop(graceMs: number): Promise<void>
}

const GRACE_MS = 30_000
const STAGED_FOR_MS = 24 * 3_600_000
const RESOLVED_FINDINGS_MS = 30 * 24 * 3_600_000

/** @returns the process's exit code @throws SettingsFault */
export async function runWorker(env: Readonly<Record<string, string | undefined>>): Promise<number> {
  const write = startProcessLog('worker.died')
  const settings = loadSettings(env)
  const log = createLog({ write, level: settings.logLevel, now: Date.now })
  const worker = await startWorker(settings, { log, metrics: createMetrics() })
  await untilSignal()
  await worker.stop(GRACE_MS)
  return 0
}

export async function startWorker(
  settings: Settings,
  { log, metrics }: { log: Log; metrics: Metrics },
): Promise<RunningWorker> {
  const opened = new AsyncDisposableStack()
  try {
    const services = await openServices(settings, { log, metrics })
    opened.defer(() => services.close())
    const { database, queue, wakeUps, monotonicMs, now } = services
    let isStopping = false
    const health = new HealthCheck({
      database,
      pingQueue: () => queue.ping(),
      keyService: services.keys.provider,
      isStopping: () => isStopping,
      monotonicMs,
    })
    watchComponents(health, metrics)
    const watch = new CancelWatch({ db: database.db, wakeUps, log })
    opened.defer(() => watch.close())
    await makePartitionsAhead(database.db, now())
    const jobs = startJobs({
      ...services,
      db: database.db,
      handlers: jobHandlers(services, watch),
      periodic: PERIODIC,
      reconcilers: reconcilers(services),
      random,
    })
    opened.defer(() => jobs.stop())
    watchExpiry({ db: database.db, metrics, log, now: services.keys.now })
    const figures = { db: database.db, metrics, log, now, monotonicMs }
    watchRelayFigures(figures)
    watchAudit({ ...figures, exports: checkpointStorages(settings).length > 0 })
    watchCertificates(settings, { metrics, log })
    const admin = await startAdminServer(settings.metrics, { metrics, readiness: () => health.check(), log })
    opened.defer(() => admin.close())
    log.info('worker.started', { metricsPort: admin.port, mode: settings.mode, queue: queue.kind })
    return {
      metricsPort: admin.port,
      async stop(graceMs) {
        isStopping = true
        log.info('worker.stopping')
        await jobs.stop(graceMs)
        await opened.disposeAsync()
        log.info('worker.stopped')
      },
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}

const PERIODIC: readonly PeriodicJob[] = [
  { kind: 'retention.sweep', everyMs: SWEEP_EVERY_MS, of: 'organisations' },
  { kind: 'pair.sync', everyMs: PAIR_SYNC_EVERY_MS, of: 'organisations' },
  { kind: 'audit.verify', everyMs: VERIFY_EVERY_MS, of: 'organisations' },
]

function jobHandlers(services: Services, watch: CancelWatch): JobHandlers {
  const { settings, database, keys, sealer, log, metrics, now, monotonicMs } = services
  const { db } = database
  const outbound = { rules: addressRules(settings.outboundAllow) }
  const mailer = settings.smtp && createMailer(settings.smtp)
  const figures = createDeliveryFigures(metrics)
  const deletion = deletionDeps(services)
  const connecting = { db, sealer, now, ...services.connect }
  return {
    'audit.checkpoint': auditCheckpointJob({ db, sealer, now, storages: checkpointStorages(settings) }),
    'audit.verify': verifyChainJob({ db, log, now }),
    'coexistence.reconcile': reconcileCoexistenceJob(
      { ...connecting, gates: createGateKeeper({ now }) },
      { watch, monotonicMs },
    ),
    'keys.rewrap': rewrapJob({ keys, columns: ALL_SEALED_COLUMNS, log, operations: { watch, monotonicMs } }),
    'mapping.import': operationJob((context) => applyImport(context, { db, now }), { watch, monotonicMs }),
    'matching.run': operationJob((context) => runMatching(context, { db, now }), { watch, monotonicMs }),
    'pair.change': operationJob((context) => applyPairs(context, { db, now }), { watch, monotonicMs }),
    'pair.sync': pairSyncJob({ now }),
    'organisation.delete': deleteOrganisationHandler(deletion),
    'project.delete': deleteProjectHandler(deletion),
    'tenant.check': checkTenantJob(connecting),
    'findings.run': runFindingsJob({ now }),
    'discovery.run': operationJob((context) => discover(context, discoverDeps(services)), { watch, monotonicMs }),
    'retention.sweep': retentionSweepJob({ sweepers: allSweepers(services), log, now }),
    'webhook.deliver': deliverWebhookJob({ outbound, sealer, figures, log, now, random }),
    'notification.send': sendNotificationJob({
      mailer,
      sealer,
      publicUrl: settings.publicUrl,
      figures,
      log,
      now,
      random,
    }),
  }
}

function discoverDeps({ database: { db }, sealer, connect, now }: Services): DiscoverDeps {
  return {
    db,
    sealer,
    now,
    ...connect,
    onAccountsChanged: async (tx, place, accounts) =>
      void (await syncPairEntries(tx, place, accounts, { author: 'system:discovery', now: now() })),
    onCompleted: requestFindings,
  }
}

function deletionDeps({ keys, now }: Services): DeletionDeps {
  return {
    steps: [],
    shredKeys: async ({ organisation, project }) => ({ ...(await shredKeys(ofProject(organisation, project), keys)) }),
    now,
  }
}

function checkpointStorages({ auditExportDirectory, auditExportUrl, outboundAllow }: Settings): CheckpointStorage[] {
  return [
    ...(auditExportDirectory === undefined ? [] : [openCheckpointDirectory(auditExportDirectory)]),
    ...(auditExportUrl === undefined ? [] : [checkpointPost(auditExportUrl, { rules: addressRules(outboundAllow) })]),
  ]
}

function allSweepers({ database: { db } }: Services): readonly Sweeper[] {
  return [
    ...commonSweepers,
    {
      name: 'stagedImports',
      of: 'organisations',
      sweep: ({ change, now }) => change((tx) => sweepStaged(tx, new Date(now - STAGED_FOR_MS))),
    },
    {
      name: 'stagedPairs',
      of: 'organisations',
      sweep: ({ change, now }) => change((tx) => sweepStagedPairs(tx, new Date(now - STAGED_FOR_MS))),
    },
    {
      name: 'resolvedFindings',
      of: 'organisations',
      sweep: (context) =>
        sweepInBatches(context, (tx, limit) =>
          sweepResolved(tx, context.organisation, new Date(context.now - RESOLVED_FINDINGS_MS), limit),
        ),
    },
    {
      name: 'mappingHistory',
      of: 'organisations',
      async sweep({ organisation, change, signal, now }) {
        const before = new Date(now - KEEP_HISTORY_MS)
        let swept = 0
        for (const project of await change((tx) => projectIdsOf(tx, organisation))) {
          const place = { organisation, project: project as ProjectId }
          swept += await sweepInBatches({ change, signal }, (tx, limit) => sweepHistory(tx, place, before, limit))
        }
        return swept
      },
    },
    { name: 'messageDays', of: 'installation', sweep: ({ now }) => dropOldPartitions(db, now) },
    {
      name: 'consentFlows',
      of: 'installation',
      sweep: ({ now }) => withScope(db, { purpose: 'retention' }, (tx) => sweepConsentFlows(tx, new Date(now))),
    },
    {
      name: 'relayTokenUses',
      of: 'installation',
      sweep: ({ now }) => withScope(db, { purpose: 'retention' }, (tx) => sweepTokenUses(tx, new Date(now))),
    },
  ]
}

function reconcilers({ settings, database, sealer, keys, log, now }: Services): readonly Reconciler[] {
  const { db } = database
  return [
    operationReconciler({}),
    auditReconciler({ now, storages: checkpointStorages(settings) }),
    rewrapReconciler(keys),
    expiryAlarms({ log, now: keys.now }),
    checkTenantReconciler(),
    coexistenceReconciler(),
    heldTableReconciler(now),
    findingsReconciler(),
    { name: 'discoveries.orphans', reconcile: async () => void (await endOrphans(db)) },
    { name: 'projects.deletion', reconcile: () => requestDueProjectDeletions(db, now()) },
    { name: 'organisations.deletion', reconcile: () => requestDueOrganisationDeletions(db, now()) },
    {
      name: 'snapshot-key.rotation',
      reconcile: async () => void (await new SnapshotKeys({ db, sealer, now }).rotateWhenDue()),
    },
    { name: 'relays.silent', reconcile: async () => void (await watchRelays(db, now())) },
    // An evaluation has no mail from Exchange Online, and may have no Internet.
    ...(settings.mode === 'evaluation'
      ? []
      : [
          exchangeRangeReconciler({
            db,
            get: endpointListClient({ rules: addressRules(settings.outboundAllow) }),
            log,
            now,
          }),
        ]),
    { name: 'messages.partitions', reconcile: () => makePartitionsAhead(db, now()) },
  ]
}
