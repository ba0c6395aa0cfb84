// What relays are told of runs of probes, of names and of authorities: taken as a whole or refused, and never quoted. (RC-5, KM-5, SP-2, SP-11)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { readFileSync } from 'node:fs'
import type { PushedSecrets, PushedSettings } from '../../common/relay-contract.ts'
import { makePushedProject } from '../../mta/pushed-project.ts'
import { PushedFault } from '../../mta/pushed-settings.ts'
import { TestAuthority } from '../harness/certificates.ts'
import { pushedSecrets, pushedSettings } from '../harness/push-server.ts'

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())
const trust = readFileSync(authority.certificate, 'utf8')
const NONCE = '0123456789abcdef'
const probe = { nonce: NONCE, tenant: 'contoso', direction: 'out', host: 'out.relay.example' } as const
const nonces = [{ nonce: NONCE, until: '2099-01-01T00:00:00Z' }]
const tenants = [{ id: 'contoso', acceptedDomains: ['contoso.example'] }]

function made(settings: Partial<PushedSettings>, secrets: Partial<PushedSecrets>) {
  const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
  return makePushedProject(
    bytes(pushedSettings({ tenants, ...settings })),
    bytes(pushedSecrets({ nonces, ...secrets })),
    { hasMx: false },
  ).project
}

test('runs, names and authorities are taken; where none are told there are none', () => {
  const { probes, hosts, clientTrust } = made(
    { hosts: ['OUT.relay.example', 'in.relay.example'], clientTrust: trust },
    { probes: [probe] },
  )
  assert.deepEqual(probes, [probe])
  assert.deepEqual(hosts, ['out.relay.example', 'in.relay.example'])
  assert.equal(clientTrust?.length, 1)
  const bare = made({}, {})
  assert.deepEqual([bare.probes, bare.hosts, bare.clientTrust], [undefined, undefined, undefined])
})

const wrong = (change: Record<string, unknown>): Partial<PushedSecrets> => ({
  probes: [{ ...probe, ...change }] as never,
})
const refused: [settings: Partial<PushedSettings>, secrets: Partial<PushedSecrets>, said: RegExp, why: string][] = [
  [
    {},
    wrong({ nonce: 'SECRET0123456789' }),
    /probes\[0\]: its nonce is none of `nonces`/,
    'its mail would be ordinary mail',
  ],
  [{}, { probes: [probe], nonces: [] }, /probes\[0\]: its nonce/, 'the nonce has ended'],
  [{}, wrong({ tenant: 'SECRET' }), /probes: one is of no tenant/, 'nobody to hand it to'],
  [{}, wrong({ host: 'SECRET name' }), /probes\[0\]\.host: must be a host name/, 'no name'],
  [{}, wrong({ direction: 'SECRET' }), /probes\[0\]\.direction/, 'no direction'],
  [{}, wrong({ more: 'SECRET' }), /probes\[0\]/, 'a member that nobody knows'],
  [{}, { probes: Array.from({ length: 101 }, () => probe) }, /probes: must be at most 100/, 'more than there can be'],
  [{ hosts: ['SECRET name'] }, {}, /hosts\[0\]: must be a host name/, 'no name'],
  [{ clientTrust: 'SECRET' }, {}, /clientTrust: holds no certificate/, 'no certificate'],
]
for (const [settings, secrets, said, why] of refused) {
  test(`RC-5 refused: ${said.source}: ${why}`, () =>
    assert.throws(
      () => made(settings, secrets),
      (error) => {
        assert.ok(error instanceof PushedFault)
        assert.match(error.message, said)
        assert.doesNotMatch(error.message, /SECRET/, 'KM-5')
        return true
      },
    ))
}
