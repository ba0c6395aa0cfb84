// Probes and validation mail on the way that mail takes: a relay that has nothing but what is pushed, and two simulated tenants whose connectors, rules and
// certificates decide. (coexistence.md §2.1 rows 4 to 5b and 12, §3, SP-11)
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PROBES_IN_A_RUN } from '../../common/relay-contract.ts'
import type { PushedSecrets } from '../../common/relay-contract.ts'
import { startEnrolled } from '../harness/enrolled-relay.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { freePort } from '../harness/ports.ts'
import { exampleContent, PushServer } from '../harness/push-server.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { eventually } from '../harness/wait.ts'
import {
  CONTOSO,
  DAY_MS,
  FABRIKAM,
  outboundTo,
  RELAY_NAME,
  ruleOf,
  startSmallWorld,
} from '../sandbox/mail/small-world.ts'
import type { SmallWorld } from '../sandbox/mail/small-world.ts'
import { inbound } from '../sandbox/mail-flow/small-tenant.ts'

const HOST = 'relay.causeway.test'
const TOKENS = { contoso: 'a'.repeat(43), fabrikam: 'b'.repeat(43) }
const NONCES = { contoso: 'c'.repeat(20), fabrikam: 'f'.repeat(20), validation: 'v'.repeat(20) }
const DIRECTIONS = { contoso: 'out', fabrikam: 'in' } as const
const TENANTS = ['contoso', 'fabrikam'] as const
let world: SmallWorld
let server: PushServer
let relay: RunningRelay
let base: Partial<PushedSecrets>

before(async () => {
  world = await startSmallWorld({ retry: { pauses: [200] } })
  server = await PushServer.start()
  const terms = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS }
  const pair = async (name: string) => {
    const { certificate, privateKey } = await world.authority.issue([name], terms)
    return { certificate, key: privateKey }
  }
  const names = { contoso: RELAY_NAME[CONTOSO], fabrikam: RELAY_NAME[FABRIKAM] }
  base = {
    proofTokens: TENANTS.map((tenant) => ({ tenant, direction: DIRECTIONS[tenant], tokens: [TOKENS[tenant]] })),
    clientCertificates: await Promise.all(TENANTS.map(async (tenant) => ({ tenant, ...(await pair(names[tenant])) }))),
    listenerCertificates: [{ names: [HOST], ...(await pair(HOST)) }],
    nonces: Object.values(NONCES).map((nonce) => ({ nonce, until: '2099-01-01T00:00:00Z' })),
  }
  server.version = 1
  server.content = content({})
  const port = await freePort()
  relay = await startEnrolled(server, { settings: { listeners: [{ address: '127.0.0.1', port, tls: 'starttls' }] } })
  world.setHost(HOST, port)
  for (const tenant of [world.contoso, world.fabrikam]) {
    tenant.putExchangeObject(inbound('In', RELAY_NAME[tenant.id as keyof typeof RELAY_NAME]))
    tenant.putExchangeObject(outboundTo('Relay', HOST))
  }
})
after(async () => {
  await relay.stop()
  await relay.remove()
  await server[Symbol.asyncDispose]()
  await world.close()
})

function content(secrets: Partial<PushedSecrets>) {
  const tenants = TENANTS.map((id) => ({
    id,
    acceptedDomains: [`${id}.com`, `${id}.onmicrosoft.com`, ...(id === 'contoso' ? ['xn--mnchen-3ya.example'] : [])],
    smartHost: {
      host: world.frontDoor.address,
      port: world.frontDoor.port,
      tls: 'verify' as const,
      tlsName: `${id}-com.mail.protection.outlook.com`,
      trust: world.authority.certificate,
    },
  }))
  return exampleContent(
    { ...EXAMPLE_TABLE, domainRules: [], wildcards: [] },
    {
      version: server.version,
      tenants,
      allow: [`${world.sendingAddress}/32`],
      clientTrust: world.authority.certificate,
      hosts: [HOST],
    },
    { ...base, ...secrets },
  )
}

const told = (event: string) => server.events.filter((each) => each.event === event)

test('row 5b: the validation of a connector sends its mail past all rules, and the relay tells of it', async () => {
  const [connector] = world.contoso.exchangeObjects('OutboundConnector')
  assert.ok(connector !== undefined)
  const recipient = `connector-validation-${NONCES.validation}@${HOST}`
  for (const { name, isSuccessful, detail } of await world.validateConnector(CONTOSO, connector, [recipient]))
    assert.ok(isSuccessful, `${name}: ${detail}`)
  const event = await eventually('an event', () => told('validation')[0])
  assert.deepEqual(event.fields, { nonce: NONCES.validation })
})

test('row 12: while no probe rule acts nothing is proven; then every probe of both tenants comes back as expected', async () => {
  const probes = TENANTS.map((tenant) => ({ tenant, nonce: NONCES[tenant], direction: DIRECTIONS[tenant], host: HOST }))
  const { settings, secrets } = content({ probes })
  server.settle({ settings: { ...settings, version: server.version + 1 }, secrets })
  await eventually('a message that went ahead', () =>
    /"event":"probe\.(?:not-)?sent"/.test(relay.output()) ? true : undefined,
  )
  for (const tenant of [world.contoso, world.fabrikam]) {
    const label = tenant.id === CONTOSO ? 'contoso' : 'fabrikam'
    tenant.putExchangeObject(
      ruleOf('10-Probe', {
        HeaderContainsMessageHeader: 'X-Causeway-Probe',
        HeaderContainsWords: [NONCES[label]],
        RouteMessageOutboundConnector: 'Relay',
        SetHeaderName: 'X-Causeway-Project',
        SetHeaderValue: TOKENS[label],
        ExceptIfHeaderContainsMessageHeader: 'X-Causeway-Trace',
        ExceptIfHeaderContainsWords: ['never'],
        StopRuleProcessing: true,
      }),
    )
  }
  const expected = (tenant: string) =>
    told('probe').filter(({ fields }) => fields['tenant'] === tenant && fields['verdict'] === 'expected')
  await eventually(
    'all of them',
    () =>
      TENANTS.every((tenant) => new Set(expected(tenant).map(({ fields }) => fields['index'])).size === PROBES_IN_A_RUN)
        ? true
        : undefined,
    30_000,
  )
  const others = told('probe').filter(({ fields }) => fields['verdict'] !== 'expected')
  for (const { fields } of others) assert.equal(fields['verdict'], 'no-proof', 'before the rule acted')
  await eventually('an empty queue', () => (world.queued().length === 0 ? true : undefined))
  assert.deepEqual(world.mailboxes.list(), [], 'nobody has got one')
})
