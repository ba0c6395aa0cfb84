// SP-4: which tenant a message comes from. R5: in which direction.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { judgeHeaderProof, readHeaderProof } from '../../../mta/inbound/tenant-proof.ts'
import { loadProofTokens } from '../../../mta/proof-tokens.ts'
import { SettingsFault } from '../../../mta/settings-fault.ts'
import type { ProofSettings } from '../../../mta/settings-routes.ts'
import { Tenants } from '../../../mta/tenants.ts'
import { scanHeader } from '../../../rewrite-rules/index.ts'

const OUT = 'a'.repeat(43)
const OUT_BEFORE = 'b'.repeat(43)
const IN = 'c'.repeat(64)
const OTHER_OUT = 'd'.repeat(43)
const ID = '11111111-2222-3333-4444-555555555555'

const folder = mkdtempSync(join(tmpdir(), 'causeway-proof-'))
after(() => rmSync(folder, { recursive: true }))
function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

const tokens = loadProofTokens([
  { tenant: 's', direction: 'out', file: file('s-out', `${OUT}\n${OUT_BEFORE}\n`) },
  { tenant: 's', direction: 'in', file: file('s-in', ` ${IN} \r\n`) },
  { tenant: 't', direction: 'out', file: file('t-out', OTHER_OUT) },
])
const tenants = new Tenants([{ id: 's', tenantId: ID, acceptedDomains: ['contoso.com'] }])

function judge(header: string, listener?: 'out' | 'in', settings: Partial<ProofSettings> = {}): string {
  const shown = readHeaderProof(scanHeader(Buffer.from(`${header}\r\n`)), tokens, tenants)
  const verdict = judgeHeaderProof(shown, listener, { need: 'token', crossTenantId: 'count', ...settings })
  return verdict.kind === 'refused' ? verdict.reply.reason : `${verdict.direction} ${verdict.tenant}`
}

const proofField = (token: string) => `X-Causeway-Project: ${token}\r\n`
const crossTenant = (id: string) => `X-MS-Exchange-CrossTenant-Id: ${id}\r\n`

const cases: [header: string, listener: 'out' | 'in' | undefined, verdict: string, why: string][] = [
  [proofField(OUT), undefined, 'out s', 'the token tells tenant and direction'],
  [proofField(OUT_BEFORE), undefined, 'out s', 'the previous token, while it is being replaced'],
  [proofField(IN), undefined, 'in s', 'the other direction has a token of its own'],
  [proofField(OTHER_OUT), undefined, 'out t', 'so has the other tenant'],
  [`x-causeway-PROJECT :\t${OUT}  \r\n`, undefined, 'out s', 'field names have no case'],
  [proofField(OUT), 'out', 'out s', 'a listener with a direction wants the token of that direction'],
  [proofField(OUT), 'in', 'tenant-proof', 'and no other'],
  ['', undefined, 'tenant-proof', 'no token'],
  [proofField(''), undefined, 'tenant-proof', 'an empty one'],
  [proofField(OUT.slice(1)), undefined, 'tenant-proof', 'cut short'],
  [proofField(`${OUT}a`), undefined, 'tenant-proof', 'one character too many'],
  [proofField(OUT.toUpperCase()), undefined, 'tenant-proof', 'a token has a case'],
  [proofField(`${OUT}, ${IN}`), undefined, 'tenant-proof', 'two in one field'],
  [
    proofField('wrong') + proofField(OUT),
    undefined,
    'out s',
    'a wrong one set by somebody else takes nothing from the right one',
  ],
  [proofField(OUT) + proofField(OUT_BEFORE), undefined, 'out s', 'two of one tenant and direction'],
  [proofField(OUT) + proofField(IN), undefined, 'tenant-proof', 'two that contradict each other in direction'],
  [proofField(OUT) + proofField(OTHER_OUT), 'out', 'tenant-proof', 'or in tenant'],
  [
    proofField('x').repeat(8) + proofField(OUT),
    undefined,
    'tenant-proof',
    'more fields than anybody needs are not read',
  ],
  [
    proofField(OUT) + crossTenant('99999999-2222-3333-4444-555555555555'),
    undefined,
    'out s',
    'a foreign tenant id is only counted',
  ],
]
for (const [header, listener, verdict, why] of cases) {
  test(`SP-4 ${verdict}: ${why}`, () => assert.equal(judge(header, listener), verdict))
}

test('SP-4: a foreign tenant id with the right token is refused where the project demands it', () => {
  const demand = { crossTenantId: 'demand' } as const
  assert.equal(judge(proofField(OUT) + crossTenant(ID.toUpperCase()), undefined, demand), 'out s')
  assert.equal(judge(proofField(OUT), undefined, demand), 'out s', 'only where it is present')
  assert.equal(judge(proofField(OUT) + crossTenant('x'), undefined, demand), 'foreign-tenant')
  assert.equal(
    judge(proofField(OUT) + crossTenant(ID) + crossTenant('x'), undefined, demand),
    'foreign-tenant',
    'each of them',
  )
})

test('SP-4: with `dkim` the token is not needed; with `token+dkim` it is', () => {
  assert.equal(judge('', 'out', { need: 'dkim' }), 'out undefined')
  assert.equal(
    judge(proofField(IN), 'out', { need: 'dkim' }),
    'out undefined',
    'a token of the other direction proves nothing',
  )
  assert.equal(judge('', undefined, { need: 'dkim' }), 'tenant-proof', 'nothing tells the direction')
  assert.equal(judge('', 'out', { need: 'token+dkim' }), 'tenant-proof')
})

const faulty: [text: string, fault: RegExp][] = [
  ['', /holds no token/],
  ['short', /holds a line that is no token/],
  [`${'x'.repeat(43)}\n${'y'.repeat(43)}\n${'z'.repeat(43)}`, /more than the current and the previous/],
  [OUT, /also that of tenant s, out/],
  [`${'x'.repeat(42)} `, /no token/],
]
for (const [text, fault] of faulty) {
  test(`KM-5: a token file is refused without its content: ${fault.source}`, () => {
    const files = [
      { tenant: 's', direction: 'out' as const, file: file('first', OUT) },
      { tenant: 't', direction: 'in' as const, file: file('second', text) },
    ]
    assert.throws(
      () => loadProofTokens(files),
      (error) => error instanceof SettingsFault && fault.test(error.message) && !error.message.includes(OUT),
    )
  })
}
