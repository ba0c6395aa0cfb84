import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import { authenticationResults } from '../../../mta/sign/authentication-results.ts'
import type { Verification } from '../../../mta/sign/verification.ts'
import { resolverOf } from './project-keys.ts'
import { judgedSignature, sealed, signed, verified } from './signed-message.ts'

const NO_ARC = { status: 'none', reason: undefined } as const
const of = (signatures: Verification['signatures'], arc: Verification['arc'] = NO_ARC): Verification => ({
  signatures,
  arc,
  fault: undefined,
})

const examples: [verification: Verification | undefined, text: string, why: string][] = [
  [undefined, 'relay.example; none', 'nothing was verified'],
  [of([]), 'relay.example;\r\n dkim=none;\r\n arc=none', 'nothing was signed'],
  [
    of([judgedSignature({ selector: 'selector1' })]),
    'relay.example;\r\n dkim=pass header.d=fabrikam.example header.s=selector1 header.a=rsa-sha256\r\n  header.b="AbCd/+12";\r\n arc=none',
    'a signature; b= needs quotes for its slash',
  ],
  [
    of(
      [
        judgedSignature({ result: 'fail' }),
        judgedSignature({ result: 'temperror', domain: 'b.example', signatureStart: 'AbCd1234' }),
      ],
      { status: 'pass', reason: undefined },
    ),
    'relay.example;\r\n dkim=fail header.d=fabrikam.example header.s=s1 header.a=rsa-sha256\r\n  header.b="AbCd/+12";\r\n' +
      ' dkim=temperror header.d=b.example header.s=s1 header.a=rsa-sha256\r\n  header.b=AbCd1234;\r\n arc=pass',
    'several signatures, in the order of the message',
  ],
  [
    of(
      [
        judgedSignature({
          result: 'neutral',
          domain: undefined,
          selector: undefined,
          algorithm: undefined,
          signatureStart: '',
        }),
      ],
      { status: 'unknown', reason: 'DNS failure' },
    ),
    'relay.example;\r\n dkim=neutral',
    "what can't be read is left out; for an unknown chain there is no word",
  ],
]
for (const [verification, text, why] of examples) {
  test(`R79 Authentication-Results: ${why}`, () => {
    assert.equal(authenticationResults('relay.example', verification), text)
  })
}

test('R79 an authserv-id that is no token is quoted', () => {
  assert.equal(authenticationResults('a"b\\c;d\r\n', undefined), String.raw`"a\"b\\c;d"; none`)
})

const parse = createRequire(import.meta.url)('mailauth/lib/parse-dkim-headers.js') as (line: string) => {
  parsed: Record<string, unknown> & {
    value?: string
    dkim?: { value: string; header?: Record<string, string> }[]
    arc?: { value: string }
  }
}

test('R79 another reader finds in it what was found', async () => {
  const message = await sealed(await signed(Buffer.from('From: a@fabrikam.example\r\n\r\nx\r\n')), resolverOf())
  const verification = await verified(message, resolverOf())
  const { parsed } = parse(`Authentication-Results: ${authenticationResults('relay.example', verification)}`)
  assert.equal(parsed.value, 'relay.example')
  assert.equal(parsed.arc?.value, 'pass')
  assert.deepEqual(
    parsed.dkim?.map(({ value, header }) => [value, header?.['d'], header?.['s']]),
    [['pass', 'fabrikam.example', 'causeway1']],
  )
})

test("R79 whatever a signature says of itself, it can't write a result, a comment or a line", async () => {
  const text = fc.string({
    unit: fc.constantFrom(
      'a',
      ';',
      '=',
      '"',
      '(',
      ')',
      '\\',
      ' ',
      '\t',
      '\r\n ',
      '@',
      'é',
      'dkim=pass',
      'arc=pass',
      '.example',
    ),
    maxLength: 40,
  })
  await fc.assert(
    fc.asyncProperty(text, text, text, text, async (d, s, a, b) => {
      const field = `DKIM-Signature: v=1; a=${a}; d=${d}; s=${s}; h=from; bh=x; b=${b}\r\n`
      const verification = await verified(
        Buffer.from(`${field}From: a@fabrikam.example\r\n\r\n`, 'latin1'),
        resolverOf(),
      )
      const results = authenticationResults('relay.example', verification)
      assert.match(
        results,
        /^relay\.example;\r\n dkim=(?:neutral|permerror|fail|policy)(?:\r?\n? {1,2}header\.[dsab]=(?:[a-z0-9.-]+|[A-Za-z0-9+]{1,8}|"[A-Za-z0-9+/=]{1,8}"))*(?:;\r\n arc=none)$/,
      )
    }),
    { numRuns: 300 },
  )
})
