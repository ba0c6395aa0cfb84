// The mapping table at product.md §9's size: 1,000,000 entries of 3 known addresses. One JSON line per case, with must and aim.
import { Buffer } from 'node:buffer'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { TableReader } from '../rewrite-rules/mapping-table.ts'
import type { MappingTable } from '../rewrite-rules/mapping-table.ts'
import { DEFAULT_POLICY } from '../rewrite-rules/policy.ts'

const MB = 1_000_000

/** @param options.quick  a tenth of the entries */
export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  const entries = quick ? 100_000 : 1_000_000
  const table = await load(entries)
  lookUp(table, entries)
  applyDeltas(table, entries)
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'table', ...line })}\n`)
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}

const FIRST = ['alice', 'bob', 'carol', 'dan', 'eve', 'frank', 'grace', 'heidi', 'ivan', 'judy', 'ken', 'laura']
const LAST = ['smith', 'jones', 'miller', 'schneider', 'martin', 'garcia', 'rossi', 'novak', 'hansen', 'kowalski']

function person(i: number): { alias: string; full: string } {
  const first = FIRST[i % FIRST.length] ?? ''
  const last = LAST[Math.floor(i / FIRST.length) % LAST.length] ?? ''
  return { alias: `${first.slice(0, 1)}${last}${i}`, full: `${first}.${last}${i}` }
}

function entryOf(i: number, mailbox: 'contoso' | 'fabrikam'): Record<string, unknown> {
  const { alias, full } = person(i)
  const known = [`${full}@contoso.example`, `${alias}@contoso.example`, `${full}@fabrikam.example`]
  return { known, presented: known[2], mailbox: mailbox === 'contoso' ? known[0] : known[2] }
}

const CHUNK_BYTES = 256 * 1024

async function writeTableFile(path: string, entries: number): Promise<void> {
  await using file = await open(path, 'w')
  await file.write('{"format":"causeway-mapping-table/1","project":"bench","version":1,"entries":[')
  for (let i = 0; i < entries; i += 1000) {
    const count = Math.min(1000, entries - i)
    const lines = Array.from({ length: count }, (_, j) => JSON.stringify(entryOf(i + j, 'contoso')))
    await file.write(`${i === 0 ? '' : ','}\n${lines.join(',\n')}`)
  }
  await file.write(']}')
}

async function load(entries: number): Promise<MappingTable> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-bench-'))
  try {
    const path = join(directory, 'table.json')
    await writeTableFile(path, entries)
    return await readTable(path, entries)
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Reads the file as a relay does that serves meanwhile: the event loop goes round after each chunk. */
async function readTable(path: string, entries: number): Promise<MappingTable> {
  const before = residentBytes()
  await using file = await open(path)
  const chunk = Buffer.alloc(CHUNK_BYTES)
  const reader = new TableReader()
  let longestMs = 0
  const timed = <T>(work: () => T): T => {
    const start = performance.now()
    const result = work()
    longestMs = Math.max(longestMs, performance.now() - start)
    return result
  }
  const start = performance.now()
  let fileBytes = 0
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES)
    if (bytesRead === 0) break
    fileBytes += bytesRead
    timed(() => reader.write(chunk.subarray(0, bytesRead)))
  }
  let table: MappingTable | undefined
  while (table === undefined) {
    table = timed(() => reader.step())
    await setImmediate()
  }
  const seconds = (performance.now() - start) / 1000
  const memory = residentBytes() - before
  const sizes = { fileMb: round(fileBytes / MB), storeMb: round(table.sizeBytes / MB) }
  print({
    case: 'load',
    entries,
    value: round(seconds),
    unit: 's',
    must: 5,
    aim: 1,
    longestSliceMs: round(longestMs),
    ...sizes,
  })
  print({ case: 'memory', entries, value: round(memory / MB), unit: 'MB', must: 500, aim: 200 })
  return table
}

function residentBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().rss
}

/** Random addresses: two of three in the table, as aliases or presented already, one an outsider's. */
function lookUp(table: MappingTable, entries: number): void {
  const map = table.withPolicy(DEFAULT_POLICY)
  const queries = 200_000
  const addresses: [string, string][] = []
  let state = 12_345
  for (let i = 0; i < queries; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    const { alias, full } = person(state % entries)
    if (i % 3 === 0) addresses.push([alias, 'Contoso.example'])
    else if (i % 3 === 1) addresses.push([full, 'fabrikam.example'])
    else addresses.push([full, 'example.net'])
  }
  for (let i = 0; i < 20_000; i++) map.map('present', addresses[i]?.[0] ?? '', addresses[i]?.[1] ?? '', false)
  const times = new Float64Array(queries)
  for (const [i, [local, domain]] of addresses.entries()) {
    const start = process.hrtime.bigint()
    map.map('present', local, domain, false)
    times[i] = Number(process.hrtime.bigint() - start)
  }
  times.sort()
  const start = performance.now()
  for (const [local, domain] of addresses) map.map('present', local, domain, false)
  const mean = ((performance.now() - start) * 1000) / queries
  const at = (share: number): number => round((times[Math.floor(queries * share)] ?? 0) / 1000)
  print({ case: 'lookup', entries, value: at(0.99), unit: 'µs p99', must: 10, aim: 2, p50: at(0.5), mean: round(mean) })
}

function applyDeltas(table: MappingTable, entries: number): void {
  const times: number[] = []
  let current = table
  for (let turn = 0; turn < 50; turn++) {
    const upsert = Array.from({ length: 100 }, (_, i) => entryOf((turn * 7919 + i * 104_729) % entries, 'fabrikam'))
    const version = current.version
    const delta = {
      format: 'causeway-mapping-delta/1',
      project: 'bench',
      fromVersion: version,
      toVersion: version + 1,
      upsert,
    }
    const bytes = Buffer.from(JSON.stringify(delta))
    const start = performance.now()
    current = current.apply(bytes)
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  print({
    case: 'delta of 100 entries',
    entries,
    value: round(times[25] ?? 0),
    unit: 'ms p50',
    must: 50,
    aim: 5,
    max: round(times.at(-1) ?? 0),
  })
}
