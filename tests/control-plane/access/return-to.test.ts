// Where a sign-in may come back to: pages of this origin, whatever a parser makes of the text.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseReturnTo } from '../../../control-plane/access/return-to.ts'

const examples: [text: string, path: string | undefined, why: string][] = [
  ['/', '/', 'the first page'],
  ['/projects/prj_1?tab=mapping#top', '/projects/prj_1?tab=mapping#top', 'a page with its state'],
  ['/a/../b', '/b', 'in its normal form'],
  ['', undefined, 'nothing'],
  ['projects', undefined, 'relative'],
  ['//evil.example/', undefined, 'another host without a scheme'],
  ['/\\evil.example/', undefined, 'a backslash is a slash to browsers'],
  ['/\t/evil.example/', undefined, 'a tab is nothing to browsers'],
  ['/\n/evil.example/', undefined, 'nor is a line break, which would end the header field'],
  ['/.//evil.example/', undefined, 'a path that would read as another host once it is normal'],
  ['/x/..//evil.example', undefined, 'likewise'],
  ['/%2e//evil.example', undefined, 'likewise, escaped'],
  ['https://evil.example/', undefined, 'another origin'],
  ['javascript:alert(1)', undefined, 'a script'],
  ['/api/v1/session/sign-in', undefined, 'no page, and round in circles'],
  ['/x/../api/v1/me', undefined, 'likewise'],
  ['/apiary', '/apiary', 'a page that is only called so'],
  [`/${'a'.repeat(999)}`, `/${'a'.repeat(999)}`, 'at the limit'],
  [`/${'a'.repeat(1_000)}`, undefined, 'past it'],
]
for (const [text, path, why] of examples) {
  test(`parseReturnTo(${JSON.stringify(text.slice(0, 40))}): ${why}`, () => {
    assert.equal(parseReturnTo(text), path)
  })
}

test('whatever is taken stays at this origin, and is taken as it is the second time', () => {
  const hostile = fc.string({
    unit: fc.constantFrom('/', '\\', '.', ':', '@', '?', '#', '%2f', '%2e', '\t', 'a', 'api', '['),
  })
  fc.assert(
    fc.property(hostile, (text) => {
      const path = parseReturnTo(`/${text}`)
      if (path === undefined) return
      assert.equal(new URL(path, 'https://causeway.example/x').origin, 'https://causeway.example')
      assert.equal(parseReturnTo(path), path)
    }),
    { numRuns: 2_000 },
  )
})
