// If-Match as RFC 9110 §13.1.1 has it: strong comparison, lists, `*`. (control-plane.md §1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkIfMatch, formatEtag } from '../../../control-plane/http/etag.ts'
import { Problem } from '../../../control-plane/http/problem.ts'

const headers: [ifMatch: string | undefined, isNeeded: boolean, outcome: string, why: string][] = [
  ['"7"', false, 'passes', 'the version'],
  ['"7"', true, 'passes', 'the version, where it must be said'],
  [' "7" ', true, 'passes', 'with spaces'],
  ['"3", "7"', true, 'passes', 'one of a list'],
  ['"3","7"', true, 'passes', 'one of a list without spaces'],
  ['*', true, 'passes', 'whatever is there'],
  [undefined, false, 'passes', 'not said, and need not be'],
  [undefined, true, 'etag-needed', 'not said, and must be'],
  ['"6"', false, 'stale-etag', 'an older version'],
  ['"70"', false, 'stale-etag', 'a longer one that begins alike'],
  ['W/"7"', false, 'stale-etag', 'weak tags never match'],
  ['7', false, 'stale-etag', 'without quotes it is no tag'],
  ['', false, 'stale-etag', 'an empty header names no version'],
  ['"*"', false, 'stale-etag', 'a tag, not everything'],
]
for (const [ifMatch, isNeeded, outcome, why] of headers) {
  test(`If-Match ${ifMatch ?? 'absent'} at version 7 ${outcome}: ${why}`, () => {
    const check = () => checkIfMatch(ifMatch, 7, isNeeded)
    if (outcome === 'passes') check()
    else assert.throws(check, (error) => error instanceof Problem && error.type === outcome)
  })
}

test('who is too late learns the version that is there', () => {
  assert.throws(
    () => checkIfMatch('"6"', 7, true),
    (error) => error instanceof Problem && error.status === 412 && error.members['current'] === '"7"',
  )
  assert.equal(formatEtag('3-12'), '"3-12"')
})
