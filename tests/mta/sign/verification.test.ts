import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findDkimProof, keptFieldLists, verifiedFor } from '../../../mta/sign/verification.ts'
import type { JudgedSignature, SignatureResult, Verification } from '../../../mta/sign/verification.ts'
import { judgedSignature } from './signed-message.ts'

function verificationOf(...signatures: Partial<JudgedSignature>[]): Verification {
  return { signatures: signatures.map(judgedSignature), arc: { status: 'none', reason: undefined }, fault: undefined }
}

const VERIFIED = new Set(['fabrikam.example', 'fabrikam.onmicrosoft.com'])
const isVerified = (domain: string) => VERIFIED.has(domain)

const proofs: [signatures: [domain: string | undefined, result: SignatureResult][], proof: string, why: string][] = [
  [[], 'unproven', 'no signature'],
  [[['fabrikam.example', 'pass']], 'proven', 'a verified domain of the project'],
  [[['fabrikam.onmicrosoft.com', 'pass']], 'proven', 'also the one every tenant has'],
  [[['sub.fabrikam.example', 'pass']], 'unproven', 'no suffix match'],
  [[['evil-fabrikam.example', 'pass']], 'unproven', 'no suffix match'],
  [[['example.net', 'pass']], 'unproven', 'somebody else signed'],
  [[[undefined, 'pass']], 'unproven', 'an unreadable domain'],
  [[['fabrikam.example', 'fail']], 'unproven', 'a broken signature'],
  [[['fabrikam.example', 'neutral']], 'unproven', 'an expired or malformed signature'],
  [[['fabrikam.example', 'policy']], 'unproven', 'a weak signature'],
  [[['fabrikam.example', 'permerror']], 'unproven', 'no key'],
  [[['fabrikam.example', 'temperror']], 'unknown', 'DNS failure: 451'],
  [[['example.net', 'temperror']], 'unproven', 'a DNS failure that decides nothing'],
  [
    [
      ['fabrikam.example', 'temperror'],
      ['fabrikam.onmicrosoft.com', 'pass'],
    ],
    'proven',
    'one is enough',
  ],
  [
    [
      ['fabrikam.example', 'fail'],
      ['fabrikam.onmicrosoft.com', 'temperror'],
    ],
    'unknown',
    'the other might have',
  ],
]
for (const [signatures, kind, why] of proofs) {
  test(`SP-4 (b) ${JSON.stringify(signatures)}: ${kind}, ${why}`, () => {
    const verification = verificationOf(...signatures.map(([domain, result]) => ({ domain, result })))
    assert.equal(findDkimProof(verification, isVerified).kind, kind)
  })
}

test('SP-4 (b) nothing verified proves nothing', () => {
  assert.deepEqual(
    findDkimProof(undefined, () => true),
    { kind: 'unproven' },
  )
  assert.equal(verifiedFor(undefined, 'fabrikam.example'), false)
  assert.deepEqual(keptFieldLists(undefined), [])
})

test('R35 keep-dkim respects h= of signatures that verified and are aligned, and of no others', () => {
  const lists = keptFieldLists(
    verificationOf(
      { signedFields: ['from', 'to'] },
      { signedFields: ['from', 'cc'], alignment: 'relaxed' },
      { signedFields: ['from', 'bcc'], alignment: 'none' },
      { signedFields: ['from', 'subject'], result: 'fail' },
    ),
  )
  assert.deepEqual(lists, [
    ['from', 'to'],
    ['from', 'cc'],
  ])
})
