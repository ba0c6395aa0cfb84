// Looks for secrets in everything that was written down: each is looked for as it is and in hexadecimal, as Postgres shows bytes.
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { sql } from 'kysely'
import type { Db } from '../../control-plane/db/database.ts'

export interface Canary {
  readonly name: string
  readonly text: string
}

/** Something that was written, as latin1. */
export interface Written {
  readonly name: string
  readonly text: string
}

/** @returns `canary in place`, for every one that was found */
export function findCanaries(canaries: readonly Canary[], written: readonly Written[]): string[] {
  return canaries.flatMap(({ name, text }) => {
    const bytes = Buffer.from(text)
    const forms = [bytes.toString('latin1'), bytes.toString('hex')]
    return written
      .filter((each) => forms.some((form) => each.text.includes(form)))
      .map((each) => `${name} in ${each.name}`)
  })
}

/** Every row of every table of a database, as its owner sees them. */
export async function dumpTables(db: Db): Promise<Written[]> {
  const { rows: tables } = await sql<{ name: string }>`
    select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables
     where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'`.execute(db)
  return Promise.all(
    tables.map(async ({ name }) => {
      const { rows } = await sql<{ text: string }>`select t::text as text from ${sql.raw(name)} as t`.execute(db)
      return { name: `table ${name}`, text: Buffer.from(rows.map(({ text }) => text).join('\n')).toString('latin1') }
    }),
  )
}

/** Every file of a folder. @param isLeftOut  by its path below the folder */
export async function readFolder(
  folder: string,
  name: string,
  isLeftOut: (path: string) => boolean = () => false,
): Promise<Written[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const wanted = paths.filter((path) => !isLeftOut(relative(folder, path)))
  return Promise.all(
    wanted.map(async (path) => ({
      name: `${name}/${relative(folder, path)}`,
      text: await readFile(path, 'latin1'),
    })),
  )
}
