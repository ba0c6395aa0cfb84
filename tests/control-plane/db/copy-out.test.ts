// Rows read as octets: every one of them, whole, as they are in the table, and no faster than they are asked for.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { copyOut } from '../../../control-plane/db/copy-out.ts'
import { sqlState, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { testDatabase } from '../../harness/postgres.ts'
import { eventually } from '../../harness/wait.ts'

const database = await testDatabase({ after })
const { db, owner } = database
await sql`create table line (n integer primary key, text text not null)`.execute(owner.db)
await sql`grant select on line to causeway_service`.execute(owner.db)

const ALL = sql`copy (select text from line order by n) to stdout`
const inTransaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> => withScope(db, {}, work)
/** So many rows that they don't fit into what lies between here and the server. */
const endless = (columns: string) => sql.raw(`copy (select ${columns} from generate_series(1, 300000) n) to stdout`)

async function fill(texts: readonly string[]): Promise<void> {
  await sql`truncate line`.execute(owner.db)
  await sql`insert into line select n, text from unnest(${[...texts]}::text[]) with ordinality as t (text, n)`.execute(
    owner.db,
  )
}

async function read(tx: Tx): Promise<{ text: string; blocks: number }> {
  let text = ''
  let blocks = 0
  for await (const block of copyOut(tx, ALL)) {
    text += block.toString() // as long as it holds
    blocks++
  }
  return { text, blocks }
}

const tables: [texts: string[], blocks: number, why: string][] = [
  [[], 0, 'nothing'],
  [[''], 1, 'an empty row'],
  [['one', 'two'], 1, 'two rows'],
  [
    ['\\', '\\\\', '\\n', 'a\\', '\\N', '"\\"a b\\"@x"', '\\.'],
    1,
    'backslashes, also where COPY means something by them',
  ],
  [['\b\f\n\r\t\v', 'ends\n', '\t'], 1, 'control characters'],
  [['żółć', '邮箱@例え.example', '😀', '\u2028'], 1, 'beyond ASCII'],
  [['a'.repeat(65_535), 'b'], 2, 'a row that just fills a block with its line feed'],
  [['a'.repeat(65_536), 'b'], 2, 'one octet more'],
  [['b', 'a'.repeat(1_000_000), 'c'], 3, 'a row that is larger than a block by far'],
  [['b', '\\'.repeat(100_000), 'c'], 3, 'the same, twice as large on its way'],
  [Array.from({ length: 5_000 }, (_, n) => `${n} ${'x'.repeat(n % 300)}\\${n}`), 13, 'many blocks'],
]
for (const [texts, blocks, why] of tables) {
  test(`rows come as they are: ${why}`, async () => {
    await fill(texts)
    const found = await inTransaction(read)
    assert.equal(found.text, texts.map((text) => `${text}\n`).join(''))
    assert.equal(found.blocks, blocks)
  })
}

test(
  'a first row that fills more than a block, and comes alone, is not waited for in vain',
  { timeout: 20_000 },
  async () => {
    const text = await inTransaction(async (tx) => {
      let found = ''
      const slow = sql`copy (select case n when 1 then repeat('a', 70000) else pg_sleep(0.2)::text || 'b' end
      from generate_series(1, 2) n) to stdout`
      for await (const block of copyOut(tx, slow)) found += block.toString()
      return found
    })
    assert.equal(text, `${'a'.repeat(70_000)}\nb\n`)
  },
)

test('whoever stops early finds his transaction as it was', async () => {
  await inTransaction(async (tx) => {
    for await (const block of copyOut(tx, endless('repeat(n::text, 10)'))) {
      assert.ok(block.length > 60_000)
      break
    }
    const { rows } = await sql`select 1 as one`.execute(tx)
    assert.deepEqual(rows, [{ one: 1 }])
    await fill(['and again'])
    assert.equal((await read(tx)).text, 'and again\n')
  })
})

test('Postgres waits while nobody asks for more', async () => {
  await inTransaction(async (tx) => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx)
    const blocks = copyOut(tx, endless('repeat(n::text, 100)'))
    const first = (await blocks.next()).value as Buffer
    const text = first.toString()
    await eventually('the server waits for its client', async () => {
      const waiting = await sql<{ event: string | null }>`
        select wait_event as event from pg_stat_activity where pid = ${rows[0]?.pid ?? 0}`.execute(owner.db)
      return waiting.rows[0]?.event === 'ClientWrite' || undefined
    })
    assert.equal(first.toString(), text, 'what was handed out holds until the next is asked for')
    let rest = 0
    for await (const block of blocks) rest += block.length
    assert.ok(rest > 100_000_000, `${rest} octets`)
  })
})

test('a statement that fails, at once or in the middle of its rows, fails as any other', async () => {
  for (const [statement, state] of [
    [sql`copy (select text from nowhere) to stdout`, '42P01'],
    [endless('(1 / (200000 - n))::text'), '22012'],
  ] as const) {
    await assert.rejects(
      inTransaction(async (tx) => {
        for await (const block of copyOut(tx, statement)) assert.ok(block.length > 0)
      }),
      (error) => sqlState(error) === state,
    )
  }
  assert.equal(await inTransaction(() => Promise.resolve('the connection is in order')), 'the connection is in order')
})

test('a connection that is lost in the middle is told, and nobody waits for ever', async () => {
  await assert.rejects(
    inTransaction(async (tx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx)
      for await (const block of copyOut(tx, endless('repeat(n::text, 100)'))) {
        await sql`select pg_terminate_backend(${rows[0]?.pid ?? 0})`.execute(owner.db)
        assert.ok(block.length > 0)
      }
    }),
  )
})
