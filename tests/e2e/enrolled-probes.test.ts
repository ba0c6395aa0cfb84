// Probes and validation mail at a real relay: a run that is pushed is handed to the tenant, and what the tenant's rule brings back is judged and told, by a
// relay with one process and by one with two. (coexistence.md §2.1 rows 5b, 12, SP-11, RC-7)
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { PROBES_IN_A_RUN } from '../../common/relay-contract.ts'
import type { PushedSecrets, RelayEvent } from '../../common/relay-contract.ts'
import { TestAuthority } from '../harness/certificates.ts'
import type { MadeCertificate } from '../harness/certificates.ts'
import { CONTOSO, FABRIKAM, reported, startEnrolled } from '../harness/enrolled-relay.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import type { Taken } from '../harness/next-hop.ts'
import { freePort } from '../harness/ports.ts'
import { exampleContent, PushServer } from '../harness/push-server.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { eventually } from '../harness/wait.ts'
import { EXCHANGE, showing } from '../mta/inbound/secure-relay.ts'
import { TranscriptClient } from '../mta/inbound/transcript-client.ts'

const TOKENS = { out: 'a'.repeat(43), in: 'c'.repeat(43) }
const NONCE = '0123456789abcdef0123'
const OTHER_NONCE = '11112222333344445555'
const VALIDATION = 'fedcba98765432100123'
const HOST = 'out.relay.test'

interface Scene {
  readonly server: PushServer
  readonly hop: NextHop
  readonly relay: RunningRelay
  readonly shown: MadeCertificate
  /** As Exchange Online hands it over. @returns the reply to it, or to the command that was refused */
  readonly bring: (content: string | Buffer, recipient?: string) => Promise<string>
  readonly events: (event: string) => RelayEvent[]
  /** Pushes, and waits until it is in force. */
  readonly apply: (secrets: Partial<PushedSecrets>) => Promise<void>
}

async function withScene(workers: number, work: (scene: Scene) => Promise<void>): Promise<void> {
  using authority = new TestAuthority()
  const read = (file: string) => readFileSync(file, 'utf8')
  const pem = ({ certificate, key }: MadeCertificate) => ({ certificate: read(certificate), key: read(key) })
  const exchange = authority.issue({ names: [`DNS:${EXCHANGE}`] })
  const listener = authority.issue({ names: [`DNS:${HOST}`] })
  const shown = authority.issue({ names: ['DNS:contoso.relay.test'] })
  await using server = await PushServer.start()
  await using hop = await NextHop.start({
    tls: { ...authority.issue({ names: ['DNS:contoso.example'] }), asksForCertificate: true },
  })
  const trust = read(authority.certificate)
  const smartHost = { host: '127.0.0.1', port: hop.port, tls: 'verify', tlsName: 'contoso.example', trust } as const
  const content = (version: number, secrets: Partial<PushedSecrets>) =>
    exampleContent(
      EXAMPLE_TABLE,
      {
        version,
        tenants: [
          { id: 'contoso', acceptedDomains: CONTOSO, smartHost },
          { id: 'fabrikam', acceptedDomains: FABRIKAM },
        ],
        allow: ['127.0.0.0/8'],
        clientTrust: trust,
        hosts: [HOST],
      },
      {
        proofTokens: [
          { tenant: 'contoso', direction: 'out', tokens: [TOKENS.out] },
          { tenant: 'fabrikam', direction: 'in', tokens: [TOKENS.in] },
        ],
        clientCertificates: [{ tenant: 'contoso', ...pem(shown) }],
        listenerCertificates: [{ names: [HOST], ...pem(listener) }],
        nonces: [NONCE, OTHER_NONCE, VALIDATION].map((nonce) => ({ nonce, until: '2099-01-01T00:00:00Z' })),
        ...secrets,
      },
    )
  server.version = 1
  server.content = content(1, {})
  const port = await freePort()
  const relay = await startEnrolled(server, {
    settings: { workers, listeners: [{ address: '127.0.0.1', port, tls: 'starttls' }] },
  })
  try {
    await work({
      server,
      hop,
      relay,
      shown,
      async bring(message, recipient = `probe-${NONCE}@${HOST}`) {
        const client = await TranscriptClient.secure(port, showing(exchange))
        try {
          await client.say('MAIL FROM:<>', 250)
          const answer = await client.ask(`RCPT TO:<${recipient}>`)
          if (!answer.startsWith('250')) return answer
          await client.say('DATA', 354)
          client.write(Buffer.from(message as string, 'latin1'))
          return await client.ask('.')
        } finally {
          client.quit()
        }
      },
      events: (event) => server.events.filter((each) => each.event === event),
      async apply(secrets) {
        const { settings, secrets: whole } = content(server.version + 1, secrets)
        server.settle({ settings, secrets: whole })
        await reported(server, server.version)
      },
    })
  } finally {
    await relay.stop()
    await relay.remove()
  }
}

const probe = { nonce: NONCE, tenant: 'contoso', direction: 'out', host: HOST } as const
const withProof = (token: string, { content }: Taken): string =>
  `X-MS-Exchange-Organization-AuthAs: Internal\r\nX-Causeway-Project: ${token}\r\n${content.toString('latin1')}`

async function comesBack({ server, hop, shown, bring, events, apply }: Scene, most: number): Promise<void> {
  assert.equal(hop.taken.length, 0, 'nothing is asked for')
  await apply({ probes: [probe] })
  const brought = new Set<Taken>()
  await eventually('all of them told', async () => {
    for (const each of hop.taken) {
      if (brought.has(each)) continue
      brought.add(each)
      assert.match(await bring(withProof(TOKENS.out, each)), /^250 /)
    }
    const numbers = events('probe').map(({ fields }) => fields['index'])
    return new Set(numbers).size === PROBES_IN_A_RUN ? true : undefined
  })
  for (const { mail, rcpts, content } of hop.taken) {
    assert.match(mail, /^MAIL FROM:<>/)
    assert.match(rcpts.join(), new RegExp(`^RCPT TO:<probe-${NONCE}@${HOST}>`))
    assert.match(content.toString('latin1'), new RegExp(`^X-Causeway-Probe: ${NONCE}\r$`, 'm'))
    assert.doesNotMatch(content.toString('latin1'), /X-Causeway-Trace|Received:/)
  }
  assert.ok(hop.taken.length <= most, String(hop.taken.length))
  assert.equal(hop.handshakes.at(-1)?.clientFingerprint, shown.fingerprint, 'R85')
  for (const { class: eventClass, queueId, fields } of events('probe')) {
    assert.deepEqual([eventClass, queueId], ['message', undefined])
    const { index, ...others } = fields
    assert.equal(typeof index, 'number')
    const maker = server.enrolled?.relay
    assert.deepEqual(others, { nonce: NONCE, maker, tenant: 'contoso', direction: 'out', verdict: 'expected' })
  }
}

async function isJudged({ hop, bring, events, apply }: Scene): Promise<void> {
  const [before, told] = [hop.taken.length, events('probe').length]
  await apply({ probes: [{ ...probe, nonce: OTHER_NONCE }] })
  const first = await eventually('a probe', () => hop.taken[before])
  const bare = first.content.toString('latin1')
  const [ours, own] = [`probe-${OTHER_NONCE}@${HOST}`, `probe-${OTHER_NONCE}@relay.test`]
  const cases: [content: string, recipient: string, verdict: string][] = [
    [bare, ours, 'no-proof'],
    [withProof('z'.repeat(43), first), ours, 'no-proof'],
    [withProof(TOKENS.in, first), ours, 'other-tenant'],
    [`${withProof(TOKENS.out, first)}Disclaimer.\r\n`, ours, 'altered'],
    [withProof(TOKENS.out, first), own, 'expected'],
  ]
  assert.match(await bring(`Subject: by hand\r\n\r\nHello.\r\n`, ours), /^250 /, 'by hand: taken, and nothing is told')
  for (const [content, recipient] of cases) assert.match(await bring(content, recipient), /^250 /)
  const verdicts = await eventually('events', () => {
    const seen = events('probe').slice(told)
    return seen.length >= cases.length ? seen.map(({ fields }) => fields['verdict']) : undefined
  })
  assert.deepEqual(
    verdicts,
    cases.map(([, , verdict]) => verdict),
  )
  assert.match(await bring(bare + `${'x'.repeat(990)}\r\n`.repeat(70), ours), /^552 5\.3\.4 /)
  assert.match(await bring(bare, `probe-${'0'.repeat(20)}@${HOST}`), /^550 5\.7\.1 /)
  await apply({ nonces: [] })
  assert.match(await bring(withProof(TOKENS.out, first), ours), /^550 5\.7\.1 /)
  for (const { rcpts } of hop.taken) assert.match(rcpts.join(), /<probe-/, 'nothing else was delivered')
  assert.equal(events('accepted').length, 0)
}

async function isValidated({ bring, events }: Scene): Promise<void> {
  const mail = 'From: <O365ConnectorValidation@contoso.com>\r\nSubject: Test\r\n\r\nTest.\r\n'
  assert.match(await bring(mail, `connector-validation-${VALIDATION}@${HOST}`), /^250 /)
  assert.match(await bring(mail, `connector-validation-${NONCE}@elsewhere.test`), /^550 5\.7\.1 /)
  const [told] = await eventually('an event', () =>
    events('validation').length > 0 ? events('validation') : undefined,
  )
  assert.deepEqual(told?.fields, { nonce: VALIDATION })
}

test('a relay with one process', { timeout: 60_000 }, (t) =>
  withScene(1, async (scene) => {
    await t.test('row 5b: validation mail of a connector is told', () => isValidated(scene))
    await t.test('row 12: a run of probes goes out once, comes back and is told', () =>
      comesBack(scene, PROBES_IN_A_RUN),
    )
    await t.test('SP-4 SP-11: each is judged and delivered nowhere, and once its nonce ends it is refused', () =>
      isJudged(scene),
    )
  }),
)

test('row 12: of several processes one makes the probes, and any of them takes them back', { timeout: 60_000 }, () =>
  // Where another one took the first back, it is sent again before the rest.
  withScene(2, (scene) => comesBack(scene, PROBES_IN_A_RUN + 2)),
)
