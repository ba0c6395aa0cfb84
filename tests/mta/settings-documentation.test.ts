// docs/relay-configuration.md tells the form, default and reason of every key: the table in it is made from the keys themselves.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { RELAY_SETTINGS } from '../../mta/settings-keys.ts'
import type { Form } from '../../mta/settings-reader.ts'

const file = new URL('../../docs/relay-configuration.md', import.meta.url)
const START = /<!-- generated from [^\n]*-->\n/
const END = '<!-- prettier-ignore-end -->'

interface Row {
  readonly path: string
  readonly form: string
  readonly fallback: string
  readonly why: string
}

function rowsOf(form: Form<unknown>, prefix = ''): Row[] {
  return Object.entries(form.settings ?? {}).flatMap(([key, setting]) => {
    const path = prefix + key
    const row = { path, form: setting.form.text, fallback: setting.fallback?.text ?? '**needed**', why: setting.why }
    return [row, ...rowsOf(setting.form, setting.form.isSection === true ? `${path}.` : `${path}[].`)]
  })
}

function table(): string {
  const lines = rowsOf(RELAY_SETTINGS).map(
    ({ path, form, fallback, why }) => `| \`${path}\` | ${form} | ${fallback} | ${why} |`,
  )
  return ['| key | value | default | why |', '| --- | --- | --- | --- |', ...lines, ''].join('\n')
}

test('the documentation of the configuration is that of its keys', () => {
  const text = readFileSync(file, 'utf8')
  const start = START.exec(text)
  assert.ok(start !== null)
  const wanted = `${text.slice(0, start.index)}${start[0]}\n${table()}\n${text.slice(text.indexOf(END))}`
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, wanted)
  assert.equal(readFileSync(file, 'utf8'), wanted, 'UPDATE_GOLDEN=1 writes it')
})

test('every key says why it is there, in a sentence', () => {
  const rows = rowsOf(RELAY_SETTINGS)
  assert.ok(rows.length > 60)
  for (const { path, why, form } of rows) {
    assert.match(why, /^[A-Z`\d].*[.`]$/, path)
    assert.ok(form !== '', path)
  }
})
