// A project with relays over real HTTP on a real database: the endpoints and routes of relays/, tables of mapping/, keys in a directory. What tests of
// the push channel begin with.
import { sql } from 'kysely'
import type { RequestHandler } from 'express'
import type { TestContext } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { rowOf, withScope } from '../../../control-plane/db/database.ts'
import type { Db, Tx } from '../../../control-plane/db/database.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import type { AnyRoute } from '../../../control-plane/http/route.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId, TenantId } from '../../../control-plane/ids.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { storeEvents } from '../../../control-plane/messages/take-events.ts'
import { messageRoutes } from '../../../control-plane/messages/message-routes.ts'
import { bumpSnapshot } from '../../../control-plane/projects/relay-visible.ts'
import { dkimKeyRoutes } from '../../../control-plane/relays/dkim-key-routes.ts'
import { enrolmentRoutes } from '../../../control-plane/relays/enrolment-routes.ts'
import type { ResolveTxt } from '../../../control-plane/relays/check-dkim-record.ts'
import { relayEndpoints } from '../../../control-plane/relays/relay-endpoints.ts'
import { relayRoutes } from '../../../control-plane/relays/relay-routes.ts'
import { relaySettingsRoutes } from '../../../control-plane/relays/relay-settings-routes.ts'
import { loadInstallationId } from '../../../control-plane/relays/snapshot-key-store.ts'
import { SnapshotKeys } from '../../../control-plane/relays/snapshot-keys.ts'
import { SnapshotStreams } from '../../../control-plane/relays/stream-snapshots.ts'
import type { StreamServiceDeps } from '../../../control-plane/relays/stream-snapshots.ts'
import { createTableSource } from '../../../control-plane/relays/table-source.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { RelayClient } from '../../harness/relay-client.ts'
import type { ClientOptions } from '../../harness/relay-client.ts'
import { temporaryDirectory } from '../keys/key-scene.ts'

export interface Fleet {
  readonly api: TestApi
  readonly clock: { offsetMs: number; readonly now: () => number }
  readonly sealer: Sealer
  readonly snapshotKeys: SnapshotKeys
  readonly streams: SnapshotStreams
  readonly installation: string
  readonly organisation: OrganisationId
  readonly key: string
  readonly project: ProjectId
  /** Beside the API's routes. */
  readonly routes: readonly AnyRoute[]
  readonly metrics: StreamServiceDeps['metrics']
  /** `/projects/{project}` */
  readonly path: string
  /** A code of the project, or of another. */
  code(project?: ProjectId): Promise<string>
  /** Enrols a relay. Its connections go with the test. */
  relay(options?: ClientOptions, name?: string): Promise<RelayClient>
  tenant(label: string, domains: readonly string[]): Promise<TenantId>
  /** One change of the mapping: these entries come, or take the place of those presented so. @returns the revision */
  map(entries: readonly MapEntry[]): Promise<number>
  /** All in one transaction: what `map` does within. */
  mapIn(tx: Tx, entries: readonly MapEntry[]): Promise<number>
  /** A revision for each of these new users. */
  mapEach(tx: Tx, users: readonly number[]): Promise<void>
  versions(): Promise<{ snapshot: number; mapping: number; settings: number }>
  inOrganisation<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Ends what runs; before the database goes. */
  close(): Promise<void>
}

/** `user 7` is `u7@fabrikam.example`, with the mailbox `u7@contoso.example` unless told otherwise. */
export type MapEntry =
  number | { readonly user: number; readonly mailbox?: string; readonly aliases?: readonly string[] }

export interface FleetOptions {
  readonly streams?: Partial<StreamServiceDeps>
  readonly resolveTxt?: ResolveTxt
  /** Beside the fleet's own. */
  readonly routes?: (sealer: Sealer, db: Db) => readonly AnyRoute[]
}

export async function openFleet(t: Pick<TestContext, 'after'>, options: FleetOptions = {}): Promise<Fleet> {
  const clock = { offsetMs: 0, now: () => Date.now() + clock.offsetMs }
  const handlers: RequestHandler[] = []
  const closing: (() => Promise<void> | void)[] = []
  const metrics = emptyMetrics()
  const parts: Partial<Pick<Fleet, 'sealer' | 'snapshotKeys' | 'streams' | 'installation' | 'routes'>> & object = {}
  const api = await testApi(
    t,
    async ({ database, log }) => {
      const { db } = database
      const provider = await openKeyDirectory(temporaryDirectory(t), clock.now)
      const cache = new KeyCache(clock.now)
      const uses = new KeyUses({ db, log, now: () => new Date(clock.now()) })
      const sealer = createSealer({ db, provider, cache, uses, now: () => new Date(clock.now()) })
      const snapshotKeys = new SnapshotKeys({ db, sealer, now: clock.now })
      const installation = await withScope(db, {}, loadInstallationId)
      const wakeUps = new WakeUps(database.connection, createLog({ write: () => {}, level: 'error', now: clock.now }))
      await wakeUps.start()
      const streams = new SnapshotStreams({
        db,
        sealer,
        snapshotKeys,
        tables: createTableSource(db, new CompiledTables({ db, log })),
        wakeUps,
        installation,
        metrics,
        log,
        now: clock.now,
        ...options.streams,
      })
      handlers.push(
        relayEndpoints({
          db,
          snapshotKeys,
          installation,
          streams,
          takeEvents: (place, events) => storeEvents(db, place, events, clock.now()),
          now: clock.now,
          monotonicMs: () => performance.now(),
        }),
      )
      closing.push(
        () => streams.close(),
        () => wakeUps.close(),
        () => uses.settle(),
        () => cache.close(),
      )
      const routes = [
        ...relayRoutes(),
        ...enrolmentRoutes(),
        ...relaySettingsRoutes(),
        ...dkimKeyRoutes({ sealer, resolveTxt: options.resolveTxt ?? (() => Promise.resolve([])) }),
        ...messageRoutes({ sealer }),
        ...(options.routes?.(sealer, db) ?? []),
      ]
      Object.assign(parts, { sealer, snapshotKeys, streams, installation, routes })
      return routes
    },
    { now: clock.now, app: { handlers } },
  )
  const clients: RelayClient[] = []
  const { id: organisation, key } = await api.organisation()
  const project = await api.project(organisation)
  const path = `/projects/${project}`
  const { db } = api.database
  const inOrganisation: Fleet['inOrganisation'] = (work) => withScope(db, { organisation }, work)
  const code = async (of = project): Promise<string> => {
    const { status, body } = await api.request('POST', `/projects/${of}/relay-enrolments`, {}, { key })
    if (status !== 201) throw new Error(JSON.stringify(body))
    return String(body.code)
  }
  const mapIn: Fleet['mapIn'] = (tx, entries) => changeMapping(tx, organisation, project, entries)
  const made: Fleet = {
    ...(parts as Required<typeof parts>),
    api,
    clock,
    metrics,
    organisation,
    key,
    project,
    path,
    code,
    async relay(clientOptions, name) {
      const client = await RelayClient.enrol(api.url, await code(), clientOptions, name)
      clients.push(client)
      return client
    },
    async tenant(label, domains) {
      const id = newId('tenant')
      const guid = crypto.randomUUID()
      await inOrganisation(async (tx) => {
        await sql`insert into tenant_claim (entra_tenant_id, organisation_id) values (${guid}, ${organisation})`.execute(
          tx,
        )
        await sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model, accepted_domains, created_by)
                  values (${organisation}, ${project}, ${id}, 'source', ${label}, 'global', ${guid}, 'multi-tenant', ${[...domains]}, 'test')`.execute(
          tx,
        )
        await bumpSnapshot(tx, organisation, project, 'settings')
      })
      return id
    },
    async mapEach(tx, users) {
      const rows: EntryRow[] = []
      for (const user of users) {
        const { mappingRevision } = await bumpSnapshot(tx, organisation, project, 'mapping')
        rows.push(rowOfEntry(user, mappingRevision))
      }
      await insertRows(tx, organisation, project, rows)
    },
    map: (entries) => inOrganisation((tx) => mapIn(tx, entries)),
    mapIn,
    async versions() {
      const row = await inOrganisation((tx) =>
        rowOf<{ snapshot: number; mapping: number; settings: number }>(
          tx,
          sql`select snapshot_version as snapshot, mapping_revision as mapping, settings_version as settings from project where id = ${project}`,
        ),
      )
      if (row === undefined) throw new Error('the project is gone')
      return row
    },
    inOrganisation,
    async close() {
      for (const client of clients) client.destroy()
      for (const close of closing) await close()
    },
  }
  return made
}

export async function withFleet(
  t: TestContext,
  options: FleetOptions,
  work: (it: Fleet) => Promise<void>,
): Promise<void> {
  const it = await openFleet(t, options)
  try {
    await work(it)
  } finally {
    await it.close()
  }
}

interface EntryRow {
  readonly revision: number
  readonly id: string
  readonly presented: string
  readonly mailbox: string
  readonly domain: string
  readonly keys: readonly string[]
  readonly wire: string
}

function rowOfEntry(entry: MapEntry, revision: number): EntryRow {
  const {
    user,
    mailbox = `u${user}@contoso.example`,
    aliases = [],
  } = typeof entry === 'number' ? { user: entry } : entry
  const presented = `u${user}@fabrikam.example`
  const others = aliases.map((alias) => `${alias}u${user}@contoso.example`)
  const keys = [...new Set([presented, `u${user}@contoso.example`, mailbox, ...others])]
  const wire = JSON.stringify({ known: keys, presented, mailbox })
  return { revision, id: newId('mapping'), presented, mailbox, domain: mailbox.split('@')[1] ?? '', keys, wire }
}

async function changeMapping(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  entries: readonly MapEntry[],
): Promise<number> {
  const { mappingRevision: revision } = await bumpSnapshot(tx, organisation, project, 'mapping')
  const rows = entries.map((entry) => rowOfEntry(entry, revision))
  await sql`update mapping_entry set valid_to = ${revision}
             where organisation_id = ${organisation} and project_id = ${project} and valid_to is null
               and presented_key = any(${rows.map(({ presented }) => presented)}::text[])`.execute(tx)
  await insertRows(tx, organisation, project, rows)
  return revision
}

async function insertRows(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  rows: readonly EntryRow[],
): Promise<void> {
  await sql`insert into mapping_entry (organisation_id, project_id, id, valid_from, presented_key, presented, mailbox, mailbox_domain, keys, wire,
                                       source, author, created_at)
            select ${organisation}, ${project}, r.id, r.revision, r.presented, r.presented, r.mailbox, r.domain, r.keys, r.wire, 'manual', 'test', now()
              from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
                   as r (revision bigint, id text, presented text, mailbox text, domain text, keys text[], wire text)`.execute(
    tx,
  )
  const revisions = [...new Set(rows.map(({ revision }) => revision))]
  await sql`insert into mapping_revision (organisation_id, project_id, revision, author, cause, created, changed, removed, rules_changed, entries, created_at)
            select ${organisation}, ${project}, r, 'test', 'change', 1, 0, 0, 0, 0, now() from unnest(${revisions}::bigint[]) as r`.execute(
    tx,
  )
}
