// What goes by the clock of that which is common to all features: events, deliveries, finished operations, kept answers, failed jobs; audit
// payloads, sessions, and what relays and tables leave behind by their own stores. (PR-4)
import { sql } from 'kysely'
import { redactAudit } from '../audit/audit-store.ts'
import { sweepSessions } from '../access/session-store.ts'
import { countOf, setScope } from '../db/database.ts'
import type { ProjectId } from '../ids.ts'
import { sweepRevisions } from '../mapping/revision-store.ts'
import { loadSettings, projectIdsOf } from '../organisations/organisation-store.ts'
import { sweepEnrolments } from '../relays/enrolment-store.ts'
import { sweepNonces } from '../relays/relay-secret-store.ts'
import { sweepSettings } from '../relays/relay-settings-store.ts'
import { sweepMessages } from '../messages/message-store.ts'
import { sweepEvents } from '../events/event-store.ts'
import { sweepDeliveries } from '../webhooks/delivery-store.ts'
import { sweepInBatches } from './sweep.ts'
import type { Sweeper } from './sweep.ts'

const DAY_MS = 86_400_000
const KEEP_EVENTS_MS = DAY_MS
const KEEP_KEYS_MS = DAY_MS
const KEEP_DAYS_MS = 30 * DAY_MS
/** Of tables and settings: what was in force then, and by whom. As long as audit payloads by default. */
export const KEEP_HISTORY_MS = 400 * DAY_MS

export const commonSweepers: readonly Sweeper[] = [
  {
    name: 'events',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        sweepEvents(tx, context.organisation, new Date(context.now - KEEP_EVENTS_MS), limit),
      ),
  },
  {
    name: 'idempotencyKeys',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        countOf(
          tx,
          sql`delete from idempotency_key where ctid = any(array(
                select ctid from idempotency_key where organisation_id = ${context.organisation}
                   and created_at < ${new Date(context.now - KEEP_KEYS_MS)} limit ${limit}))`,
        ),
      ),
  },
  ...(['webhook_delivery', 'notification_delivery'] as const).map((table): Sweeper => ({
    name: table === 'webhook_delivery' ? 'webhookDeliveries' : 'notificationDeliveries',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        sweepDeliveries(tx, table, context.organisation, new Date(context.now - KEEP_DAYS_MS), limit),
      ),
  })),
  {
    name: 'operations',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        countOf(
          tx,
          sql`delete from operation where ctid = any(array(
                select ctid from operation where organisation_id = ${context.organisation}
                   and finished_at < ${new Date(context.now - KEEP_DAYS_MS)} limit ${limit}))`,
        ),
      ),
  },
  {
    name: 'failedJobs',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        countOf(
          tx,
          sql`delete from job where ctid = any(array(
                select ctid from job where organisation_id = ${context.organisation} and state = 'failed'
                   and failed_at < ${new Date(context.now - KEEP_DAYS_MS)} limit ${limit}))`,
        ),
      ),
  },
  {
    name: 'messages',
    of: 'organisations',
    async sweep({ change, organisation, now, signal }) {
      const { retention } = await change((tx) => loadSettings(tx, organisation))
      const before = new Date(now - retention.messageTraceDays * DAY_MS)
      return sweepInBatches({ change, signal }, (tx, limit) => sweepMessages(tx, organisation, before, limit))
    },
  },
  {
    name: 'audit',
    of: 'organisations',
    isAudited: true,
    sweep: ({ change, organisation, now }) =>
      change(async (tx) => {
        const { retention } = await loadSettings(tx, organisation)
        return redactAudit(tx, organisation, new Date(now - retention.auditDays * DAY_MS), now)
      }),
  },
  {
    name: 'relayEnrolments',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        sweepEnrolments(tx, context.organisation, new Date(context.now - KEEP_DAYS_MS), limit),
      ),
  },
  {
    name: 'relaySettings',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) =>
        sweepSettings(tx, context.organisation, new Date(context.now - KEEP_HISTORY_MS), limit),
      ),
  },
  {
    name: 'relayNonces',
    of: 'organisations',
    sweep: (context) =>
      sweepInBatches(context, (tx, limit) => sweepNonces(tx, context.organisation, new Date(context.now), limit)),
  },
  {
    name: 'mappingRevisions',
    of: 'organisations',
    async sweep({ organisation, change, signal, now }) {
      const before = new Date(now - KEEP_HISTORY_MS)
      let swept = 0
      for (const project of await change((tx) => projectIdsOf(tx, organisation))) {
        const place = { organisation, project: project as ProjectId }
        swept += await sweepInBatches({ change, signal }, (tx, limit) => sweepRevisions(tx, place, before, limit))
      }
      return swept
    },
  },
  {
    name: 'sessions',
    of: 'installation',
    sweep: ({ change, now }) =>
      change(async (tx) => {
        await setScope(tx, { purpose: 'retention' })
        return sweepSessions(tx, new Date(now))
      }),
  },
]
