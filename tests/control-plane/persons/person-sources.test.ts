// No table with personal data is forgotten: each is some source's, or named here with the reason. (PR-1, PR-6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TABLES } from '../../../control-plane/data-inventory.ts'
import { PERSON_SOURCES } from '../../../control-plane/persons/person-sources.ts'

/** Tables with columns of the class PII that say nothing of a person of a project. */
const OF_NO_PERSON: Readonly<Record<string, string>> = {}

const personal = Object.entries(TABLES)
  .filter(([, { columns }]) => columns.PII !== undefined || columns.content !== undefined)
  .map(([table]) => table)

test('PR-6: every table with personal data has its entry in the list of sources', () => {
  const covered = PERSON_SOURCES.flatMap(({ tables }) => tables)
  assert.deepEqual(
    personal.filter((table) => !covered.includes(table) && !Object.hasOwn(OF_NO_PERSON, table)),
    [],
    'add an entry to control-plane/persons/person-sources.ts',
  )
  for (const table of Object.keys(OF_NO_PERSON)) assert.ok(personal.includes(table) && !covered.includes(table), table)
})

test('each table is one source’s, each source has a name of its own, and all are in the inventory', () => {
  const covered = PERSON_SOURCES.flatMap(({ tables }) => tables)
  assert.equal(new Set(covered).size, covered.length)
  assert.equal(new Set(PERSON_SOURCES.map(({ name }) => name)).size, PERSON_SOURCES.length)
  for (const table of covered) assert.ok(Object.hasOwn(TABLES, table), table)
})
