// Matching at product.md §9's size: 100,000 accounts of a source and 100,000 of a target in a Postgres on a real disk, from the start of the operation's
// work to its results. Then what an administrator does next: all proposals confirmed, in one revision. One JSON line per case.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { rowOf } from '../control-plane/db/database.ts'
import { startEmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import { matchingScene } from '../tests/control-plane/matching/matching-scene.ts'
import type { MatchingScene } from '../tests/control-plane/matching/matching-scene.ts'
import { prepareDatabases } from './databases.ts'
import type { Filling } from './matching-accounts.ts'

/** @param options.quick  a tenth of the accounts */
export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-bench-'))
  const server = await startEmbeddedPostgres({ directory })
  const ends: (() => unknown)[] = [() => rm(directory, { recursive: true }), () => server.stop()]
  try {
    await prepareDatabases(server.socket)
    process.env['CAUSEWAY_TEST_PG'] = server.socket
    const scene = await matchingScene({ after: (end) => void ends.push(end) })
    await measure(scene, quick ? 10_000 : 100_000)
  } finally {
    for (const end of ends.toReversed()) await end()
  }
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'matching', ...line })}\n`)
}

const round = (value: number): number => Number(value.toPrecision(3))
const rssMb = (): number => round(process.memoryUsage().rss / 1e6)

/** The most memory while `work` runs, looked at ten times a second: what came before must not count. */
async function watched<T>(work: () => Promise<T>): Promise<{ result: T; seconds: number; peakMb: number }> {
  let peakMb = rssMb()
  const timer = setInterval(() => (peakMb = Math.max(peakMb, rssMb())), 100)
  const start = performance.now()
  try {
    const result = await work()
    return { result, seconds: round((performance.now() - start) / 1_000), peakMb: Math.max(peakMb, rssMb()) }
  } finally {
    clearInterval(timer)
  }
}

async function measure(scene: MatchingScene, accounts: number): Promise<void> {
  const { it, place, source, target, call } = scene
  const filling: Filling = { connection: it.database.connection, place, source, target, accounts }
  await promisify(execFile)(process.execPath, [
    fileURLToPath(new URL('matching-accounts.ts', import.meta.url)),
    JSON.stringify(filling),
  ])
  await sql`vacuum analyze`.execute(it.database.owner.db)
  process.stderr.write(`${accounts} × ${accounts} accounts are there, ${rssMb()} MB\n`)
  const started = await call('POST', '/matchings', { domainMap: [{ from: 'src.example', to: 'tgt.example' }] })
  const matching = await watched(() => scene.run(started))
  if (matching.result['state'] !== 'succeeded') throw new Error(JSON.stringify(matching.result))
  const { outcomes } = matching.result['result'] as { outcomes: Record<string, number> }
  print({ case: 'matching', accounts, value: matching.seconds, unit: 's', must: 60, aim: 15, outcomes })
  print({ case: 'matching, peak memory', accounts, value: matching.peakMb, unit: 'MB', must: 1_000, aim: 500 })
  const again = await watched(async () => scene.run(await call('POST', '/matchings', {})))
  print({ case: 'matching again, pairs kept', accounts, value: again.seconds, unit: 's', peakMb: again.peakMb })
  const confirmation = await call('POST', '/pairs/confirm', { confirm: outcomes['paired'] })
  const confirmed = await watched(() => scene.run(confirmation))
  if (confirmed.result['state'] !== 'succeeded') throw new Error(JSON.stringify(confirmed.result))
  print({
    case: 'confirm all, one revision',
    pairs: outcomes['paired'],
    value: confirmed.seconds,
    unit: 's',
    peakMb: confirmed.peakMb,
  })
  await listing(scene)
}

async function listing({ call, read, place }: MatchingScene): Promise<void> {
  const matching = await read((tx) =>
    rowOf<{ id: string }>(
      tx,
      sql`select id from matching where organisation_id = ${place.organisation} order by created_at limit 1`,
    ),
  )
  for (const path of [
    '/pairs',
    '/pairs?mapping=blocked',
    '/pairs?search=person00',
    `/matchings/${matching?.id}/results?outcome=ambiguous`,
    `/matchings/${matching?.id}/results?search=person0001`,
    '/pairs/export',
    '/reports/matching?format=csv',
  ]) {
    const { result, seconds } = await watched(() => call('GET', path))
    if (result.status !== 200) throw new Error(`${path}: ${result.status}`)
    print({ case: `GET ${path.replace(/mch_\w+/, '…')}`, value: round(seconds * 1_000), unit: 'ms' })
  }
}
