import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Direction } from '../../rewrite-rules/change-report.ts'
import type { Envelope, EsmtpParameters } from '../../rewrite-rules/envelope.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import { DEFAULT_POLICY } from '../../rewrite-rules/policy.ts'
import { Refusal } from '../../rewrite-rules/refusal.ts'
import { rewriteEnvelope } from '../../rewrite-rules/rewrite-envelope.ts'
import type { RewrittenEnvelope } from '../../rewrite-rules/rewrite-envelope.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

const table = compileTable(EXAMPLE_TABLE)

/** An envelope from lines as section 15.4 writes them. */
function parse(lines: readonly string[]): Envelope {
  let reversePath = ''
  let parameters: EsmtpParameters = {}
  const forwardPaths: { path: string; parameters: EsmtpParameters }[] = []
  for (const line of lines) {
    const [, verb, path = '', rest = ''] = /^(MAIL FROM|RCPT TO):<(.*?)>(?: (.*))?$/.exec(line) ?? []
    const given = Object.fromEntries(
      rest
        .split(' ')
        .filter((word) => word !== '')
        .map((word) => [
          word.split('=')[0] ?? '',
          word.includes('=') ? word.slice(word.indexOf('=') + 1) : (true as const),
        ]),
    )
    if (verb === 'MAIL FROM') [reversePath, parameters] = [path, given]
    else forwardPaths.push({ path, parameters: given })
  }
  return { reversePath, parameters, forwardPaths }
}

function write(envelope: Envelope): string[] {
  const words = (parameters: EsmtpParameters): string =>
    Object.entries(parameters)
      .map(([keyword, value]) => (value === true ? ` ${keyword}` : ` ${keyword}=${value}`))
      .join('')
  return [
    `MAIL FROM:<${envelope.reversePath}>${words(envelope.parameters)}`,
    ...envelope.forwardPaths.map(({ path, parameters }) => `RCPT TO:<${path}>${words(parameters)}`),
  ]
}

function rewrite(
  lines: readonly string[],
  direction: Direction,
  more: { bypassSigned?: boolean } = {},
): RewrittenEnvelope {
  return rewriteEnvelope(parse(lines), { direction, table, policy: DEFAULT_POLICY, ...more })
}

const IMCEAEX =
  'IMCEAEX-_o=ExchangeLabs_ou=Exchange+20Administrative+20Group+20+28FYDIBOHF23SPDLT+29_cn=Recipients_cn=0A1B-Alice'
const IMCEAEX_XTEXT =
  'IMCEAEX-_o+3DExchangeLabs_ou+3DExchange+2B20Administrative+2B20Group+2B20+2B28FYDIBOHF23SPDLT+2B29_cn+3DRecipients_cn+3D0A1B-Alice'

const examples: [example: string, direction: Direction, before: string[], after: string[]][] = [
  [
    'E60',
    'out',
    ['MAIL FROM:<alice@contoso.com> SIZE=1000 BODY=8BITMIME', 'RCPT TO:<dana@example.net>'],
    ['MAIL FROM:<alice.smith@fabrikam.com> BODY=8BITMIME', 'RCPT TO:<dana@example.net>'],
  ],
  ['E61: R7', 'out', ['MAIL FROM:<>'], ['MAIL FROM:<>']],
  [
    'E62: R8, R9',
    'out',
    ['MAIL FROM:<dana@example.net>', 'RCPT TO:<alice.smith@fabrikam.com>'],
    ['MAIL FROM:<dana@example.net>', 'RCPT TO:<alice@contoso.com> ORCPT=rfc822;alice.smith@fabrikam.com'],
  ],
  [
    'E63: R10, R13',
    'in',
    [
      'MAIL FROM:<dana@example.net>',
      'RCPT TO:<alice.smith@fabrikam.com> NOTIFY=FAILURE',
      'RCPT TO:<asmith@contoso.com> NOTIFY=NEVER',
    ],
    [
      'MAIL FROM:<dana@example.net>',
      'RCPT TO:<alice@contoso.com> NOTIFY=FAILURE ORCPT=rfc822;alice.smith@fabrikam.com',
    ],
  ],
  [
    'E64: R9, R22',
    'in',
    [
      'MAIL FROM:<>',
      'RCPT TO:<alice.smith@fabrikam.com> ORCPT=rfc822;info@fabrikam.com',
      'RCPT TO:<alice.smith+x@fabrikam.com>',
    ],
    [
      'MAIL FROM:<>',
      'RCPT TO:<alice@contoso.com> ORCPT=rfc822;info@fabrikam.com',
      'RCPT TO:<alice+x@contoso.com> ORCPT=rfc822;alice.smith+2Bx@fabrikam.com',
    ],
  ],
  [
    'E65: R25, SRS',
    'out',
    ['MAIL FROM:<bounces+SRS=44ldt=IX@contoso.com>'],
    ['MAIL FROM:<bounces+SRS=44ldt=IX@contoso.com>'],
  ],
  [
    'E65: R25, BATV',
    'out',
    ['MAIL FROM:<prvs=1234abcd=alice@contoso.com>'],
    ['MAIL FROM:<prvs=1234abcd=alice@contoso.com>'],
  ],
  [
    'E66: R26, source route',
    'in',
    [
      'MAIL FROM:<dana@example.net>',
      `RCPT TO:<${IMCEAEX}@fabrikam.com> NOTIFY=NEVER`,
      'RCPT TO:<@a.example,@b.example:carol@contoso.com>',
    ],
    [
      'MAIL FROM:<dana@example.net>',
      `RCPT TO:<alice@contoso.com> NOTIFY=NEVER ORCPT=rfc822;${IMCEAEX_XTEXT}@fabrikam.com`,
      'RCPT TO:<carol@fabrikam.com> ORCPT=rfc822;carol@contoso.com',
    ],
  ],
  [
    'R6: in leaves the reverse-path',
    'in',
    ['MAIL FROM:<alice@contoso.com> SMTPUTF8 RET=HDRS ENVID=x+2By'],
    ['MAIL FROM:<alice@contoso.com> SMTPUTF8 RET=HDRS ENVID=x+2By'],
  ],
  [
    'R6: the extension of the reverse-path',
    'out',
    ['MAIL FROM:<Alice+News@contoso.com>'],
    ['MAIL FROM:<alice.smith+News@fabrikam.com>'],
  ],
  [
    'R8: a source route goes, also from what stays',
    'out',
    ['MAIL FROM:<@r.example:dana@example.net>', 'RCPT TO:<@r.example:eve@example.net>'],
    ['MAIL FROM:<dana@example.net>', 'RCPT TO:<eve@example.net>'],
  ],
  [
    'R11, §2: SIZE and AUTH are not passed on, all else is',
    'out',
    ['MAIL FROM:<> SIZE=7 AUTH=<> REQUIRETLS BODY=7BIT'],
    ['MAIL FROM:<> REQUIRETLS BODY=7BIT'],
  ],
  [
    'R13: equal recipients outside the table too',
    'out',
    ['MAIL FROM:<>', 'RCPT TO:<dana@example.net> NOTIFY=DELAY', 'RCPT TO:<"dana"@Example.NET>'],
    ['MAIL FROM:<>', 'RCPT TO:<dana@example.net> NOTIFY=DELAY,FAILURE'],
  ],
  [
    'R13: literals are equal to themselves',
    'out',
    ['MAIL FROM:<>', 'RCPT TO:<a@[192.0.2.1]>', 'RCPT TO:<a@[192.0.2.2]>', 'RCPT TO:<A@[192.0.2.1]>'],
    ['MAIL FROM:<>', 'RCPT TO:<a@[192.0.2.1]>', 'RCPT TO:<a@[192.0.2.2]>'],
  ],
  [
    'R24: postmaster without a domain',
    'in',
    ['MAIL FROM:<>', 'RCPT TO:<Postmaster>'],
    ['MAIL FROM:<>', 'RCPT TO:<Postmaster>'],
  ],
]
for (const [example, direction, before, after] of examples) {
  test(`${example} (${direction})`, () => assert.deepEqual(write(rewrite(before, direction).envelope), after))
}

test('R10: NEVER and missing make missing', () => {
  const { envelope } = rewrite(
    ['MAIL FROM:<>', 'RCPT TO:<a@x.example> NOTIFY=NEVER ORCPT=rfc822;b', 'RCPT TO:<A@x.example>'],
    'in',
  )
  assert.deepEqual(envelope.forwardPaths, [{ path: 'a@x.example', parameters: { ORCPT: 'rfc822;b' } }])
})

test('R13: what became of each received recipient is told, and the report says collapsed', () => {
  const lines = [
    'MAIL FROM:<>',
    'RCPT TO:<dana@example.net>',
    'RCPT TO:<alice.smith@fabrikam.com>',
    'RCPT TO:<asmith@contoso.com>',
    'RCPT TO:<bob@contoso.com>',
    'RCPT TO:<alice@contoso.com>',
  ]
  const { received, codes } = rewrite(lines, 'in')
  assert.deepEqual(received, [[0], [1, 2, 4], [3]])
  assert.deepEqual(codes, ['collapsed'])
})

test('§14: changes name the place, both addresses and the rule', () => {
  const { changes, codes } = rewrite(
    [
      'MAIL FROM:<alice+x@contoso.com>',
      'RCPT TO:<dana@example.net>',
      'RCPT TO:<u@corp.contoso.com>',
      'RCPT TO:<u@corp.fabrikam.com>',
    ],
    'out',
  )
  assert.deepEqual(changes, [
    { where: 'envelope:forward-path:3', old: 'u@corp.fabrikam.com', new: 'u@corp.contoso.com', rule: 'domain' },
    {
      where: 'envelope:reverse-path',
      old: 'alice+x@contoso.com',
      new: 'alice.smith+x@fabrikam.com',
      rule: 'extension',
    },
  ])
  assert.deepEqual(codes, ['collapsed'])
})

test('E97: with policy `signed: bypass` nothing but RCPT changes', () => {
  const { envelope } = rewrite(['MAIL FROM:<alice@contoso.com>', 'RCPT TO:<alice.smith@fabrikam.com>'], 'out', {
    bypassSigned: true,
  })
  assert.deepEqual(write(envelope), [
    'MAIL FROM:<alice@contoso.com>',
    'RCPT TO:<alice@contoso.com> ORCPT=rfc822;alice.smith@fabrikam.com',
  ])
})

test('R27, R9: an address that is not ASCII needs SMTPUTF8; ORCPT names it in the form of RFC 6533', () => {
  const international = compileTable({
    format: 'causeway-mapping-table/1',
    project: 'p1',
    version: 1,
    entries: [
      { known: ['j@x.example', 'jürgen@x.example'], presented: 'jürgen@x.example', mailbox: 'j@x.example', eai: true },
    ],
  })
  const options = { direction: 'out', table: international, policy: DEFAULT_POLICY } as const
  const plain = rewriteEnvelope(parse(['MAIL FROM:<j@x.example>']), options)
  assert.equal(plain.envelope.reversePath, 'j@x.example')
  assert.deepEqual(plain.codes, ['eai-skipped'])
  const unicode = rewriteEnvelope(parse(['MAIL FROM:<j@x.example> SMTPUTF8', 'RCPT TO:<jürgen@x.example>']), options)
  assert.deepEqual(write(unicode.envelope), [
    'MAIL FROM:<jürgen@x.example> SMTPUTF8',
    'RCPT TO:<j@x.example> ORCPT=utf-8;j\\x{FC}rgen@x.example',
  ])
})

test('R3: a rule conflict is reported, and the address stays', () => {
  const conflict = compileTable({
    format: 'causeway-mapping-table/1',
    project: 'p1',
    version: 1,
    entries: [{ known: ['a@y.example'], presented: 'a@y.example', mailbox: 'a@y.example' }],
    domainRules: [{ from: 'x.example', to: 'y.example' }],
  })
  const { envelope, codes } = rewriteEnvelope(parse(['MAIL FROM:<a@x.example>']), {
    direction: 'out',
    table: conflict,
    policy: DEFAULT_POLICY,
  })
  assert.equal(envelope.reversePath, 'a@x.example')
  assert.deepEqual(codes, ['rule-conflict'])
})

test('§12: a path that a carried extension makes longer than 254 octets is refused', () => {
  const domain = `${'d'.repeat(60)}.${'e'.repeat(60)}.example`
  const tableOf = (presented: string, mailbox: string) =>
    compileTable({
      format: 'causeway-mapping-table/1',
      project: 'p1',
      version: 1,
      entries: [{ known: [presented, mailbox], presented, mailbox }],
    })
  const longer = `a@${domain}`
  const tag = (octets: number): string => 't'.repeat(octets - longer.length - 1)
  const rcpt = { direction: 'in', table: tableOf('a@x.example', longer), policy: DEFAULT_POLICY } as const
  assert.equal(
    rewriteEnvelope(parse(['MAIL FROM:<>', `RCPT TO:<a+${tag(254)}@x.example>`]), rcpt).envelope.forwardPaths[0]?.path
      .length,
    254,
  )
  assert.throws(
    () => rewriteEnvelope(parse(['MAIL FROM:<>', `RCPT TO:<a+${tag(255)}@x.example>`]), rcpt),
    (error) => error instanceof Refusal && error.code === 553 && error.status === '5.1.3',
  )
  const mail = { direction: 'out', table: tableOf(longer, 'a@x.example'), policy: DEFAULT_POLICY } as const
  assert.equal(rewriteEnvelope(parse([`MAIL FROM:<a+${tag(254)}@x.example>`]), mail).envelope.reversePath.length, 254)
  assert.throws(
    () => rewriteEnvelope(parse([`MAIL FROM:<a+${tag(255)}@x.example>`]), mail),
    (error) => error instanceof Refusal && error.code === 553 && error.status === '5.1.7',
  )
})

test('R9: where ORCPT would be longer than 500 octets the recipient is rewritten without it', () => {
  const plus = `+${'+'.repeat(170)}`
  const long = rewrite(['MAIL FROM:<>', `RCPT TO:<u${plus}@corp.fabrikam.com>`], 'in')
  assert.deepEqual(long.envelope.forwardPaths, [{ path: `u${plus}@corp.contoso.com`, parameters: {} }])
})

const known = EXAMPLE_TABLE.entries.flatMap((entry) => entry.known)
const path = fc.oneof(
  fc.constantFrom(...known, ...known.map((text) => text.toUpperCase()), 'u@corp.contoso.com', 'u@corp.fabrikam.com'),
  fc.tuple(fc.constantFrom(...known), fc.constantFrom('+a', '+b=c')).map(([text, tag]) => text.replace('@', `${tag}@`)),
  fc.constantFrom('dana@example.net', 'Dana@example.net', 'x@[192.0.2.1]', 'postmaster', '@r.example:dana@example.net'),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const parameters = fc.dictionary(
  fc.constantFrom('NOTIFY', 'ORCPT', 'SIZE', '__proto__'),
  fc.oneof(fc.constantFrom('NEVER', 'SUCCESS,DELAY'), fc.constant(true as const)),
)
const envelopes = fc.record({
  reversePath: fc.oneof(fc.constant(''), path),
  parameters: fc.dictionary(
    fc.constantFrom('SIZE', 'BODY', 'SMTPUTF8', 'ENVID'),
    fc.oneof(fc.constant('x'), fc.constant(true as const)),
  ),
  forwardPaths: fc.array(fc.record({ path, parameters }), { maxLength: 6 }),
})
test('R4, DL-12: no recipient is lost or added, each is what the table makes of a received one, and once more changes nothing', () => {
  fc.assert(
    fc.property(envelopes, fc.constantFrom('in' as const, 'out' as const), (envelope, direction) => {
      const options = { direction, table, policy: DEFAULT_POLICY }
      const once = rewriteEnvelope(envelope, options)
      assert.deepEqual(
        once.received.flat().toSorted((a, b) => a - b),
        [...envelope.forwardPaths.keys()],
      )
      assert.equal(once.received.length, once.envelope.forwardPaths.length)
      for (const indices of once.received)
        assert.deepEqual(
          indices,
          indices.toSorted((a, b) => a - b),
        )
      const twice = rewriteEnvelope(once.envelope, options)
      assert.deepEqual(twice.envelope, once.envelope)
      assert.deepEqual(twice.changes, [])
      for (const { old, new: replacement } of once.changes) assert.notEqual(old, replacement)
    }),
    { numRuns: 1000 },
  )
})
