// The audit routes on a real API and database, with real keys, and a clock that tests move.
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { z } from 'zod'
import type { SessionCaller } from '../../../control-plane/access/caller.ts'
import { appendAudit } from '../../../control-plane/audit/audit-store.ts'
import type { AuditEntry } from '../../../control-plane/audit/audit.ts'
import { auditRoutes } from '../../../control-plane/audit/audit-routes.ts'
import type { CheckpointDeps } from '../../../control-plane/audit/make-checkpoint.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import type { Db } from '../../../control-plane/db/database.ts'
import { route } from '../../../control-plane/http/route.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'

export const NOW = Date.UTC(2026, 10, 28, 12)

export interface AuditScene extends TestApi {
  readonly clock: { now: number }
  readonly deps: CheckpointDeps
  /** Headers of an installation administrator with a fresh sign-in. */
  readonly administrator: Readonly<Record<string, string>>
}

const COOKIE = 'an-administrator'
const CSRF = 'csrf'

export async function auditScene(t: TestContext): Promise<AuditScene> {
  const clock = { now: NOW }
  const now = () => clock.now
  const after: (() => Promise<void>)[] = []
  let deps: CheckpointDeps | undefined
  const api = await testApi(
    // What the keys note is written before the database goes.
    {
      after: (close) =>
        t.after(async () => {
          for (const each of after.splice(0)) await each()
          await close()
        }),
    },
    async ({ database, log }) => {
      const parent = temporaryFolder(t)
      const cache = new KeyCache(now)
      const uses = new KeyUses({ db: database.db, log, now: () => new Date(now()) })
      after.push(async () => {
        await uses.settle()
        cache.close()
      })
      const provider = await openKeyDirectory(join(parent, 'keys'), now)
      const sealer = createSealer({ db: database.db, provider, cache, uses, now: () => new Date(now()) })
      deps = { db: database.db, sealer, now, storages: [] }
      return [...auditRoutes({ ...deps, log }), thingRoute]
    },
    { now, findSession: (id) => Promise.resolve(id === COOKIE ? administratorAt(now()) : undefined) },
  )
  if (deps === undefined) throw new Error('unreachable: no routes')
  await withScope(api.database.db, { purpose: 'administration' }, (tx) =>
    sql`insert into installation_administrator (principal, added_by) values (${PRINCIPAL}, 'test')`.execute(tx),
  )
  return {
    ...api,
    clock,
    deps,
    administrator: {
      Cookie: `__Host-causeway=${COOKIE}`,
      'X-CSRF-Token': CSRF,
      Origin: api.url,
      'Sec-Fetch-Site': 'same-origin',
    },
  }
}

const PRINCIPAL = '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222'

function administratorAt(now: number): SessionCaller {
  return {
    kind: 'session',
    retrySecret: '00'.repeat(32),
    principal: PRINCIPAL,
    displayName: 'Ada',
    sessionHash: '00'.repeat(32),
    csrfHash: hash('sha256', CSRF, 'hex'),
    authenticatedAt: now,
    isBreakGlass: false,
  }
}

/** A change that any administrator of an organisation can make, as often as a test wants. */
const thingRoute = route({
  method: 'post',
  path: '/organizations/{organization}/things',
  id: 'makeThing',
  summary: 'Make a thing',
  tag: 'things',
  access: 'organization.manage',
  params: z.strictObject({ organization: z.string() }),
  body: z.strictObject({ name: z.string(), fails: z.boolean().default(false) }),
  responses: { 204: { description: 'Made' } },
  handler: ({ change, organisation, body: { name, fails } }) =>
    change('thing.made', async (tx) => {
      await sql`update organisation set version = version + 1, name = ${name} where organisation_id = ${organisation}`.execute(
        tx,
      )
      if (fails) throw new Error('after the change, before its event')
      return { answer: { status: 204 }, object: name }
    }),
})

export function append(
  db: Db,
  organisation: OrganisationId,
  now: number,
  entry: Partial<AuditEntry> = {},
): Promise<string> {
  const whole: AuditEntry = {
    action: 'thing.changed',
    actor: 'system:test',
    result: 'done',
    payload: { sourceAddress: '192.0.2.1' },
    ...entry,
  }
  return withScope(db, { organisation }, (tx) => appendAudit(tx, organisation, whole, now))
}

export function temporaryFolder(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'causeway-audit-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
