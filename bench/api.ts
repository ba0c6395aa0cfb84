// The control plane at product.md §9's size: 1,000,000 mapping entries in a Postgres on a real disk, over HTTP. One JSON line per case.
import { Buffer } from 'node:buffer'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import type { OrganisationId, ProjectId } from '../control-plane/ids.ts'
import { mappingRoutesOf } from '../control-plane/mapping/all-routes.ts'
import { CompiledTables } from '../control-plane/mapping/compiled-tables.ts'
import { testApi } from '../tests/harness/api.ts'
import type { TestApi } from '../tests/harness/api.ts'
import { runOperation } from '../tests/control-plane/mapping/run-operation.ts'
import { prepareDatabases } from './databases.ts'

/** @param options.quick  a tenth of the entries */
export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-bench-'))
  const server = await startEmbeddedPostgres({ directory })
  const ends: (() => unknown)[] = [() => rm(directory, { recursive: true }), () => server.stop()]
  try {
    await prepareDatabases(server.socket)
    process.env['CAUSEWAY_TEST_PG'] = server.socket
    for (const entries of quick ? [100_000] : [100_000, 1_000_000]) await measure(entries, ends)
  } finally {
    for (const end of ends.toReversed()) await end()
  }
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'api', ...line })}\n`)
}

const round = (value: number): number => Number(value.toPrecision(3))

async function timed<T>(work: () => Promise<T>): Promise<[result: T, ms: number]> {
  const start = performance.now()
  const result = await work()
  return [result, performance.now() - start]
}

interface Bench {
  readonly it: TestApi
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly key: string
  readonly tables: CompiledTables
  readonly entries: number
}

async function measure(entries: number, ends: (() => unknown)[]): Promise<void> {
  let tables: CompiledTables | undefined
  const after = (end: unknown): void => void ends.push(end as () => unknown)
  const it = await testApi({ after }, ({ database: { db }, log }) => {
    tables = new CompiledTables({ db, log })
    return mappingRoutesOf({ db, tables })
  })
  if (tables === undefined) throw new Error('unreachable: the routes were asked for')
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const bench = { it, organisation, project, key, tables, entries }
  await importAll(bench, 'first')
  await importAll(bench, 'again, one in ten changed')
  await list(bench)
  await change(bench)
  await compile(bench)
}

const local = (i: number): string => `person${i.toString().padStart(7, '0')}`

/** @param turn  of one in ten another mailbox in each */
function* tableFile(entries: number, turn: number): Generator<Buffer> {
  yield Buffer.from('{"format":"causeway-mapping-table/1","project":"bench","version":1,"entries":[')
  for (let i = 0; i < entries; i += 1000) {
    const lines = Array.from({ length: Math.min(1000, entries - i) }, (_, j) => {
      const name = local(((i + j) * 7919) % entries) // not in the order of any index
      const known = [`${name}@contoso.example`, `${name}.alias@contoso.example`, `${name}@fabrikam.example`]
      return JSON.stringify({ known, presented: known[2], mailbox: known[(i + j) % 10 === 0 ? turn : 0] })
    })
    yield Buffer.from(`${i === 0 ? '' : ','}\n${lines.join(',\n')}`)
  }
  yield Buffer.from(']}')
}

let imports = 0

async function importAll({ it, organisation, project, key, entries }: Bench, which: string): Promise<void> {
  const turn = imports++ % 2
  const url = `${it.url}/api/v1/projects/${project}/mappings/import`
  const [response, uploadMs] = await timed(() =>
    fetch(url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', 'If-Match': '*' },
      body: ReadableStream.from(tableFile(entries, turn)),
      duplex: 'half',
    }),
  )
  const { operation } = (await response.json()) as { operation: string }
  if (response.status !== 202) throw new Error(`the import was answered ${response.status}`)
  const [, applyMs] = await timed(() => runOperation(it.database.db, organisation, operation))
  const peakMb = process.resourceUsage().maxRSS / 1000
  print({
    case: `import, ${which}`,
    entries,
    value: round((uploadMs + applyMs) / 1000),
    unit: 's',
    uploadS: round(uploadMs / 1000),
    applyS: round(applyMs / 1000),
    peakRssMb: round(peakMb),
  })
}

function percentiles(times: number[]): { p50: number; p95: number; max: number } {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { p50: at(0.5), p95: at(0.95), max: at(1) }
}

const TURNS = 300

async function list({ it, project, key, entries }: Bench): Promise<void> {
  const prefix = (i: number): string => local((i * 104_729) % entries)
  const cursor = (i: number): string => Buffer.from(JSON.stringify([`${prefix(i)}@`])).toString('base64url')
  const pages: [name: string, query: (i: number) => string][] = [
    ['anywhere', (i) => `cursor=${cursor(i)}`],
    ['by a known address', (i) => `address=${prefix(i)}.alias@contoso.example`],
    ['by the beginning', (i) => `presentedPrefix=${prefix(i).slice(0, 11)}`],
    ['of a rare mailbox domain', (i) => `mailboxDomain=nowhere${i}.example`],
    ['of a frequent mailbox domain', (i) => `mailboxDomain=contoso.example&cursor=${cursor(i)}`],
    ['of a rare source', () => 'source=manual'],
    ['of a frequent source', (i) => `source=import&cursor=${cursor(i)}`],
  ]
  for (const [name, query] of pages) {
    const times: number[] = []
    for (let i = 0; i < TURNS; i++) {
      const [reply, ms] = await timed(() =>
        it.request('GET', `/projects/${project}/mappings?${query(i)}`, undefined, { key }),
      )
      if (reply.status !== 200) throw new Error(`the list was answered ${reply.status}`)
      if (i >= TURNS / 10) times.push(ms) // connections and plans are warm by then
    }
    const { p50, p95, max } = percentiles(times)
    print({ case: `list page of 100, ${name}`, entries, value: p95, unit: 'ms p95', must: 100, aim: 30, p50, max })
  }
}

async function change({ it, project, key, entries }: Bench): Promise<void> {
  const times: number[] = []
  for (let i = 0; i < TURNS / 3; i++) {
    const known = [`new${i}@contoso.example`, `new${i}@fabrikam.example`]
    const body = { known, presented: known[1], mailbox: known[0] }
    const [reply, ms] = await timed(() => it.request('POST', `/projects/${project}/mappings`, body, { key }))
    if (reply.status !== 201) throw new Error(`the change was answered ${reply.status}`)
    times.push(ms)
  }
  const { p50, p95, max } = percentiles(times)
  print({ case: 'one entry made and committed', entries, value: p95, unit: 'ms p95', p50, max })
}

async function compile({ it, organisation, project, key, tables, entries }: Bench): Promise<void> {
  let longestMs = 0
  let last = performance.now()
  const watch = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - last)
    last = performance.now()
  }, 1)
  const [, ms] = await timed(() => tables.current(organisation, project))
  clearInterval(watch)
  print({
    case: 'compile from the database',
    entries,
    value: round(ms / 1000),
    unit: 's',
    longestBlockMs: round(longestMs),
  })
  const upsert = Array.from({ length: 100 }, (_, i) => {
    const known = [`delta${i}@contoso.example`, `delta${i}@fabrikam.example`]
    return { known, presented: known[1], mailbox: known[0] }
  })
  await it.request('POST', `/projects/${project}/mappings/bulk`, { upsert }, { key, headers: { 'If-Match': '*' } })
  const [, deltaMs] = await timed(() => tables.current(organisation, project))
  print({ case: 'follow a delta of 100 entries', entries, value: round(deltaMs), unit: 'ms', must: 50, aim: 5 })
}
