// A project with the routes of its mapping table, and shorthands for what most tests do with it.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { compileTable } from '../../../rewrite-rules/index.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { mappingRoutesOf } from '../../../control-plane/mapping/all-routes.ts'
import { testApi } from '../../harness/api.ts'
import type { Reply, TestApi } from '../../harness/api.ts'
import { runOperation } from './run-operation.ts'

export interface MappingApi {
  readonly it: TestApi
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly key: string
  readonly tables: CompiledTables
  /** `path` below the project. If-Match is `*` unless given. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>
  /** Of the table that the database holds, compiled afresh. */
  freshDigest(): Promise<string>
  /** What the export gives. */
  exported(): Promise<{ version: number; entries: Record<string, unknown>[]; [list: string]: unknown }>
  /** Runs the operation that an answer names, and gives its row. */
  run(reply: Reply): Promise<Record<string, any>> // oxlint-disable-line typescript/no-explicit-any -- tests look into it
  tenant(label: string, domains: readonly string[]): Promise<void>
}

export async function mappingApi(t: Pick<TestContext, 'after'>): Promise<MappingApi> {
  let tables: CompiledTables | undefined
  const it = await testApi(t, ({ database, log }) => {
    tables = new CompiledTables({ db: database.db, log })
    return mappingRoutesOf({ db: database.db, tables })
  })
  assert.ok(tables)
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const { db } = it.database
  const call: MappingApi['call'] = (method, path, body, headers = {}) =>
    it.request(method, `/projects/${project}${path}`, body, { key, headers: { 'If-Match': '*', ...headers } })
  const exported: MappingApi['exported'] = async () => {
    const reply = await call('GET', '/mappings/export/json')
    assert.equal(reply.status, 200)
    return reply.body
  }
  return {
    it,
    organisation,
    project,
    key,
    tables,
    call,
    exported,
    freshDigest: async () => compileTable(await exported()).digest,
    async run(reply) {
      assert.equal(reply.status, 202, JSON.stringify(reply.body))
      assert.equal(reply.headers.get('location'), `/api/v1/operations/${reply.body.operation}`)
      const operation = String(reply.body.operation)
      await runOperation(db, organisation, operation)
      const [row] = await withScope(db, { organisation }, (tx) =>
        rowsOf<Record<string, unknown>>(tx, sql`select * from operation where id = ${operation}`),
      )
      assert.ok(row)
      return row
    },
    tenant: (label, domains) =>
      withScope(db, { organisation }, async (tx) => {
        await sql`insert into tenant_claim (entra_tenant_id, organisation_id) values (${label}, ${organisation})`.execute(
          tx,
        )
        await sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model,
                                                 accepted_domains, created_by)
                  values (${organisation}, ${project}, ${`tnt_${label}`}, 'source', ${label}, 'global', ${label}, 'multi-tenant',
                          ${[...domains]}, 'test')`.execute(tx)
      }),
  }
}

/** A person with an address in each of two organisations. */
export function person(name: string, extra: Record<string, unknown> = {}): Record<string, unknown> {
  const known = [`${name}@contoso.example`, `${name}@fabrikam.example`]
  return { known, presented: known[1], mailbox: known[0], ...extra }
}

export const tableFile = (entries: readonly unknown[], more: Record<string, unknown> = {}): string =>
  JSON.stringify({ format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries, ...more })
