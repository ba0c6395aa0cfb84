// The inventory of data is complete and exact: compared with the live catalogue and with what the source logs and counts. (PR-1, PR-2)
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import { judgeSignIn } from '../../control-plane/access/sign-in-outcome.ts'
import {
  ARTEFACTS,
  DATA_CLASSES,
  LOG_FIELDS,
  LOG_RETENTION,
  LOG_SPREADS,
  METRIC_LABELS,
  METRIC_RETENTION,
  OTHER_SCHEMAS,
  TABLES,
} from '../../control-plane/data-inventory.ts'
import type { ByClass, DataClass } from '../../control-plane/data-inventory.ts'
import { requeueLost } from '../../control-plane/jobs/dispatch-store.ts'
import { logCalls, metricLabels } from '../harness/log-calls.ts'
import { testDatabase } from '../harness/postgres.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CLASSES = Object.keys(DATA_CLASSES) as DataClass[]

const words = (list: string | undefined): string[] => (list ?? '').split(' ').filter((word) => word !== '')
const namesOf = (list: ByClass): string[] => CLASSES.flatMap((one) => words(list[one]))
const classesOf = (list: ByClass): Map<string, DataClass> =>
  new Map(CLASSES.flatMap((one) => words(list[one]).map((name) => [name, one])))

/** Of the processes of the control plane: their own, and what they share. */
const sources = ['control-plane', 'common'].flatMap((room) =>
  readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({ file: `${room}/${file}`, text: readFileSync(join(ROOT, room, file), 'utf8') })),
)

const columns = Object.entries(TABLES).flatMap(([table, entry]) =>
  [...classesOf(entry.columns)].map(([column, cls]) => ({ name: `${table}.${column}`, column, cls })),
)

test('PR-1: every column of the live schema has a class, and the inventory names no other', async (t) => {
  const { owner } = await testDatabase(t)
  // A partition is like the whole.
  const { rows: live } = await sql<{ schema: string; table: string; column: string }>`
    select n.nspname as schema, c.relname as table, a.attname as column
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relkind in ('r', 'p', 'm', 'f') and not c.relispartition
       and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`.execute(owner.db)
  const own = live.filter(({ schema }) => !Object.hasOwn(OTHER_SCHEMAS, schema))
  const kept = own.map(({ schema, table, column }) => `${schema === 'public' ? '' : `${schema}.`}${table}.${column}`)
  assert.ok(kept.length > 300, 'the catalogue was read')
  assert.deepEqual(
    columns.map(({ name }) => name).toSorted(),
    kept.toSorted(),
    'a column has no class in control-plane/data-inventory.ts, or is gone',
  )
})

test('PR-1: a name has one class, a table says how long it is kept, and exceptions are of its columns', () => {
  for (const [table, { columns: list, retention, sooner }] of Object.entries(TABLES)) {
    assert.notEqual(retention, '', table)
    assert.deepEqual([...new Set(namesOf(list))], namesOf(list), table)
    for (const [column, when] of Object.entries(sooner ?? {})) {
      assert.ok(namesOf(list).includes(column), `${table}.${column}`)
      assert.notEqual(when, '', `${table}.${column}`)
    }
  }
  for (const list of [LOG_FIELDS, METRIC_LABELS]) assert.deepEqual([...new Set(namesOf(list))], namesOf(list))
})

test('KM-1: a secret is kept sealed, wrapped or hashed, and whatever is sealed counts as one', () => {
  for (const { name, column, cls } of columns) {
    if (cls === 'secret') assert.match(column, /_sealed$|_hash$|^wrapped$/, name)
    if (column.endsWith('_sealed')) assert.equal(cls, 'secret', name)
  }
})

test('PR-2: nothing of messages is kept, and of an audit event only the payload, which is cleared, may name people', () => {
  assert.deepEqual(
    columns.filter(({ cls }) => cls === 'content').map(({ name }) => name),
    [],
  )
  const personal = Object.entries(TABLES)
    .filter(([table]) => table.startsWith('audit_'))
    .flatMap(([table, entry]) => words(entry.columns.PII).map((column) => `${table}.${column}`))
  assert.deepEqual(personal, ['audit_event.payload'])
  assert.match(TABLES['audit_event']?.sooner?.['payload'] ?? '', /^400 days/)
})

test('PR-1: every field of a log call has a class', () => {
  const known = new Set(namesOf(LOG_FIELDS))
  const used = new Set<string>()
  const others = new Set<string>()
  for (const { file, text } of sources)
    for (const call of logCalls(text)) {
      for (const field of call.fields) {
        used.add(field)
        assert.ok(known.has(field), `${file} logs ${field}, which has no class in control-plane/data-inventory.ts`)
      }
      for (const expression of call.others) others.add(`${file}: ${expression}`)
    }
  assert.deepEqual([...others].toSorted(), Object.keys(LOG_SPREADS).toSorted(), 'fields that come from elsewhere')
  for (const list of Object.values(LOG_SPREADS)) for (const field of words(list)) used.add(field)
  // What common/log.ts adds: to every line, and of an error.
  for (const field of ['time', 'level', 'event', 'name', 'message', 'code', 'syscall', 'stack', 'errors', 'cause'])
    used.add(field)
  assert.deepEqual([...used].toSorted(), [...known].toSorted(), 'a field that nobody logs any more')
})

test('PR-1: fields that a log call takes from elsewhere are those of the inventory', async (t) => {
  const { db } = await testDatabase(t)
  const codes = { error: 'access_denied', entraCode: 65004 }
  const outcomes = [
    judgeSignIn({ kind: 'denied', ...codes }),
    judgeSignIn({ kind: 'grant-refused', ...codes }),
    judgeSignIn({ kind: 'misconfigured', ...codes }),
    judgeSignIn({ kind: 'bad-token', fault: 'tenant' }),
  ]
  const details = outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? Object.keys(outcome.details) : []))
  const found = Object.keys(await requeueLost(db, 60_000))
  for (const [place, list] of Object.entries(LOG_SPREADS)) {
    const live = { details, found }[place.split(': ')[1] ?? '']
    assert.deepEqual([...new Set(live)].toSorted(), words(list).toSorted(), place)
  }
})

test('PR-1: every label of a metric has a class', () => {
  const used = new Set(sources.flatMap(({ text }) => metricLabels(text)))
  assert.deepEqual([...used].toSorted(), namesOf(METRIC_LABELS).toSorted())
})

test('PR-2: log and metrics hold no content, no secret and nothing that names people', () => {
  for (const [name, cls] of [...classesOf(LOG_FIELDS), ...classesOf(METRIC_LABELS)])
    assert.ok(cls === 'public' || cls === 'metadata', `${name} is of class ${cls}`)
})

const calls: [source: string, fields: string[], others: string[], why: string][] = [
  [`log.info('a')`, [], [], 'an event alone'],
  [
    `this.#deps.log.warn('a', { error, who: f({ b: 1, c }) })`,
    ['error', 'who'],
    [],
    'what is inside a value is no field',
  ],
  [
    `log.error('a', {\n  // of whom, now {\n  'x-y': ')', z: \`\${a({ q: '}' })},\`,\n})`,
    ['x-y', 'z'],
    [],
    'brackets in strings and comments',
  ],
  [`const of = (a: B) => ({ x: a, ...rest })\nlog.debug('a', { ...of(b) })`, ['x'], ['rest'], 'a helper of the file'],
  [`log.debug('a', found)`, [], ['found'], 'fields that stand elsewhere'],
  [
    `log.debug('a', { ...(b ? { c } : {}), [d]: 1 })`,
    [],
    ['(b ? { c } : {})', '[d]: 1'],
    'what is no plain name is told',
  ],
  [`this.#log?.info('a', { b })`, ['b'], [], 'a log of one’s own, which may be missing'],
  [`catalog.info('a', { b })`, [], [], 'another word that ends alike'],
]
for (const [source, fields, others, why] of calls) {
  test(`log calls are read from ${JSON.stringify(source)}: ${why}`, () => {
    const read = logCalls(source)
    assert.deepEqual(
      read.flatMap((call) => call.fields),
      fields,
    )
    assert.deepEqual(
      read.flatMap((call) => call.others),
      others,
    )
  })
}

test('metric labels are read, and what is no list of literals is refused', () => {
  assert.deepEqual(metricLabels(`labelNames: ['a', 'b'],`), ['a', 'b'])
  assert.throws(() => metricLabels('labelNames: [name],'), /no literal: name/)
  assert.throws(() => metricLabels('{ labelNames, registers }'), /can't be read/)
})

test('docs/data-inventory.md is made of the inventory; UPDATE_GOLDEN=1 writes it', () => {
  const file = join(ROOT, 'docs/data-inventory.md')
  const made = document()
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, made)
  else assert.equal(existsSync(file) ? readFileSync(file, 'utf8') : '', made)
})

function document(): string {
  const code = (name: string) => `\`${name}\``
  const listed = (list: ByClass, one: DataClass) => words(list[one]).map(code).join(', ')
  const byClass = (list: ByClass) =>
    CLASSES.filter((one) => list[one] !== undefined)
      .map((one) => `| ${one} | ${listed(list, one)} |`)
      .join('\n')
  const tables = Object.entries(TABLES).map(([table, { retention, columns: list, sooner }]) => {
    const exceptions = Object.entries(sooner ?? {}).map(([column, when]) => `${code(column)}: ${when}`)
    const head = `### ${table}\n\nKept ${[retention, ...exceptions].join('. ')}.\n`
    return `${head}\n| class | columns |\n| --- | --- |\n${byClass(list)}`
  })
  return `# What is kept, of what class, and how long

Every column, log field, metric label and artefact of the control plane has a class and a retention. Time and deletion are the work of the
hourly sweep, of the deletion of projects and organizations, and of the features named here; [operations.md](operations.md) tells what relays keep.

<!-- prettier-ignore-start -->
<!-- generated from control-plane/data-inventory.ts by tests/control-plane/data-inventory.test.ts; UPDATE_GOLDEN=1 writes it -->

| class | what is of it |
| --- | --- |
${CLASSES.map((one) => `| ${one} | ${DATA_CLASSES[one]} |`).join('\n')}

## Tables

${tables.join('\n\n')}

### Other schemas

${Object.entries(OTHER_SCHEMAS)
  .map(([schema, why]) => `- ${code(schema)}: ${why}.`)
  .join('\n')}

## Log fields

Retention: ${LOG_RETENTION}.

| class | fields |
| --- | --- |
${byClass(LOG_FIELDS)}

## Metric labels

Retention: ${METRIC_RETENTION}.

| class | labels |
| --- | --- |
${byClass(METRIC_LABELS)}

## Artefacts

| artefact | class | retention |
| --- | --- | --- |
${ARTEFACTS.map((artefact) => `| ${artefact.what} | ${artefact.class} | ${artefact.retention} |`).join('\n')}

<!-- prettier-ignore-end -->
`
}
