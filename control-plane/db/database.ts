// The connection to Postgres, and the only way to touch tenant data: a transaction with a scope. The database itself shows a transaction
// what its scope says and nothing without one (TI-2): forgetting the scope loses rows, never leaks them.
import { Kysely, PostgresDialect, sql } from 'kysely'
import type { RawBuilder, Transaction } from 'kysely'
import pg from 'pg'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { copyCursor } from './copy-out.ts'

/** Tables are not described to the compiler: SQL is written as SQL, and each store turns its rows into its own types. */
export type Db = Kysely<unknown>
export type Tx = Transaction<unknown>

/** What a transaction may see. Each member is a setting that policies of the schema compare with (migrations/0001). */
export interface Scope {
  /** All rows of this organisation; `INSTALLATION` for what belongs to none. */
  readonly organisation?: OrganisationId
  /** The one row of this project, to find out whose it is. */
  readonly project?: ProjectId
  /** Rows about this person, in all organisations: who am I, what may I. `principalOf(tid, oid)`. */
  readonly principal?: string
  /** The one row that this credential opens: hex SHA-256 of a session id, API key, enrolment code. */
  readonly credential?: string
  /** The one row of this relay. */
  readonly relay?: string
  /** The one row of this operation, to find out whose it is. */
  readonly operation?: string
  /** Ids of all organisations' work, for processes that begin without one. */
  readonly purpose?: 'dispatch' | 'reconcile' | 'retention' | 'administration'
}

export interface DatabaseOptions {
  /** `postgres://…`, or the folder of a Unix socket with `user` and `database`. */
  readonly connection: string | { readonly host: string; readonly user: string; readonly database: string }
  readonly maxConnections: number
  readonly statementTimeoutMs?: number
  /** Told of connections that broke while nobody used them. */
  readonly onIdleError: (error: Error) => void
}

const STATEMENT_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 5_000
/** int8 fits: counts and sequences stay below 2^53. */
const INT8 = 20

export interface Database {
  readonly db: Db
  /** For LISTEN. */
  readonly pool: pg.Pool
  close(): Promise<void>
}

export function openDatabase(options: DatabaseOptions): Database {
  const { connection, maxConnections, statementTimeoutMs = STATEMENT_TIMEOUT_MS, onIdleError } = options
  const types = {
    getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
      oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
  }
  const pool = new pg.Pool({
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    max: maxConnections,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    application_name: 'causeway',
    types,
  })
  pool.on('error', onIdleError)
  // The pool listens to idle connections only. One that breaks between two statements of a transaction would end the process; the next statement
  // tells whoever has it.
  pool.on('connect', (client) => client.on('error', () => {}))
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool, cursor: copyCursor }) })
  return {
    db,
    pool,
    async close() {
      await db.destroy()
      if (!pool.ended) await pool.end() // Kysely ends it only when it has used it
    },
  }
}

/** One transaction that sees what `scope` says. Committed when `work` resolves, rolled back when it rejects. */
export function withScope<T>(db: Db, scope: Scope, work: (tx: Tx) => Promise<T>): Promise<T> {
  return db.transaction().execute(async (tx) => {
    await setScope(tx, scope)
    return work(tx)
  })
}

/** Changes what the transaction sees from here on: for the few acts that touch two organisations, such as founding one. */
export async function setScope(tx: Tx, scope: Scope): Promise<void> {
  await sql`select set_config('app.organisation', ${scope.organisation ?? ''}, true),
                   set_config('app.project', ${scope.project ?? ''}, true),
                   set_config('app.principal', ${scope.principal ?? ''}, true),
                   set_config('app.credential', ${scope.credential ?? ''}, true),
                   set_config('app.relay', ${scope.relay ?? ''}, true),
                   set_config('app.operation', ${scope.operation ?? ''}, true),
                   set_config('app.purpose', ${scope.purpose ?? ''}, true)`.execute(tx)
}

/** Rows of one statement; `Row` is what the statement selects, and the caller's word for it. */
export async function rowsOf<Row>(tx: Tx, statement: RawBuilder<unknown>): Promise<Row[]> {
  const { rows } = await statement.execute(tx)
  return rows as Row[]
}

/** The only row, or undefined. */
export async function rowOf<Row>(tx: Tx, statement: RawBuilder<unknown>): Promise<Row | undefined> {
  const [row] = await rowsOf<Row>(tx, statement)
  return row
}

/** How many rows a statement wrote. */
export async function countOf(tx: Tx, statement: RawBuilder<unknown>): Promise<number> {
  const { numAffectedRows } = await statement.execute(tx)
  return Number(numAffectedRows ?? 0n)
}

/** SQLSTATE of an error from Postgres (`23505` unique_violation, `40001` serialization_failure, …). */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}
export const UNIQUE_VIOLATION = '23505'

const CONNECTION_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  '57P01',
  '57P02',
  '57P03',
  '53300',
])

/** Postgres can't be reached, or ends: nothing is wrong with the statement. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('code' in error && typeof error.code === 'string' && CONNECTION_ERRORS.has(error.code)) return true
  return /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/.test(
    error.message,
  )
}
