// The configuration of a relay that Exchange Online points at, and everything that would make it open: SP-2, SP-8, SP-10.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSettings, SettingsFault } from '../../mta/settings.ts'
import { smartHosts } from '../../mta/route-names.ts'

const PRODUCTION = `name: relay.contoso.example
certificates:
  - { certificate: tls/relay.pem, key: tls/relay.key }
listeners:
  - { address: 0.0.0.0, port: 25, tls: starttls, allow: [40.92.0.0/15] }
table: { file: table.json }
spool: { directory: spool, key: { file: spool.key } }
tenants:
  - id: contoso
    tenantId: 11111111-2222-3333-4444-555555555555
    acceptedDomains: [Contoso.example, contoso.onmicrosoft.com]
    smartHost: { host: contoso-example.mail.protection.outlook.com, tls: verify }
    clientCertificate: { certificate: tls/contoso.pem, key: tls/contoso.key }
    proofTokens: { out: { file: tokens/contoso-out }, in: { file: tokens/contoso-in } }
  - id: fabrikam
    acceptedDomains: [fabrikam.example]
    smartHost: { host: fabrikam-example.mail.protection.outlook.com, tls: verify }
    proofTokens: { in: { file: tokens/fabrikam-in } }
dkim:
  - { domain: fabrikam.example, selector: s1, key: { file: dkim/fabrikam.pem } }
seal: { domain: relay.contoso.example, selector: arc, key: { file: dkim/arc.pem } }
`

const parse = (source: string) => parseSettings('/etc/causeway/relay.yaml', source, 'host.example')

function faultsOf(source: string): string {
  try {
    parse(source)
  } catch (error) {
    assert.ok(error instanceof SettingsFault, String(error))
    return error.message
  }
  throw new assert.AssertionError({ message: 'it was taken' })
}

function changed(...changes: [from: string, to: string][]): string {
  return changes.reduce((source, [from, to]) => {
    assert.ok(source.includes(from), from)
    return source.replace(from, to)
  }, PRODUCTION)
}

test('a production configuration is taken, every path absolute and every domain normal', () => {
  const settings = parse(PRODUCTION)
  assert.deepEqual(settings.warnings, [])
  assert.equal(settings.requireTls, true)
  assert.deepEqual(settings.listeners[0]?.clientNames, ['mail.protection.outlook.com'])
  assert.equal(settings.listeners[0].direction, undefined)
  assert.deepEqual(settings.tenants?.[0]?.acceptedDomains, ['contoso.example', 'contoso.onmicrosoft.com'])
  assert.deepEqual(settings.tenants[0].clientCertificate, {
    certificate: '/etc/causeway/tls/contoso.pem',
    key: '/etc/causeway/tls/contoso.key',
  })
  assert.equal(settings.tenants[0].smartHost.port, 25)
  assert.deepEqual(settings.dkim[0]?.key, { file: '/etc/causeway/dkim/fabrikam.pem' })
  assert.deepEqual(Object.keys(smartHosts(settings)), ['tenant:contoso', 'tenant:fabrikam'])
})

const MX = `mx:
  resolver: { servers: [127.0.0.1, '127.0.0.1:5353', '::1', '[::1]:5353'] }
  dane: true
  allowPrivate: [10.25.0.0/24]
  tlsReports: { directory: reports, contact: postmaster@contoso.example }
`

test('DL-7: delivery by MX has its resolver, policies and exceptions', () => {
  assert.equal(parse(PRODUCTION).mx, undefined)
  assert.deepEqual(parse(PRODUCTION + MX).mx, {
    resolver: {
      servers: [
        { address: '127.0.0.1', port: 53 },
        { address: '127.0.0.1', port: 5353 },
        { address: '::1', port: 53 },
        { address: '::1', port: 5353 },
      ],
      trustedPath: false,
    },
    port: 25,
    dane: true,
    mtaSts: true,
    mtaStsCache: { file: '/etc/causeway/mta-sts.json' },
    allowPrivate: ['10.25.0.0/24'],
    trust: undefined,
    tlsReports: { directory: '/etc/causeway/reports', contact: 'postmaster@contoso.example' },
  })
})

const faultyMx: [from: string, to: string, fault: RegExp, why: string][] = [
  [
    '127.0.0.1,',
    '192.0.2.53,',
    /mx\.dane: .*needs `mx\.resolver` with servers on loopback/,
    'AD can be forged on the way',
  ],
  [
    "  resolver: { servers: [127.0.0.1, '127.0.0.1:5353', '::1', '[::1]:5353'] }\n",
    '',
    /mx\.dane: .*needs/,
    'whoever it may be',
  ],
  ['127.0.0.1,', "'127.0.0.1:0',", /mx\.resolver\.servers\[0\]/, 'no port'],
  ['127.0.0.1,', "'[127.0.0.1]:53',", /mx\.resolver\.servers\[0\]/, 'no IPv6 address'],
  ['127.0.0.1,', 'resolver.example,', /mx\.resolver\.servers\[0\]/, 'a name would need a resolver'],
  ['10.25.0.0/24', '10.25.0.0/33', /mx\.allowPrivate\[0\]/, 'no range'],
]
for (const [from, to, fault, why] of faultyMx) {
  test(`mx: ${from.trim()} as ${to || 'nothing'} is refused: ${why}`, () => {
    assert.ok(MX.includes(from))
    assert.match(faultsOf(PRODUCTION + MX.replace(from, to)), fault)
  })
}

test('DANE may believe a distant resolver where the operator vouches for the way to it', () => {
  const trusted = MX.replace('127.0.0.1,', '192.0.2.53,').replace('] }\n', '], trustedPath: true }\n')
  assert.equal(parse(PRODUCTION + trusted).mx?.resolver?.trustedPath, true)
})

const refused: [change: [from: string, to: string][], fault: RegExp, why: string][] = [
  [[['tls: starttls', 'tls: none']], /:5: listeners\[0\]\.address: .*open relay/, 'SP-8: cleartext outside'],
  [
    [['certificates:\n  - { certificate: tls/relay.pem, key: tls/relay.key }\n', '']],
    /:3: listeners\[0\]\.tls: .*needs `certificates`/,
    'no built-in certificate',
  ],
  [[['name:', 'requireTls: false\nname:']], /:6: listeners\[0\]\.address: .*SP-10/, 'SP-10: TLS only'],
  [
    [
      ['proofTokens: { out: { file: tokens/contoso-out }, in: { file: tokens/contoso-in } }', 'proofTokens:'],
      ['proofTokens: { in: { file: tokens/fabrikam-in } }', 'proofTokens:'],
    ],
    /:5: listeners\[0\]\.direction: is missing; no tenant has/,
    'R5: nothing tells the direction',
  ],
  [
    [['name:', 'proof: { need: dkim }\nname:']],
    /:6: listeners\[0\]\.direction: .*no token tells it/,
    'R5: DKIM has no direction',
  ],
  [
    [
      ['tls: starttls,', 'tls: starttls, direction: out,'],
      ['out: { file: tokens/contoso-out }, ', ''],
    ],
    /:5: listeners\[0\]\.direction: .*proofTokens\.out/,
    'SP-4: no proof could ever hold',
  ],
  [
    [
      [
        'contoso-example.mail.protection.outlook.com, tls: verify',
        'contoso-example.mail.protection.outlook.com, tls: none',
      ],
    ],
    /:12: tenants\[0\]\.smartHost\.tls: .*tls: verify/,
    'DL-1: never cleartext towards a tenant',
  ],
  [
    [['host: fabrikam-example.mail.protection.outlook.com', 'host: 192.0.2.1']],
    /:17: tenants\[1\]\.smartHost\.tlsName: is missing/,
    'DL-1: nothing to verify',
  ],
  [
    [['[fabrikam.example]', '[fabrikam.example, CONTOSO.example]']],
    /:16: tenants\[1\]\.acceptedDomains\[1\]: .*tenant contoso has this domain/,
    'one owner a domain',
  ],
  [[['id: fabrikam', 'id: contoso']], /:15: tenants\[1\]\.id/, 'two tenants of a name'],
  [
    [
      [
        'name:',
        'routes: { owner-tenant: { kind: smart-host, host: 127.0.0.1, tls: none }, mailbox: { kind: smart-host, host: 127.0.0.1, tls: none } }\nname:',
      ],
    ],
    /:1: routes: stands beside `tenants`/,
    'one of them',
  ],
  [
    [['allow: [40.92.0.0/15]', 'staticPeers: [{ address: 192.0.2.1, fingerprint: "00:11" }]']],
    /fingerprint: "00:11": must be a SHA-256/,
    'a whole fingerprint',
  ],
  [
    [
      [
        'clientCertificate: { certificate: tls/contoso.pem, key: tls/contoso.key }',
        'clientCertificate: { certificate: tls/contoso.pem }',
      ],
    ],
    /:13: tenants\[0\]\.clientCertificate\.key: is missing/,
    'both files',
  ],
  [[['selector: s1', 'selector: a_b']], /:20: dkim\[0\]\.selector/, 'no selector'],
  [
    [['tls: starttls,', 'tls: starttls, clientNames: ["*.outlook.com"],']],
    /clientNames\[0\]: "\*\.outlook\.com"/,
    'SP-3: no wildcards',
  ],
  [[['tls: starttls,', 'tls: starttls, clientNames: [],']], /clientNames: must be a list/, 'nobody could come in'],
]
for (const [change, fault, why] of refused) {
  test(`refused: ${why}`, () => assert.match(faultsOf(changed(...change)), fault))
}

test('SP-2: a listener outside this machine without tenants is refused, and says what to write', () => {
  const source = `listeners:
  - { address: "::", port: 25, direction: out, tls: starttls, allow: [40.92.0.0/15] }
certificates: [{ certificate: a.pem, key: a.key }]
table: { file: table.json }
spool: { directory: spool, key: { file: spool.key } }
routes:
  owner-tenant: { kind: smart-host, host: mx.example, port: 25, tls: verify }
  mailbox:      { kind: smart-host, host: mx.example, port: 25, tls: verify }
`
  assert.match(faultsOf(source), /:2: listeners\[0\]\.address: .*needs `tenants`/)
})
