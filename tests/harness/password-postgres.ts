// A Postgres as production has it: reached over TCP, with passwords (SCRAM), an owner of the schema that is no superuser, and
// a role for the service that owns nothing (TI-2). The server is the embedded one, which never listens on TCP itself: a door leads to its socket, and can
// be shut, as a server that is away.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { openDatabase } from '../../control-plane/db/database.ts'
import { EMBEDDED_OWNER, startEmbeddedPostgres } from '../../control-plane/db/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../../control-plane/db/embedded-postgres.ts'

export interface PasswordPostgres {
  /** `postgres://…` of the role that owns the database. */
  readonly ownerUrl: string
  /** `postgres://…` of the role of api and worker; it is there once `createService` was called. */
  readonly serviceUrl: string
  /** What docs/running-the-control-plane.md has the owner do after the first migration. */
  createService(): Promise<void>
  /** Nobody gets through any more, and who was through is cut off. */
  shut(): Promise<void>
  open(): Promise<void>
  close(): Promise<void>
}

const DATABASE = 'causeway'
const OWNER = 'causeway_owner'
const SERVICE = 'causeway_app'

export async function startPasswordPostgres(): Promise<PasswordPostgres> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-pg-'))
  const server = await startEmbeddedPostgres({ directory, isThrowaway: true })
  const passwords = { [OWNER]: randomBytes(12).toString('hex'), [SERVICE]: randomBytes(12).toString('hex') }
  await prepare(server, directory, passwords[OWNER])
  const door = await openDoor(join(server.socket, '.s.PGSQL.5432'))
  const urlOf = (role: keyof typeof passwords) =>
    `postgres://${role}:${passwords[role]}@127.0.0.1:${door.port}/${DATABASE}`
  return {
    ownerUrl: urlOf(OWNER),
    serviceUrl: urlOf(SERVICE),
    createService: () =>
      onDatabase(
        urlOf(OWNER),
        `create role ${SERVICE} login password '${passwords[SERVICE]}' in role causeway_service`,
      ),
    shut: () => door.shut(),
    open: () => door.open(),
    async close() {
      await door.shut()
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function prepare(server: EmbeddedPostgres, directory: string, ownerPassword = ''): Promise<void> {
  const superuser = { host: server.socket, user: server.owner, database: 'postgres' }
  await onDatabase(superuser, `create role ${OWNER} login createrole password '${ownerPassword}'`)
  await onDatabase(superuser, `create database ${DATABASE} owner ${OWNER}`)
  await writeFile(
    join(directory, 'data/pg_hba.conf'),
    `local all ${EMBEDDED_OWNER} trust\nlocal ${DATABASE} all scram-sha-256\n`,
  )
  await onDatabase(superuser, 'select pg_reload_conf()')
}

async function onDatabase(connection: Parameters<typeof openDatabase>[0]['connection'], text: string): Promise<void> {
  const database = openDatabase({ connection, maxConnections: 1, onIdleError: () => {} })
  try {
    await sql.raw(text).execute(database.db)
  } finally {
    await database.close()
  }
}

interface Door {
  readonly port: number
  shut(): Promise<void>
  open(): Promise<void>
}

/** A TCP port on 127.0.0.1, the same each time, that leads to a Unix socket. */
async function openDoor(socketPath: string): Promise<Door> {
  const inside = new Set<Socket>()
  const server = createServer((client) => {
    const behind = connect(socketPath)
    for (const [from, to] of [
      [client, behind],
      [behind, client],
    ] as const) {
      inside.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        inside.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const port = await listen(0)
  return {
    port,
    async open() {
      await listen(port)
    },
    async shut() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      for (const socket of inside) socket.destroy()
      await closed
    },
  }
}
