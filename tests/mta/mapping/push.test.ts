// RC-2, RC-3, RC-5: what is pushed is taken whole when everything about it is right, and otherwise leaves everything as it was.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { SNAPSHOT_FORMAT } from '../../../common/relay-contract.ts'
import type { Manifest, PushedSecrets, PushedSettings } from '../../../common/relay-contract.ts'
import { FrameFault } from '../../../mta/mapping/frames.ts'
import { parseAddrSpec } from '../../../rewrite-rules/index.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'
import { CONTOSO, FABRIKAM, twoTenants } from '../../harness/enrolled-relay.ts'
import { frame, pushedSecrets, signingPair } from '../../harness/push-server.ts'
import type { Content, Tampering } from '../../harness/push-server.ts'
import { alice, KeeperWorld } from './keeper-world.ts'

/** How alice is presented by what is in force. */
function presented({ snapshot }: KeeperWorld): string | undefined {
  const active = snapshot.get()
  const address = parseAddrSpec('alice@contoso.com')
  assert.ok(address !== undefined)
  const mapped = active?.table.withPolicy(active.policy).map('present', address.local, address.domain, false)
  return mapped?.kind === 'replaced' ? `${mapped.local}@${mapped.domain}` : undefined
}

test('RC-3 a whole push is in force at once: table, settings and secrets of one version', async () => {
  await using world = await KeeperWorld.holding()
  const active = world.snapshot.get()
  assert.equal(active?.snapshotVersion, 1)
  assert.equal(active.table.version, EXAMPLE_TABLE.version)
  assert.equal(active.tenants?.ownerOf('corp.contoso.com'), 'contoso')
  assert.equal(active.marker?.token, 'markerToken0123456789')
  assert.deepEqual(Object.keys(active.routes), ['tenant:contoso', 'tenant:fabrikam'])
  assert.equal(presented(world), 'alice.smith@fabrikam.com')
})

test('a delta on exactly what the relay has is in force, and a message that began before keeps what it began with', async () => {
  await using world = await KeeperWorld.holding()
  const before = world.snapshot.get()
  assert.deepEqual(await world.feed(world.server.changeFrames(alice(1))), { kind: 'active', version: 2 })
  assert.equal(presented(world), 'alice1@fabrikam.com')
  assert.equal(before?.snapshotVersion, 1)
  assert.equal(before.table.version, 7)
  assert.deepEqual(
    world.activated.map(({ version, push }) => [version, push === undefined]),
    [
      [1, true],
      [2, false],
    ],
  )
})

test('what did not change is left out of a push, and is the very same value afterwards', async () => {
  await using world = await KeeperWorld.holding()
  const settings = world.snapshot.settings()
  await world.feed(world.server.changeFrames(alice(1)))
  assert.equal(world.snapshot.held?.project.project.routes, settings?.routes)
  world.server.version++
  const content = world.server.content
  assert.ok(content !== undefined)
  const table = content.table
  const parts = {
    settings: Buffer.from(JSON.stringify({ ...content.settings, version: 2, postmaster: 'ops@contoso.com' })),
  }
  const frames = world.server.frames(
    { ...content, settings: { ...content.settings, version: 2 } },
    parts,
    { base: 2 },
    {},
  )
  assert.deepEqual(await world.feed(frames), { kind: 'active', version: 3 })
  assert.equal(world.snapshot.get()?.postmaster, 'ops@contoso.com')
  assert.equal(world.held?.table.digest, table.digest)
})

test('a table that comes whole on what the relay has keeps the rest', async () => {
  await using world = await KeeperWorld.holding()
  const { server } = world
  const content = server.content
  assert.ok(content !== undefined)
  const table = content.table.apply({
    format: 'causeway-mapping-delta/1',
    project: 'p1',
    fromVersion: 7,
    toVersion: 8,
    ...alice(1),
  })
  server.version = 2
  const frames = server.frames(
    { ...content, table },
    { table: Buffer.concat([...table.snapshotChunks()]) },
    { base: 1 },
    {},
  )
  assert.deepEqual(await world.feed(frames), { kind: 'active', version: 2 })
  assert.equal(presented(world), 'alice1@fabrikam.com')
  assert.equal((await world.restart())?.version, 2)
  assert.equal(presented(world), 'alice1@fabrikam.com')
})

// ---- RC-2: not from whom it must be, or not for us, or not newer ----

const other = signingPair('snapshot-key-1')
const manifest = (change: Partial<Manifest>): Tampering => ({ manifest: (made) => ({ ...made, ...change }) })
const flip = (bytes: Buffer, at: number): Buffer => {
  const altered = Buffer.from(bytes)
  altered.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  return altered
}

const tamperings: [what: string, tampering: Tampering, reason: RegExp][] = [
  ['signed by another key under the same name', { signWith: other }, /signature does not hold/],
  ['signed by a key of another name', { signWith: signingPair('another') }, /another key than the pinned one/],
  ['an octet of the signature', { signature: (bytes) => flip(bytes, 10) }, /signature does not hold/],
  ['a signature that is cut', { signature: (bytes) => bytes.subarray(0, 63) }, /signature does not hold/],
  [
    'an octet of the manifest',
    { signedBytes: (bytes) => Buffer.from(bytes.toString().replace('active', 'activf')) },
    /signature does not hold/,
  ],
  [
    'a manifest that is no JSON, and signed',
    { manifestBytes: () => Buffer.from('{"key":"snapshot-key-1"') },
    /another key/,
  ],
  ['an unknown format', manifest({ format: 'causeway-snapshot/2' as typeof SNAPSHOT_FORMAT }), /format is unknown/],
  ['another installation', manifest({ installation: 'https://other.test' }), /another installation/],
  ['another project', manifest({ project: 'p2' }), /another project/],
  ['another relay', manifest({ relay: 'relay-2' }), /for another relay/],
  ['the version that is in force', manifest({ version: 1 }), /is not newer than 1/],
  ['an older version', manifest({ version: 0 }), /is not newer than 1/],
  ['a version that is no number', manifest({ version: '9' as unknown as number }), /malformed/],
  ['a version that is no whole number', manifest({ version: 2.5 }), /malformed/],
  ['an unknown state', manifest({ state: 'off' as 'active' }), /malformed/],
  ['parts that are no list', manifest({ parts: {} as unknown as [] }), /malformed/],
  [
    'an octet of the table',
    { part: (name, bytes) => (name === 'table' ? flip(bytes, 200) : bytes) },
    /parts are not those/,
  ],
  [
    'an octet of the settings',
    { part: (name, bytes) => (name === 'settings' ? flip(bytes, 20) : bytes) },
    /parts are not/,
  ],
  [
    'an octet of the secrets',
    { part: (name, bytes) => (name === 'secrets' ? flip(bytes, 50) : bytes) },
    /parts are not/,
  ],
  [
    'a table that is cut',
    { part: (name, bytes) => (name === 'table' ? bytes.subarray(0, -3) : bytes) },
    /parts are not/,
  ],
  [
    'a part more than the manifest names',
    { manifest: (made) => ({ ...made, parts: made.parts.slice(1) }) },
    /parts are not/,
  ],
  [
    'another digest of the table',
    manifest({ table: { revision: 7, digest: 'x', entries: 6 } }),
    /not the one that its manifest/,
  ],
  [
    'another revision of the table',
    manifest({ table: { revision: 9, digest: 'x', entries: 6 } }),
    /not the one that its/,
  ],
  [
    'another version of the settings',
    manifest({ settings: { version: 9 } }),
    /settings have version 1, its manifest says 9/,
  ],
]

for (const [what, tampering, reason] of tamperings) {
  test(`RC-2 refused, and the old one stays: ${what}`, async () => {
    await using world = await KeeperWorld.holding()
    const before = world.snapshot.get()
    world.server.version++
    const taken = await world.feed(world.server.whole(tampering))
    assert.equal(taken?.kind, 'refused')
    assert.match(world.refusals[0]?.reason ?? '', reason)
    assert.equal(world.snapshot.get(), before)
    assert.deepEqual(readdirSync(world.directory), ['snapshot-1'], 'nothing of it is left on disk')
    // The right one is taken all the same.
    assert.equal((await world.feed(world.server.whole()))?.kind, 'active')
  })
}

test('RC-2 an octet altered anywhere in a push is refused, or never makes a whole push', async () => {
  await using world = await KeeperWorld.holding()
  const before = world.snapshot.get()
  world.server.version++
  const frames = world.server.whole()
  const bytes = Buffer.concat(frames)
  const edges = new Set<number>()
  for (let at = 0, i = 0; i < frames.length; at += frames[i++]?.length ?? 0)
    for (let k = 0; k < 6; k++) edges.add(at + k)
  const tail = bytes.length - (frames.at(-1)?.length ?? 0) - (frames.at(-2)?.length ?? 0)
  for (let at = 0; at < bytes.length; at++) {
    // All of manifest, signature and frame heads; of the parts, whose hashes are in the manifest, every 37th.
    if (at < tail && !edges.has(at) && at % 37 !== 0) continue
    const taken = await world.feed([flip(bytes, at)]).catch((error: unknown) => {
      assert.ok(error instanceof FrameFault, `octet ${at}: ${String(error)}`)
      return undefined
    })
    assert.notEqual(taken?.kind, 'active', `octet ${at} of ${bytes.length}`)
    assert.equal(world.snapshot.get(), before, `octet ${at}`)
  }
})

test('RC-2 a push that is cut anywhere changes nothing', async () => {
  await using world = await KeeperWorld.holding()
  const before = world.snapshot.get()
  world.server.version++
  const bytes = Buffer.concat(world.server.whole())
  for (let length = 0; length < bytes.length; length += 97)
    assert.equal(await world.feed([bytes.subarray(0, length)]), undefined)
  assert.equal(world.snapshot.get(), before)
  assert.deepEqual(readdirSync(world.directory), ['snapshot-1'])
})

test('RC-2 replayed and reordered pushes are refused; the order they were made in is the one they count in', async () => {
  await using world = await KeeperWorld.holding()
  const first = world.server.whole()
  const second = world.server.changeFrames(alice(1))
  const third = world.server.changeFrames(alice(2))
  assert.equal((await world.feed(first))?.kind, 'refused')
  assert.deepEqual(await world.feed(third), { kind: 'refused', remedy: 'resume' })
  assert.match(world.refusals.at(-1)?.reason ?? '', /builds on version 2, the relay has 1/)
  assert.equal((await world.feed(second))?.kind, 'active')
  assert.equal((await world.feed(second))?.kind, 'refused')
  assert.equal((await world.feed(third))?.kind, 'active')
  assert.equal((await world.feed(first))?.kind, 'refused')
  assert.equal(presented(world), 'alice2@fabrikam.com')
})

test('RC-3 over a restart, too, no version is older than one that was in force', async () => {
  await using world = await KeeperWorld.holding()
  const first = world.server.whole()
  const second = world.server.changeFrames(alice(1))
  await world.feed(second)
  await world.restart()
  assert.equal((await world.feed(first))?.kind, 'refused')
  assert.equal((await world.feed(second))?.kind, 'refused')
  assert.equal(world.held?.version, 2)
})

test('secrets that were sealed to another relay, or for another version, are refused', async () => {
  await using world = await KeeperWorld.holding()
  const { server } = world
  assert.ok(server.enrolled !== undefined)
  server.version = 2
  const mine = server.enrolled
  server.enrolled = { ...mine, sealing: generateKeyPairSync('x25519').publicKey }
  assert.deepEqual(await world.feed(server.whole()), { kind: 'refused', remedy: 'distrust' })
  server.enrolled = mine
  assert.deepEqual(await world.feed(server.whole(manifest({ version: 5 }))), { kind: 'refused', remedy: 'distrust' })
  assert.match(world.refusals.at(-1)?.reason ?? '', /not sealed to this relay/)
})

const sequences: [what: string, frames: (whole: Buffer[]) => Buffer[]][] = [
  ['a chunk of no part', (whole) => [frame('chunk', Buffer.from('x')), ...whole]],
  ['a part twice', (whole) => [...whole.slice(0, 2), ...whole]],
  ['a part of no name', (whole) => [frame('part', Buffer.from('{}')), ...whole]],
  ['a part that is no JSON', (whole) => [frame('part', Buffer.from('{')), ...whole]],
  ['a part behind the manifest', (whole) => [...whole.slice(0, -1), whole[0] ?? Buffer.alloc(0), ...whole.slice(-1)]],
  ['a second manifest', (whole) => [...whole.slice(0, -1), ...whole.slice(-2)]],
  ['a signature of nothing', (whole) => whole.slice(-1)],
  ['a new key in the middle', (whole) => [...whole.slice(0, 2), frame('key', Buffer.from('{}')), ...whole.slice(2)]],
]
for (const [what, made] of sequences) {
  test(`frames that are in no order are no push: ${what}`, async () => {
    await using world = await KeeperWorld.holding()
    world.server.version++
    await assert.rejects(world.feed(made(world.server.whole())), FrameFault)
    assert.equal(world.held?.version, 1)
    assert.deepEqual(readdirSync(world.directory), ['snapshot-1'])
  })
}

test('heartbeats may stand anywhere', async () => {
  await using world = await KeeperWorld.holding()
  world.server.version++
  const frames = world.server.whole().flatMap((each) => [frame('heartbeat'), each])
  assert.equal((await world.feed(frames))?.kind, 'active')
})

test('parts that grow beyond their bounds end the stream before they fill the memory', async () => {
  await using world = await KeeperWorld.holding()
  const chunk = frame('chunk', Buffer.alloc(1024 * 1024 - 1))
  const frames = [frame('part', Buffer.from('{"name":"settings"}')), ...Array.from({ length: 5 }, () => chunk)]
  await assert.rejects(world.feed(frames), /too large/)
})

// ---- RC-5: sound, and wrong ----

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const short = pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)
const name = { domain: 'contoso.com', selector: 's1' }
const settingsWith = (change: Partial<PushedSettings>): Partial<Content> => ({
  settings: { ...twoTenants(25).settings, ...change },
})
const secretsWith = (change: Partial<PushedSecrets>): Partial<Content> => ({ secrets: pushedSecrets(change) })
const tenants = twoTenants(25).settings.tenants
const token = 'T'.repeat(43)

const bad: [what: string, content: Partial<Content>, reason: RegExp][] = [
  ['an unknown member', settingsWith({ extra: 1 } as object), /settings: extra: unknown key/],
  ['a tenant twice', settingsWith({ tenants: [...tenants, ...tenants] }), /tenant contoso has this id already/],
  [
    'a domain of two tenants',
    settingsWith({ tenants: tenants.map((each) => ({ ...each, acceptedDomains: CONTOSO })) }),
    /has this domain already/,
  ],
  [
    'a tenant id with a blank',
    settingsWith({ tenants: [{ id: 'a b', acceptedDomains: CONTOSO }] }),
    /tenants\[0\]\.id/,
  ],
  [
    'cleartext to another machine',
    settingsWith({
      tenants: [{ id: 'a', acceptedDomains: CONTOSO, smartHost: { host: 'mx.example', port: 25, tls: 'none' } }],
    }),
    /cleartext is accepted to a loopback address only/,
  ],
  [
    'authorities that are none',
    settingsWith({
      tenants: [
        {
          id: 'a',
          acceptedDomains: [...CONTOSO, ...FABRIKAM],
          smartHost: {
            host: 'mx.example',
            port: 25,
            tls: 'verify',
            trust: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
          },
        },
      ],
    }),
    /trust of tenant a: holds a certificate that can not be read/,
  ],
  ['a range that is none', settingsWith({ allow: ['192.0.2.0/99'] }), /allow\[0\]/],
  ['an unknown proof', settingsWith({ proof: { need: 'none' as 'token', crossTenantId: 'count' } }), /proof\.need/],
  ['a policy with an unknown key', settingsWith({ policy: { inHeader: 'full' } }), /policy\/inHeader: unknown key/],
  ['delivery by MX from a relay that has none', settingsWith({ policy: { route: 'mx' } }), /needs the section `mx`/],
  ['a DKIM key that is not there', settingsWith({ dkim: [name] }), /no key for s1\._domainkey\.contoso\.com/],
  [
    'a DKIM key that is none',
    { ...settingsWith({ dkim: [name] }), ...secretsWith({ dkim: [{ ...name, key: 'nothing' }] }) },
    /holds no private key in PEM form/,
  ],
  [
    'a DKIM key that is too short',
    { ...settingsWith({ dkim: [name] }), ...secretsWith({ dkim: [{ ...name, key: short }] }) },
    /2048 bits/,
  ],
  ['a seal without its key', settingsWith({ seal: name }), /no key for/],
  [
    'a token that is too short',
    secretsWith({ proofTokens: [{ tenant: 'contoso', direction: 'out', tokens: ['short'] }] }),
    /proofTokens\[0\]: holds a line that is no token/,
  ],
  [
    'a token of nobody',
    secretsWith({ proofTokens: [{ tenant: 'nobody', direction: 'out', tokens: [token] }] }),
    /of no tenant/,
  ],
  [
    'one token for two tenants',
    secretsWith({
      proofTokens: ['contoso', 'fabrikam'].map((tenant) => ({ tenant, direction: 'out' as const, tokens: [token] })),
    }),
    /each is for one tenant and direction/,
  ],
  [
    'three tokens at once',
    secretsWith({ proofTokens: [{ tenant: 'contoso', direction: 'in', tokens: [token, `${token}A`, `${token}B`] }] }),
    /more than the current and the previous/,
  ],
  [
    'a certificate without its key',
    secretsWith({ clientCertificates: [{ tenant: 'contoso', certificate: 'x', key: 'y' }] }),
    /holds no certificate/,
  ],
  [
    'a nonce that is none',
    secretsWith({ nonces: [{ nonce: 'X', until: '2099-01-01T00:00:00Z' }] }),
    /nonces\[0\]\.nonce/,
  ],
  [
    'a marker without a secret',
    secretsWith({ marker: { token: 'a'.repeat(20) } as PushedSecrets['marker'] }),
    /marker: secret/,
  ],
  [
    'a mapping to a domain of no tenant',
    settingsWith({ tenants: tenants.slice(0, 1) }),
    /leads to (corp\.|lab\.)?fabrikam\.com, which is no accepted domain/,
  ],
]
for (const [what, content, reason] of bad) {
  test(`RC-5 refused as a whole, with a reason: ${what}`, async () => {
    await using world = await KeeperWorld.holding()
    const before = world.snapshot.get()
    const { server } = world
    assert.ok(server.content !== undefined)
    const good = server.content
    server.content = { ...good, ...content }
    server.version++
    assert.deepEqual(await world.feed(server.whole()), { kind: 'refused', remedy: 'wait' })
    assert.match(world.refusals[0]?.reason ?? '', reason)
    assert.equal(world.snapshot.get(), before)
    server.content = good
    assert.equal((await world.feed(server.whole()))?.kind, 'active')
  })
}

test('RC-5, KM-5 a reason holds no secret and no address', async () => {
  await using world = await KeeperWorld.holding()
  const { server } = world
  const good = server.content
  assert.ok(good !== undefined)
  const secret = 'S3CRET-S3CRET-S3CRET'
  const contents: Partial<Content>[] = [
    secretsWith({ marker: { token: secret, secret } }),
    secretsWith({ proofTokens: [{ tenant: 'contoso', direction: 'out', tokens: [secret] }] }),
    secretsWith({ nonces: [{ nonce: secret, until: secret }] }),
    { ...settingsWith({ dkim: [name] }), ...secretsWith({ dkim: [{ ...name, key: secret }] }) },
    { secrets: { ...pushedSecrets(), [secret]: 1 } as PushedSecrets },
    settingsWith({ postmaster: 'not an address of Alice' }),
  ]
  for (const content of contents) {
    server.content = { ...good, ...content }
    server.version++
    assert.equal((await world.feed(server.whole()))?.kind, 'refused')
  }
  const said = JSON.stringify([world.refusals, world.log])
  // A member's name is not what it holds, but who knows what somebody took for one.
  assert.doesNotMatch(said.replaceAll(/secrets: S3CRET-S3CRET-S3CRET: unknown key/g, ''), /S3CRET|Alice/)
})

const deltas: [what: string, delta: Record<string, unknown>, reason: RegExp, remedy: string][] = [
  [
    'an entry to a domain of no tenant',
    { upsert: [{ known: ['x@evil.example'], presented: 'x@evil.example', mailbox: 'x@evil.example' }] },
    /leads to evil\.example/,
    'wait',
  ],
  [
    'a rule to a domain of no tenant',
    { domainRules: [{ from: 'contoso.com', to: 'evil.example', direction: 'out' }] },
    /leads to evil\.example/,
    'wait',
  ],
  [
    'a wildcard to a domain of no tenant',
    { wildcards: [{ from: '*.x.contoso.com', to: 'evil.example' }] },
    /leads to evil\.example/,
    'wait',
  ],
]
for (const [what, delta, reason, remedy] of deltas) {
  test(`RC-5 refused, and the next change costs no copy of the table: ${what}`, async () => {
    await using world = await KeeperWorld.holding()
    const { server } = world
    const good = server.content
    const store = world.held?.table.sizeBytes
    assert.deepEqual(await world.feed(server.changeFrames(delta)), { kind: 'refused', remedy })
    assert.match(world.refusals[0]?.reason ?? '', reason)
    assert.equal(world.held?.version, 1)
    assert.ok(good !== undefined)
    server.content = good
    server.version = 1
    assert.equal((await world.feed(server.changeFrames(alice(1))))?.kind, 'active')
    assert.ok((world.held?.table.sizeBytes ?? Infinity) <= 2 * (store ?? 0))
  })
}

test('a delta that does not fit what the relay has makes it ask for the whole', async () => {
  await using world = await KeeperWorld.holding()
  const frames = world.server.changeFrames(alice(1), {}, { part: (_, bytes) => bytes })
  const wrong = world.server.frames(
    world.server.content ?? twoTenants(25),
    { 'table-delta': Buffer.from('{"format":"causeway-mapping-delta/1"}') },
    { base: 1 },
    {},
  )
  assert.deepEqual(await world.feed(wrong), { kind: 'refused', remedy: 'whole' })
  assert.equal((await world.feed(frames))?.kind, 'active')
})

test('a mapping revision only grows, whatever the version says', async () => {
  await using world = await KeeperWorld.holding()
  const { server } = world
  assert.ok(server.content !== undefined)
  server.version = 2
  server.content = twoTenants(25, {}, { ...EXAMPLE_TABLE, version: 6 })
  assert.equal((await world.feed(server.whole()))?.kind, 'refused')
  assert.match(world.refusals[0]?.reason ?? '', /revision 6 is older than 7/)
  server.content = twoTenants(25, {}, { ...EXAMPLE_TABLE, entries: EXAMPLE_TABLE.entries.slice(1) })
  server.version = 3
  assert.equal((await world.feed(server.whole()))?.kind, 'refused')
  assert.match(world.refusals[1]?.reason ?? '', /other content, and still revision 7/)
})
