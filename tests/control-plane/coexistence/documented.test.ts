// docs/coexistence.md tells an administrator every code by which the switch can wait or fail, and every member of the setting.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FIRST_SETTING } from '../../../control-plane/coexistence/coexistence.ts'

const at = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
const page = at('docs/coexistence.md')
const folder = new URL('../../../control-plane/coexistence/', import.meta.url)
/** Of the API's own faults, which the description of the route tells. */
const OWN = new Set(['coexistence-shape.ts', 'plan-route.ts'])
const CODE =
  /\b(?:code|reason|problem|waitingFor|missing): '([a-z-]+)'|\b(?:waiting|closed)\('([a-z-]+)'\)|'(probe-[a-z-]+)'/g

test('docs/coexistence.md has every code of waiting and of problems', () => {
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts') && !OWN.has(name))
  const kinds = /kind: ('drift' \|.*)/.exec(at('control-plane/coexistence/planning.ts'))?.[1]?.match(/[a-z-]+/g) ?? []
  const codes = sources.flatMap((name) =>
    [...at(`control-plane/coexistence/${name}`).matchAll(CODE)].map(([, ...groups]) => groups.find(Boolean) ?? ''),
  )
  assert.ok(kinds.length > 3 && codes.length > 20, 'the sources are as they were when this was written')
  const absent = [...new Set([...codes, ...kinds])].filter((code) => !page.includes(`\`${code}\``))
  assert.deepEqual(absent, [])
})

test('docs/coexistence.md has every member of the setting', () => {
  for (const member of [...Object.keys(FIRST_SETTING), 'arcSealingDomain'])
    assert.ok(page.includes(`\`${member}\``), member)
})
