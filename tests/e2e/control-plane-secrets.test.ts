// What must never be written down, isn't: secrets and message content are put through the product as processes, with every log at its most talkative,
// and then looked for in the logs, in Redis, in every row of the database and in the relay's folder. (PR-2, PR-3, KM-5, JQ-4, TI-2)
import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLog } from '../../common/log.ts'
import type { OrganisationId, ProjectId } from '../../control-plane/ids.ts'
import { openKeyDirectory } from '../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../control-plane/keys/sealer.ts'
import { loadProjectState } from '../../control-plane/relays/project-state-store.ts'
import { SnapshotKeys } from '../../control-plane/relays/snapshot-keys.ts'
import { dumpTables, findCanaries, readFolder } from '../harness/canary-search.ts'
import type { Canary, Written } from '../harness/canary-search.ts'
import { CONTOSO, FABRIKAM, user } from '../harness/control-plane.ts'
import type { ControlPlane } from '../harness/control-plane.ts'
import { testRedis, testOnRedis } from '../harness/redis.ts'
import type { TestRedis } from '../harness/redis.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { withControlPlane } from '../harness/start-control-plane.ts'

/** People whom the table knows; their addresses are in it, and nowhere else. */
const MAPPED = ['canarywriter', 'canarypresented', 'canaryconflict']
/** What only messages hold, and questions about them. */
const OF_MESSAGES = [
  'canaryreader',
  'canaryunknown',
  'canarystranger',
  'canarywaits',
  'canarysubject',
  'canarybody',
  'canaryid',
  'canaryreply',
]
const FAR = 'far.example'

testOnRedis(
  'PR-2, KM-5, JQ-4 no secret and nothing of a message is in a log, in Redis, in the database or in a spool',
  async (t) => {
    const redis = await testRedis(t)
    const env = { LOG_LEVEL: 'debug', OUTBOUND_ALLOW: '127.0.0.1/32' }
    await withControlPlane(t, { redisUrl: redis.url, env }, async (plane) => {
      const relay = await plane.relay({ settings: { log: { level: 'debug' }, retry: { firstWaits: ['1s'] } } })
      const shown = await setSecrets(plane)
      await plane.importUsers([user(MAPPED[0] ?? '', MAPPED[1])])
      await plane.reached(1)
      await sendMessages(plane, relay)
      await askQuestions(plane)

      const secrets = [...shown, ...(await hiddenSecrets(plane))]
      for (const { name, text } of secrets) assert.ok(text.length > 8 && text !== 'undefined', name)
      const written = await everythingWritten(plane, relay, redis)
      // The search finds what is there.
      for (const [place, text] of [
        ['log of the api', 'relay.pushed'],
        ['log of the worker', 'job.'],
        ['log of the relay', `@${FAR}`],
        ['redis/', 'causeway:jobs'],
        ['table public.mapping_entry', `${MAPPED[1]}@${FABRIKAM}`],
        ['relay/', 'causeway'],
      ] as const) {
        const there = written.filter(({ name }) => name.startsWith(place))
        assert.ok(findCanaries([{ name: 'known', text }], there).length > 0, `${text} must be in ${place}`)
      }

      assert.deepEqual(findCanaries(secrets, written), [])
      const canaries = (names: readonly string[]): Canary[] => names.map((name) => ({ name, text: name }))
      assert.deepEqual(findCanaries(canaries(OF_MESSAGES), written), [])
      const beside = written.filter(({ name }) => !name.startsWith('table public.mapping_'))
      assert.deepEqual(findCanaries(canaries(MAPPED), beside), [])
    })
  },
)

test('the search for canaries finds text, and bytes as Postgres shows them', () => {
  const written = [
    { name: 'a', text: 'x secret y' },
    { name: 'b', text: '\\x736563726574' },
    { name: 'c', text: 'secre t' },
  ]
  assert.deepEqual(findCanaries([{ name: 's', text: 'secret' }], written), ['s in a', 's in b'])
})

/** Makes what there is to keep secret, and has it travel. @returns what a client was shown, or knows */
async function setSecrets(plane: ControlPlane): Promise<Canary[]> {
  const made = await plane.done('POST', `${plane.path}/dkim-keys`, { domain: FABRIKAM })
  await plane.done('POST', `${plane.path}/dkim-keys/${made.body.id}/activate`, { force: true })
  const hook = { url: 'https://127.0.0.1:9/canaryhook', events: ['*'] }
  // Its answer is kept for whoever asks again.
  const retry = { headers: { 'Idempotency-Key': 'canary' } }
  const webhook = await plane.done('POST', `/organizations/${plane.organisation}/webhooks`, hook, retry)
  const wrongKey = { Authorization: `Bearer cwk_${'canarykey'.padEnd(43, 'x')}` }
  assert.equal((await plane.ask('GET', `${plane.path}/relays`, undefined, { headers: wrongKey })).status, 401)
  const wrongCookie = { Cookie: '__Host-causeway-session=canarycookie', Authorization: '' }
  assert.equal((await plane.ask('GET', '/me', undefined, { headers: wrongCookie })).status, 401)
  const refused = await plane.ask('POST', '/session/break-glass', { code: 'canarycode' })
  assert.equal(refused.status, 401)
  const { firstRunCode, sessionId, csrfToken, apiKey, enrolmentCodes } = plane.secrets
  return [
    { name: 'session id', text: sessionId },
    { name: 'CSRF token', text: csrfToken },
    { name: 'API key', text: apiKey },
    { name: 'API key without its prefix', text: apiKey.slice(14) },
    { name: 'used one-time code', text: firstRunCode },
    ...enrolmentCodes.map((text) => ({ name: 'enrolment code', text })),
    { name: 'secret of a webhook', text: String(webhook.body.secret) },
    ...['canarykey', 'canarycookie', 'canarycode'].map((text) => ({ name: `wrong ${text}`, text })),
  ]
}

/** One is delivered, one refused by the next hop in words that quote the address, one by us, one still waits. */
async function sendMessages({ hop }: ControlPlane, { outPort }: RunningRelay): Promise<void> {
  const from = `${MAPPED[0]}@${CONTOSO}`
  hop.behave({
    act({ stage, line }) {
      if (stage !== 'RCPT') return undefined
      if (line.includes('canaryunknown')) return '550 5.1.1 <canaryunknown@far.example> canaryreply is not here'
      return line.includes('canarywaits') ? '451 4.2.0 <canaryreader@far.example> later' : undefined
    },
  })
  const send = (to: string, writer = from) => {
    const data = Buffer.from(
      [
        `From: canarysubject <${writer}>`,
        `To: <${to}>`,
        'Subject: canarysubject',
        `Message-ID: <canaryid@${CONTOSO}>`,
        '',
        'canarybody canaryreader@far.example',
        '',
      ].join('\r\n'),
    )
    return sendMail(outPort, { from: writer, to: [to], data })
  }
  assert.match(await send(`canaryreader@${FAR}`), /^250 /)
  await eventually('the delivered one', () => hop.taken.find(({ rcpts }) => String(rcpts).includes('canaryreader')))
  assert.match(await send(`canaryunknown@${FAR}`), /^250 /)
  await eventually('the report of the refused one', () => hop.taken.find(({ mail }) => mail.startsWith('MAIL FROM:<>')))
  assert.match(await send(`canaryreader@${FAR}`, `canarystranger@${FAR}`), /^[45]\d\d /)
  assert.match(await send(`canarywaits@${FAR}`), /^250 /)
}

/** Requests that hold addresses and content, good ones and faulty ones. */
async function askQuestions(plane: ControlPlane): Promise<void> {
  const address = encodeURIComponent(`canarystranger@${FAR}`)
  await plane.done('GET', `${plane.path}/mapping-lookup?address=${address}`)
  await plane.done('GET', `${plane.path}/mappings?address=${address}`)
  await plane.until(
    'the trace',
    `${plane.path}/messages?recipient=${encodeURIComponent(`canaryunknown@${FAR}`)}`,
    ({ items }) => items.some(({ recipients }: { recipients: { failed: number } }) => recipients.failed === 1),
  )
  const message = Buffer.from(`From: <canarystranger@${FAR}>\r\nSubject: canarysubject\r\n\r\ncanarybody\r\n`)
  const headers = { 'Content-Type': 'message/rfc822' }
  await plane.done('POST', `${plane.path}/rewrite-previews?direction=out`, message, { headers })
  const conflict = {
    ...user('canaryconflict'),
    known: [`canaryconflict@${FABRIKAM}`, `canaryconflict@${CONTOSO}`, `${MAPPED[0]}@${CONTOSO}`],
  }
  assert.equal((await plane.ask('POST', `${plane.path}/mappings`, conflict)).status, 409)
  const outside = {
    known: [`canarystranger@${FAR}`],
    presented: `canarystranger@${FAR}`,
    mailbox: `canarystranger@${FAR}`,
  }
  assert.equal((await plane.ask('POST', `${plane.path}/mappings`, outside)).status, 400)
  assert.equal((await plane.ask('GET', `//canarystranger@${FAR}`)).status, 404)
  assert.equal((await plane.ask('POST', `${plane.path}/mappings`, Buffer.from('{"canarybody'))).status, 400)
}

/** What nobody is ever shown: opened with the installation's own keys. */
async function hiddenSecrets({ database, keyDirectory, organisation, project }: ControlPlane): Promise<Canary[]> {
  assert.ok(database !== undefined)
  const { db } = database
  const now = () => new Date()
  const provider = await openKeyDirectory(join(keyDirectory, 'keys'), Date.now)
  const cache = new KeyCache(Date.now)
  const uses = new KeyUses({ db, log: createLog({ write: () => {}, level: 'error', now: Date.now }), now })
  try {
    const sealer = createSealer({ db, provider, cache, uses, now })
    const place = { organisation: organisation as OrganisationId, project: project as ProjectId }
    const state = await loadProjectState(place, 'settings', { db, sealer, now: Date.now })
    const { privateKey } = await new SnapshotKeys({ db, sealer, now: Date.now }).current()
    assert.ok(state?.told !== undefined)
    const { proofTokens, dkim, marker } = state.told.secrets
    assert.deepEqual([proofTokens.length, dkim.length], [4, 1])
    return [
      ...proofTokens.flatMap(({ tokens }) => tokens.map((text) => ({ name: 'proof token', text }))),
      ...dkim.flatMap(({ key }) => keyCanaries('DKIM key', key)),
      { name: 'marker secret', text: marker.secret },
      { name: 'marker token', text: marker.token },
      ...keyCanaries('snapshot key', String(privateKey.export({ type: 'pkcs8', format: 'pem' }))),
    ]
  } finally {
    await uses.settle()
    cache.close()
    provider.close()
  }
}

/** Its secret number as PEM has it and as a JWK has it. */
function keyCanaries(name: string, pem: string): Canary[] {
  const body = pem.split('\n').slice(1, -2)
  const { d } = createPrivateKey(pem).export({ format: 'jwk' })
  return [
    // Of a long key a line in its middle: it begins as all keys do.
    { name: `${name}, PEM`, text: (body.length > 4 ? body[Math.floor(body.length / 2)] : body.join('')) ?? '' },
    { name: `${name}, number`, text: d ?? '' },
  ]
}

async function everythingWritten(plane: ControlPlane, relay: RunningRelay, redis: TestRedis): Promise<Written[]> {
  assert.ok(plane.database !== undefined)
  const [api] = plane.apis
  const logOf = (name: string, output: string) => ({ name, text: Buffer.from(output).toString('latin1') })
  // People are told the one-time code on the console, which is no log line (KM-5).
  const linesOnly = (output = '') =>
    output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .join('\n')
  return [
    logOf('log of the api', linesOnly(api?.output())),
    logOf('log of the worker', plane.worker.output()),
    logOf('log of the relay', relay.output()),
    ...(await readFolder(redis.copy(), 'redis')), // every command since its start
    ...(await dumpTables(plane.database.owner.db)),
    // relay.json was written by the operator, with the code in it.
    ...(await readFolder(relay.directory, 'relay', (path) => path === 'relay.json')),
  ]
}
