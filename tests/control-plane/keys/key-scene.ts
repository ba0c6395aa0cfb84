// An organisation with a project, and a process that keeps their keys in a directory: what tests of project keys begin with.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import type { Db } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { ofProject } from '../../../control-plane/keys/key-owner.ts'
import type { KeyOwner } from '../../../control-plane/keys/key-owner.ts'
import type { KeyProvider } from '../../../control-plane/keys/key-provider.ts'
import type { KeyDeps } from '../../../control-plane/keys/project-keys.ts'
import { testDatabase } from '../../harness/postgres.ts'
import type { TestDatabase } from '../../harness/postgres.ts'

export interface KeyScene {
  readonly database: TestDatabase
  readonly clock: { now: Date }
  /** Of the log, warnings and errors. */
  readonly lines: readonly string[]
  readonly deps: KeyDeps
  readonly owner: KeyOwner & { kind: 'project' }
  /** A process that has just been started: nothing in memory. */
  readonly restarted: (provider?: KeyProvider) => KeyDeps
}

export async function keyScene(t: TestContext, provider?: KeyProvider): Promise<KeyScene> {
  const usesOf: KeyUses[] = []
  const database = await testDatabase({
    after: (close) => {
      t.after(async () => {
        for (const uses of usesOf) await uses.settle()
        await close()
      })
    },
  })
  const clock = { now: new Date('2026-11-28T12:00:00Z') }
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'warn', now: () => clock.now.getTime() })
  const keys = provider ?? (await openKeyDirectory(temporaryDirectory(t), () => clock.now.getTime()))
  const restarted = (other = keys): KeyDeps => {
    const cache = new KeyCache(() => clock.now.getTime())
    t.after(() => cache.close())
    const uses = new KeyUses({ db: database.db, log, now: () => clock.now })
    usesOf.push(uses)
    return { db: database.db, provider: other, cache, uses, now: () => clock.now }
  }
  const organisation = await addOrganisation(database.db)
  const owner = ofProject(organisation, await addProject(database.db, organisation))
  return { database, clock, lines, deps: restarted(), owner, restarted }
}

export async function addOrganisation(db: Db): Promise<OrganisationId> {
  const organisation = newId('organisation')
  await withScope(db, { organisation }, async (tx) => {
    await sql`insert into organisation (organisation_id, name) values (${organisation}, 'Contoso')`.execute(tx)
    await sql`insert into audit_chain (organisation_id) values (${organisation})`.execute(tx)
  })
  return organisation
}

export async function addProject(db: Db, organisation: OrganisationId): Promise<ProjectId> {
  const project = newId('project')
  await withScope(db, { organisation }, async (tx) => {
    await sql`insert into project (organisation_id, id, name, created_by)
              values (${organisation}, ${project}, 'Merger', 'test')`.execute(tx)
  })
  return project
}

export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const parent = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
  t.after(() => rmSync(parent, { recursive: true, force: true }))
  return join(parent, 'keys')
}
