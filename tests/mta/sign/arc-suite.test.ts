// The validation suite of the ARC working group, from the corpus: messages, keys and what a verifier has to find.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { SHARED, testShared } from '../../harness/shared.ts'
import { resolverOf } from './project-keys.ts'
import { verified } from './signed-message.ts'

interface Scenario {
  readonly tests: Readonly<Record<string, { readonly message: string; readonly cv: string | null }>>
  readonly 'txt-records': Readonly<Record<string, string>>
}

/** Where RFC 8617 came to differ from the draft that the suite was made for. */
const DIFFERENT = new Map<string, [expected: string, why: string]>([
  ['cv_fail_i1_as_cv_fail', ['fail', 'the newest seal says fail: the suite has no word for it, §5.2 step 2 says fail']],
  ['cv_fail_i2_as2_fail', ['fail', 'likewise']],
  ['cv_fail_i2_as1_fail', ['fail', 'likewise: §5.2 step 3.C']],
  [
    'ams_fields_c_na',
    ['fail', 'without c= it is simple/simple (RFC 6376 §3.5), which this message was not signed with'],
  ],
  ['ams_fields_h_empty', ['fail', 'h= must not be empty, and must have From (RFC 6376 §3.5, §5.4)']],
])

testShared('R83 the ARC validation suite: every chain is judged as it says', async () => {
  const file = join(SHARED, 'corpus/arc-dkim/arc_test_suite/arc-draft-validation-tests.yml')
  const wrong = []
  let count = 0
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
    const scenario = document.toJS() as Scenario | null
    if (scenario === null) continue
    for (const [name, { message, cv }] of Object.entries(scenario.tests)) {
      const text = message.replaceAll(/\r?\n/g, '\r\n')
      const { arc, fault } = await verified(Buffer.from(text), resolverOf(scenario['txt-records']))
      assert.equal(fault, undefined)
      const expected = DIFFERENT.get(name)?.[0] ?? (cv ?? '').trim().toLowerCase()
      count++
      if (arc.status !== expected && !(expected === '' && arc.status === 'none'))
        wrong.push(`${name}: ${arc.status}, not ${JSON.stringify(expected)}`)
    }
  }
  assert.deepEqual(wrong, [])
  assert.ok(count > 150, `${count} scenarios`)
})
