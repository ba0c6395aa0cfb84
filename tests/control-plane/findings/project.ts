// A project with two tenants in a real database, whose accounts are put there as a discovery puts them.
import { sql } from 'kysely'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import type { AccountSnapshot } from '../../../control-plane/directory/account.ts'
import type { TenantFacts } from '../../../control-plane/directory/tenant-facts.ts'
import { putFacts } from '../../../control-plane/discovery/discovery-store.ts'
import { writeVersions } from '../../../control-plane/discovery/version-store.ts'
import type { ChangedObject } from '../../../control-plane/discovery/version-store.ts'
import { requestFindings } from '../../../control-plane/findings/finding-run-store.ts'
import { runFindingsJob } from '../../../control-plane/findings/run-findings.ts'
import type { RunFindingsDeps } from '../../../control-plane/findings/run-findings.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { AccountId, OrganisationId, ProjectId, TenantId } from '../../../control-plane/ids.ts'
import { insertTenant } from '../../../control-plane/tenants/tenant-store.ts'
import type { ProjectPlace } from '../../../control-plane/tenants/tenant-store.ts'
import type { TestApi } from '../../harness/api.ts'
import { runJob } from '../../harness/run-job.ts'
import { snapshot, viewOf } from './scene.ts'
import type { Scene } from './scene.ts'

export interface Account extends Partial<AccountSnapshot> {
  /** Object id, and the display name unless that is given. */
  readonly objectId: string
}

export interface FindingProject extends ProjectPlace {
  readonly key: string
  readonly path: string
  readonly source: TenantId
  readonly target: TenantId
  in<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Tenants as read; each discovery of theirs has gone to its end. */
  know(scene?: Scene): Promise<void>
  /** The accounts of a tenant from now on, and no others: a discovery of its own. */
  discover(tenant: TenantId, accounts: readonly Account[]): Promise<void>
  contain(tenant: TenantId, memberships: readonly (readonly [group: string, member: string])[]): Promise<void>
  idOf(objectId: string): Promise<AccountId>
  pair(source: string, target: string): Promise<void>
  /** Asks for it, and does it. */
  judge(deps?: Partial<RunFindingsDeps>, signal?: AbortSignal): Promise<void>
  goOn(deps?: Partial<RunFindingsDeps>, signal?: AbortSignal): Promise<void>
  /** `code: object, other` of what is there, by code. */
  told(): Promise<string[]>
}

export async function findingProject(
  api: TestApi,
  options: { readonly organisation?: { id: OrganisationId; key: string }; readonly now?: () => number } = {},
): Promise<FindingProject> {
  const { db } = api.database
  const { now = Date.now } = options
  const { id: organisation, key } = options.organisation ?? (await api.organisation())
  const project: ProjectId = await api.project(organisation)
  const place = { organisation, project }
  const inside = <T>(work: (tx: Tx) => Promise<T>) => withScope(db, { organisation }, work)
  const add = async (side: 'source' | 'target') => {
    const id = newId('tenant')
    const tenant = {
      id,
      side,
      label: side,
      name: `<${side}>`,
      cloud: 'global',
      entraTenantId: crypto.randomUUID(),
      appModel: 'multi-tenant',
      clientId: undefined,
      acceptedDomains: [],
      initialDomain: undefined,
      version: 1,
      createdAt: new Date(),
    } as const
    await inside((tx) => insertTenant(tx, place, tenant, 'test'))
    return id
  }
  const source = await add('source')
  const target = await add('target')
  const numbers = new Map<TenantId, number>()

  const idOf = async (objectId: string): Promise<AccountId> => {
    const [row] = await inside((tx) =>
      rowsOf<{ id: AccountId }>(
        tx,
        sql`select id from account where project_id = ${project} and object_id = ${objectId} limit 1`,
      ),
    )
    if (row === undefined) throw new Error(`no account ${objectId}`)
    return row.id
  }

  const goOn = (deps: Partial<RunFindingsDeps> = {}, signal?: AbortSignal) =>
    runJob(db, { organisation, kind: 'findings.run', object: project }, runFindingsJob({ now, ...deps }), signal)

  return {
    ...place,
    key,
    path: `/projects/${project}`,
    source,
    target,
    in: inside,
    async know(scene = {}) {
      const view = viewOf(scene)
      await inside(async (tx) => {
        for (const { tenant, facts, completed } of view.tenants) {
          const id = tenant.side === 'source' ? source : target
          if (facts !== undefined)
            await putFacts(tx, place, { tenant: id, number: 1 }, facts satisfies TenantFacts, new Date(now()))
          if (completed !== undefined)
            await sql`insert into discovery (organisation_id, project_id, id, tenant_id, number, mode, state, operation_id, gaps, author, started_at, finished_at)
                      values (${organisation}, ${project}, ${newId('discovery')}, ${id}, 1, 'full', 'completed', 'opr_x',
                              ${JSON.stringify(completed.gaps)}::jsonb, 'test', ${new Date(now())}, ${new Date(now())})`.execute(
              tx,
            )
          await sql`insert into consent (organisation_id, project_id, tenant_id, state, choices, proved_at)
                    values (${organisation}, ${project}, ${id}, 'connected', '{"capabilities":[],"optional":[]}', now())`.execute(
            tx,
          )
        }
      })
    },
    async discover(tenant, accounts) {
      const number = (numbers.get(tenant) ?? 1) + 1
      numbers.set(tenant, number)
      await inside(async (tx) => {
        const before = await rowsOf<{ objectId: string; id: AccountId; digest: Buffer; isThere: boolean }>(
          tx,
          sql`select distinct on (object_id) object_id as "objectId", id, digest, valid_to is null as "isThere" from account
               where project_id = ${project} and tenant_id = ${tenant} order by object_id, valid_from desc`,
        )
        const known = new Map(before.map((row) => [row.objectId, row]))
        const objectOf = (objectId: string): ChangedObject => {
          const { id = null, digest = null, isThere = false } = known.get(objectId) ?? {}
          return {
            objectId,
            parts: {},
            members: 0,
            account: isThere ? id : null,
            digest: isThere ? digest : null,
            earlier: id,
          }
        }
        const wanted = new Set(accounts.map(({ objectId }) => objectId))
        const gone = before.filter(({ objectId, isThere }) => isThere && !wanted.has(objectId))
        await writeVersions(
          tx,
          { ...place, tenant, number },
          [
            ...accounts.map((account) => ({
              object: objectOf(account.objectId),
              snapshot: snapshot({ displayName: account.objectId, ...account }),
            })),
            ...gone.map(({ objectId }) => ({ object: objectOf(objectId), snapshot: undefined })),
          ],
          new Date(now()),
        )
      })
    },
    contain: (tenant, memberships) =>
      inside(async (tx) => {
        await sql`delete from group_member where tenant_id = ${tenant}`.execute(tx)
        for (const [group, member] of memberships)
          await sql`insert into group_member (organisation_id, project_id, tenant_id, group_object_id, member_object_id, valid_from, seen_in)
                    values (${organisation}, ${project}, ${tenant}, ${group}, ${member}, 1, 1)`.execute(tx)
      }),
    idOf,
    async pair(from, to) {
      const [a, b] = [await idOf(from), await idOf(to)]
      await inside((tx) =>
        sql`insert into pair (organisation_id, project_id, id, source_tenant_id, source_account_id, target_tenant_id, target_account_id,
                              origin, state, confidence, sort_key, created_by, created_at)
            values (${organisation}, ${project}, ${newId('pair')}, ${source}, ${a}, ${target}, ${b}, 'matched', 'proposed', 'high', '', 'test', now())`.execute(
          tx,
        ),
      )
    },
    async judge(deps, signal) {
      await inside((tx) => requestFindings(tx, place))
      await goOn(deps, signal)
    },
    goOn,
    async told() {
      const rows = await inside((tx) =>
        rowsOf<{ code: string; object: string | null; other: string | null }>(
          tx,
          sql`select f.code, coalesce((select a.object_id from account a where a.id = f.account_id limit 1), f.domain, t.label) as object,
                     (select a.object_id from account a where a.id = f.other_account_id limit 1) as other
                from finding f join tenant_connection t on t.id = f.tenant_id
               where f.project_id = ${project} and f.resolved_at is null`,
        ),
      )
      return rows
        .map(({ code, object, other }) => `${code}: ${[object, other].filter((one) => one !== null).join(', ')}`)
        .toSorted()
    },
  }
}
