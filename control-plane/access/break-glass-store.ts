// The break-glass account in the database: one row. Scope: the purpose `administration`, and the installation where something is told.
import { sql } from 'kysely'
import { appendAudit } from '../audit/audit-store.ts'
import { rowOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { breakGlassCodeHash, CODE_LIFE_MS, newBreakGlassCode } from './break-glass.ts'
import type { BreakGlassState } from './break-glass.ts'
import { countInstallationAdministrators } from './installation-administrator-store.ts'

export async function isBreakGlassOpen(tx: Tx): Promise<boolean> {
  const row = await rowOf<{ is_open: boolean }>(tx, sql`select is_open from break_glass`)
  return row?.is_open === true
}

/** Locks the account until the commit: of two that come with the same code at once one finds it used. */
export async function lockBreakGlass(tx: Tx): Promise<BreakGlassState> {
  const row = await rowOf<{ is_open: boolean; code_hash: string | null; code_expires_at: Date | null }>(
    tx,
    sql`select is_open, code_hash, code_expires_at from break_glass for update`,
  )
  if (row === undefined) throw new Error('unreachable: the break-glass account has its row from the first migration on')
  return {
    isOpen: row.is_open,
    codeHash: row.code_hash ?? undefined,
    codeExpiresAt: row.code_expires_at?.getTime(),
  }
}

export async function useBreakGlassCode(tx: Tx, now: Date): Promise<void> {
  await sql`update break_glass set code_hash = null, code_expires_at = null, used_at = ${now}`.execute(tx)
}

export interface CodeDeps {
  readonly db: Db
  /** ms since the epoch */
  readonly now: () => number
  /** As `crypto.randomBytes`. */
  readonly random: (bytes: number) => Buffer
}

/**
 * A code for whoever may run commands on the server, whether there are administrators or not; any earlier code is void.
 * @returns the code, shown once
 */
export function openBreakGlass(deps: CodeDeps): Promise<string> {
  return inAdministration(deps.db, async (tx) => {
    await lockBreakGlass(tx)
    return issueCode(tx, 'command', deps)
  })
}

/** A code for the first run: undefined as soon as there has been an installation administrator. */
export function issueFirstRunCode(deps: CodeDeps): Promise<string | undefined> {
  return inAdministration(deps.db, async (tx) => {
    const { isOpen } = await lockBreakGlass(tx)
    if (!isOpen || (await countInstallationAdministrators(tx)) > 0) return undefined
    return issueCode(tx, 'start', deps)
  })
}

async function issueCode(tx: Tx, by: 'start' | 'command', { now: clock, random }: CodeDeps): Promise<string> {
  const now = clock()
  const code = newBreakGlassCode(random)
  const expiresAt = new Date(now + CODE_LIFE_MS)
  await sql`
    update break_glass set is_open = true, code_hash = ${breakGlassCodeHash(code)}, code_expires_at = ${expiresAt}`.execute(
    tx,
  )
  const payload = { expiresAt: expiresAt.toISOString() }
  await appendAudit(
    tx,
    INSTALLATION,
    { action: 'break-glass.code-issued', actor: `system:${by}`, result: 'done', payload },
    now,
  )
  return code
}

const inAdministration = <T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> =>
  withScope(db, { organisation: INSTALLATION, purpose: 'administration' }, work)
