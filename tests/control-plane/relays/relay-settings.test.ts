// Settings of relays: every fault of a document told with its place, and what is pushed made of it, read by the relay's own reader. (SP-3, SP-4, RC-5)
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { makePushedProject } from '../../../mta/pushed-project.ts'
import { generateDkimKey } from '../../../control-plane/relays/dkim-key.ts'
import { isAddressRange, isLoopbackHost } from '../../../control-plane/relays/network-names.ts'
import {
  DEFAULT_DOCUMENT,
  settingsDocumentSchema,
  settingsFaults,
} from '../../../control-plane/relays/settings-document.ts'
import { toPushedSecrets, toPushedSettings } from '../../../control-plane/relays/relay-settings.ts'
import type { SettingsSource } from '../../../control-plane/relays/relay-settings.ts'
import { withFleet } from './fleet.ts'

const labels = new Set(['contoso', 'fabrikam'])
const host = { tenant: 'contoso', host: 'contoso-com.mail.protection.outlook.com' }

const faulty: [document: Record<string, unknown>, pointers: readonly string[], why: string][] = [
  [{}, [], 'the defaults are fine'],
  [{ smartHosts: [host] }, [], 'a server by its name, verified'],
  [{ smartHosts: [{ ...host, host: '127.0.0.1', port: 2525, tls: 'none' }] }, [], 'cleartext within the machine'],
  [{ smartHosts: [{ ...host, tls: 'none' }] }, ['/smartHosts/0/tls'], 'cleartext over the Internet'],
  [{ smartHosts: [{ ...host, host: '192.0.2.1' }] }, ['/smartHosts/0/tlsName'], 'an address without a name to verify'],
  [{ smartHosts: [{ ...host, host: '192.0.2.1', tlsName: 'mx.example' }] }, [], 'an address with one'],
  [
    { smartHosts: [{ ...host, host: 'no host' }, host] },
    ['/smartHosts/0/host', '/smartHosts/1/tenant'],
    'all faults, and the second of two for one tenant',
  ],
  [{ smartHosts: [{ ...host, tenant: 'other' }] }, ['/smartHosts/0/tenant'], 'a tenant that there is not'],
  [{ smartHosts: [{ ...host, trust: 'no PEM' }] }, ['/smartHosts/0/trust'], 'no certificate'],
  [
    { smartHosts: [{ ...host, trust: `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----` }] },
    ['/smartHosts/0/trust'],
    'PEM that holds no certificate',
  ],
  [
    {
      smartHosts: [
        { ...host, trust: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) },
      ],
    },
    ['/smartHosts/0/trust'],
    'KM-5: a private key, which would be shown',
  ],
  [
    { policy: { tnef: 'maybe', colour: 'red', noExtensions: ['a b'] } },
    ['/policy/tnef', '/policy/noExtensions/0', '/policy/colour'].toSorted(),
    'the policy has its own reader',
  ],
  [{ allow: ['192.0.2.0/24', '2001:db8::/32', '192.0.2.7'] }, [], 'SP-3: ranges and addresses'],
  [
    { allow: ['0.0.0.0/0', '192.0.2.0/33', 'all', '::/0'] },
    ['/allow/0', '/allow/1', '/allow/2', '/allow/3'],
    'SP-3: never everybody',
  ],
  [{ postmaster: 'nobody' }, ['/postmaster'], 'no address'],
  [{ seal: { domain: 'a b' } }, ['/seal/domain'], 'no domain'],
]
for (const [written, pointers, why] of faulty) {
  test(`a document has ${pointers.length} faults: ${why}`, () => {
    const found = settingsFaults(settingsDocumentSchema.parse(written), labels)
    assert.deepEqual(found.map(({ pointer }) => pointer).toSorted(), pointers)
  })
}

test('the schema refuses what it does not know, and ages that are none', () => {
  for (const written of [
    { other: 1 },
    { proof: { need: 'nothing' } },
    { maxTableAgeMs: 1 },
    { smartHosts: [{ ...host, port: 0 }] },
    { privacy: 'all' },
  ])
    assert.equal(settingsDocumentSchema.safeParse(written).success, false, JSON.stringify(written))
})

test('ranges and loopback hosts are told as the relay tells them', () => {
  assert.ok(
    isAddressRange('10.0.0.0/8') &&
      isAddressRange('::1') &&
      !isAddressRange('fe80::1%eth0') &&
      !isAddressRange('1.2.3.4/08'),
  )
  assert.ok(
    isLoopbackHost('localhost') &&
      isLoopbackHost('127.9.9.9') &&
      isLoopbackHost('::1') &&
      !isLoopbackHost('localhost.example'),
  )
})

async function source(): Promise<SettingsSource> {
  const [rsa, ed] = await Promise.all([generateDkimKey('rsa-2048'), generateDkimKey('ed25519')])
  const key = (domain: string, selector: string, algorithm: 'rsa-2048' | 'ed25519', pair: typeof rsa) => ({
    domain,
    selector,
    algorithm,
    privateKey: pair.privateKey,
  })
  const tenant = (label: string, acceptedDomains: string[], initialDomain?: string) => ({
    id: `tnt_${label}` as never,
    label,
    entraTenantId: `00000000-0000-0000-0000-0000000000${label.length.toString().padStart(2, '0')}`,
    acceptedDomains,
    initialDomain,
  })
  const token = (label: string, direction: 'out' | 'in', state: 'current' | 'previous', letter: string) => ({
    tenant: `tnt_${label}` as never,
    direction,
    state,
    token: letter.repeat(43),
  })
  return {
    version: 4,
    document: settingsDocumentSchema.parse({
      smartHosts: [{ ...host, port: 2525, host: '127.0.0.1', tls: 'none' }],
      seal: { domain: 'contoso.example' },
      allow: ['192.0.2.0/24', '40.92.0.0/15'],
      maxTableAgeMs: 86_400_000,
      postmaster: 'postmaster@contoso.example',
    }),
    tenants: [
      tenant('contoso', ['contoso.example', 'Contoso.Example'], 'contoso.onmicrosoft.example'),
      tenant('fabrikam', ['fabrikam.example']),
      tenant('empty', []),
    ],
    hosts: ['OUT.relay.example'],
    certificates: [],
    dkim: [key('contoso.example', 'ed', 'ed25519', ed), key('contoso.example', 'rsa', 'rsa-2048', rsa)],
    exchangeRanges: ['40.92.0.0/15'],
    proofTokens: [
      token('contoso', 'out', 'previous', 'b'),
      token('contoso', 'out', 'current', 'a'),
      token('fabrikam', 'in', 'current', 'c'),
      token('empty', 'out', 'current', 'd'),
    ],
    nonces: ['n', 'v'].map((letter) => ({ nonce: letter.repeat(32), until: new Date('2026-12-01T00:00:00Z') })),
    runs: [
      {
        kind: 'probe',
        nonce: 'n'.repeat(32),
        tenant: 'tnt_contoso' as never,
        direction: 'out',
        host: 'Out.Relay.Example',
      },
      {
        kind: 'validation',
        nonce: 'v'.repeat(32),
        tenant: 'tnt_contoso' as never,
        direction: 'in',
        host: 'in.relay.example',
      },
      {
        kind: 'probe',
        nonce: 'n'.repeat(32),
        tenant: 'tnt_empty' as never,
        direction: 'out',
        host: 'out.relay.example',
      },
    ],
    marker: { token: 'm'.repeat(32), secret: 's'.repeat(43) },
  }
}

test('RC-5: what is pushed is taken by the relay: tenants with domains only, current tokens before previous ones, keys for what is signed', async () => {
  const made = await source()
  const settings = toPushedSettings(made)
  const secrets = toPushedSecrets(made)
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const project = makePushedProject(json(settings), json(secrets), { hasMx: false })
  assert.deepEqual([...project.acceptedDomains].toSorted(), [
    'contoso.example',
    'contoso.onmicrosoft.example',
    'fabrikam.example',
  ])
  assert.equal(project.version, 4)
  assert.deepEqual(
    settings.tenants.map(({ id }) => id),
    ['contoso', 'fabrikam'],
  )
  assert.deepEqual(settings.allow, ['40.92.0.0/15', '192.0.2.0/24'])
  assert.deepEqual(secrets.proofTokens, [
    { tenant: 'contoso', direction: 'out', tokens: ['a'.repeat(43), 'b'.repeat(43)] },
    { tenant: 'fabrikam', direction: 'in', tokens: ['c'.repeat(43)] },
  ])
  assert.deepEqual([settings.seal?.selector, secrets.seal?.selector], ['rsa', 'rsa'], 'RFC 8617 knows rsa-sha256 only')
  assert.equal(project.project.signing.seal === undefined, false)
  assert.ok(!JSON.stringify(settings).includes('PRIVATE KEY'))
  const probe = { nonce: 'n'.repeat(32), tenant: 'contoso', direction: 'out', host: 'out.relay.example' }
  assert.deepEqual(secrets.probes, [probe], 'neither validations nor tenants that can send nothing')
  assert.deepEqual(project.project.probes, [probe])
  assert.deepEqual(project.project.hosts, ['in.relay.example', 'out.relay.example'])
})

test('RC-5: a project that has nothing yet is a push that a relay takes', () => {
  const bare = {
    version: 0,
    document: DEFAULT_DOCUMENT,
    tenants: [],
    hosts: [],
    certificates: [],
    dkim: [],
    exchangeRanges: [],
    proofTokens: [],
    nonces: [],
    runs: [],
    marker: { token: 'm'.repeat(32), secret: 's'.repeat(43) },
  }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const project = makePushedProject(json(toPushedSettings(bare)), json(toPushedSecrets(bare)), { hasMx: false })
  assert.equal(project.acceptedDomains.size, 0)
})

test('a document is replaced against the version that was read, kept with its history, and told to the relays', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const path = `${it.path}/relay-settings`
    const request = (method: string, url: string, body?: unknown, ifMatch?: string) =>
      it.api.request(method, url, body, {
        key: it.key,
        ...(ifMatch === undefined ? {} : { headers: { 'If-Match': ifMatch } }),
      })
    const first = await request('GET', path)
    assert.deepEqual([first.body.version, first.body.settings, first.headers.get('etag')], [0, DEFAULT_DOCUMENT, '"0"'])
    const document = { smartHosts: [{ tenant: 'contoso', host: '127.0.0.1', tls: 'none' }], privacy: 'plain' }
    assert.equal((await request('PUT', path, document)).status, 428)
    const put = await request('PUT', path, document, '"0"')
    assert.equal(put.status, 200)
    assert.equal((await request('PUT', path, document, '"0"')).status, 412)
    const bad = await request(
      'PUT',
      path,
      { ...document, postmaster: 'x', allow: ['x'] },
      put.headers.get('etag') ?? '',
    )
    assert.deepEqual([bad.status, bad.body.faults.length], [400, 2])

    const relay = await it.relay()
    await relay.open()
    const held = await relay.untilVersion((await it.versions()).snapshot)
    assert.equal(held.settings.privacy, 'plain')
    assert.ok(held.settings.version >= put.body.version, 'proof tokens were made since')
    assert.deepEqual(held.settings.tenants[0]?.smartHost, { host: '127.0.0.1', port: 25, tls: 'none' })
    await relay.report()
    assert.match(String((await request('GET', path)).body.appliedAt), /^\d{4}-/)

    const next = await request('PUT', path, {}, put.headers.get('etag') ?? '')
    assert.equal(next.body.appliedAt, undefined)
    const versions = await request('GET', `${path}/versions?limit=1`)
    assert.deepEqual(
      versions.body.items.map(({ version }: { version: number }) => version),
      [next.body.version],
    )
    const rest = await request('GET', String(versions.body.next).replace('/api/v1', ''))
    assert.deepEqual(
      rest.body.items.map(({ version }: { version: number }) => version),
      [put.body.version],
    )
    const old = await request('GET', `${path}/versions/${put.body.version}`)
    assert.equal(old.body.settings.privacy, 'plain')
    assert.equal((await request('GET', `${path}/versions/999`)).status, 404)
    assert.equal((await request('GET', `${path}/versions/x`)).status, 404)
  }))

test('of two who change the document at once one is told to look again', (t) =>
  withFleet(t, {}, async (it) => {
    const put = (postmaster: string) =>
      it.api.request(
        'PUT',
        `${it.path}/relay-settings`,
        { postmaster },
        { key: it.key, headers: { 'If-Match': '"0"' } },
      )
    const all = await Promise.all(Array.from({ length: 5 }, (_, index) => put(`p${index}@contoso.example`)))
    assert.deepEqual(
      all.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 412, 412, 412, 412],
    )
  }))
