import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { DEFAULT_LIMITS } from '../../mta/limits.ts'
import { loadSettings, parseSettings, SettingsFault } from '../../mta/settings.ts'
import { DEFAULT_POLICY } from '../../rewrite-rules/index.ts'

/** As product.md §8 prints it. */
const MINIMAL = `listeners:
  - { address: 127.0.0.1, port: 2525, direction: out, tls: none, allow: [127.0.0.0/8] }
  - { address: 127.0.0.1, port: 2526, direction: in,  tls: none, allow: [127.0.0.0/8] }
table: { file: table.json }
spool: { directory: spool, key: { file: spool.key } }      # root key of KM-1; made, 0600, when missing and the spool is empty
routes:
  owner-tenant: { kind: smart-host, host: 127.0.0.1, port: 2900, tls: none }   # default route of \`out\`
  mailbox:      { kind: smart-host, host: 127.0.0.1, port: 2900, tls: none }   # \`in\`: the tenant that holds the mailbox; rewriting.md §13
metrics: { address: 127.0.0.1, port: 9465 }                # /metrics /healthz /readyz
workers: 1
`

function parse(source: string) {
  return parseSettings('/etc/causeway/relay.yaml', source, 'relay.contoso.example')
}

function faultsOf(source: string): string {
  try {
    parse(source)
  } catch (error) {
    assert.ok(error instanceof SettingsFault, String(error))
    return error.message
  }
  throw new assert.AssertionError({ message: 'it was taken' })
}

test('the minimal configuration is taken as it is printed, every default filled in', () => {
  const settings = parse(MINIMAL)
  const hop = {
    kind: 'smart-host',
    host: '127.0.0.1',
    port: 2900,
    tls: 'none',
    tlsName: undefined,
    trust: undefined,
  }
  const listener = {
    address: '127.0.0.1',
    tls: 'none',
    allow: ['127.0.0.0/8'],
    clientNames: ['mail.protection.outlook.com'],
    staticPeers: [],
  }
  assert.deepEqual(settings, {
    file: '/etc/causeway/relay.yaml',
    name: 'relay.contoso.example',
    project: undefined,
    listeners: [
      { ...listener, port: 2525, direction: 'out' },
      { ...listener, port: 2526, direction: 'in' },
    ],
    certificates: [],
    clientTrust: undefined,
    requireTls: true,
    table: { file: '/etc/causeway/table.json' },
    controlPlane: undefined,
    spool: { directory: '/etc/causeway/spool', key: { file: '/etc/causeway/spool.key' }, project: 'relay' },
    routes: { 'owner-tenant': hop, mailbox: hop },
    tenants: undefined,
    mx: undefined,
    proof: { need: 'token', crossTenantId: 'count' },
    nonces: undefined,
    dkim: [],
    seal: undefined,
    metrics: { address: '127.0.0.1', port: 9465 },
    workers: 1,
    marker: { file: '/etc/causeway/marker.json' },
    policy: DEFAULT_POLICY,
    limits: DEFAULT_LIMITS,
    retry: {
      firstWaits: [60_000, 300_000, 900_000, 1_800_000],
      thenWait: 3_600_000,
      thenUntilAge: 21_600_000,
      lastWait: 10_800_000,
      giveUpAfter: 432_000_000,
      giveUpNullSenderAfter: 172_800_000,
      warnAfter: 14_400_000,
    },
    journal: { keepDays: 30, maxDayBytes: 2 ** 31 },
    privacy: 'hashed',
    postmaster: undefined,
    log: { level: 'info' },
    warnings: [],
  })
})

test('the example in the repository is the minimal configuration', async () => {
  const file = fileURLToPath(new URL('../../examples/relay.yaml', import.meta.url))
  const { file: _, ...settings } = await loadSettings(file, 'relay.contoso.example')
  const { file: __, ...printed } = parseSettings(join(dirname(file), 'x'), MINIMAL, 'relay.contoso.example')
  assert.deepEqual(settings, printed)
})

test('JSON is read as well', () => {
  const hop = { kind: 'smart-host', host: '127.0.0.1', port: 25, tls: 'none' }
  const source = JSON.stringify({
    listeners: [{ address: '::1', port: 0, direction: 'in', tls: 'none', allow: ['::1'] }],
    table: { file: '/srv/table.csv' },
    spool: { directory: '/var/spool/causeway', key: { file: '../key' } },
    routes: { 'owner-tenant': hop, mailbox: hop },
  })
  const settings = parse(source)
  assert.deepEqual(
    [settings.table?.file, settings.spool.key.file, settings.marker.file],
    ['/srv/table.csv', '/etc/key', '/etc/marker.json'],
  )
  assert.equal(settings.metrics, undefined)
})

/** The minimal configuration with one line more, or one text in place of another. */
function changed(from: string, to: string): string {
  assert.ok(MINIMAL.includes(from))
  return MINIMAL.replace(from, to)
}

const taken: [source: string, read: (settings: ReturnType<typeof parse>) => unknown, value: unknown, why: string][] = [
  [
    `${MINIMAL}name: Relay.Contoso.Example.\n`,
    (s) => s.name,
    'relay.contoso.example',
    'a name goes on the wire in lower case',
  ],
  [`${MINIMAL}project: p1\n`, (s) => [s.project, s.spool.project], ['p1', 'p1'], 'a project is a name'],
  [`${MINIMAL}privacy: off\n`, (s) => s.privacy, 'off', 'YAML 1.2: off is a text'],
  [`${MINIMAL}log: { level: debug }\n`, (s) => s.log.level, 'debug', ''],
  [`${MINIMAL}postmaster: ops@contoso.example\n`, (s) => s.postmaster, 'ops@contoso.example', ''],
  [
    `${MINIMAL}marker: { file: secrets/marker.json }\n`,
    (s) => s.marker.file,
    '/etc/causeway/secrets/marker.json',
    'relative paths count from the file',
  ],
  [`${MINIMAL}policy: { inHeaders: envelope-only }\n`, (s) => s.policy.inHeaders, 'envelope-only', 'rewriting.md §13'],
  [`${MINIMAL}policy:\n`, (s) => s.policy, DEFAULT_POLICY, 'a section with everything commented out is empty'],
  [`${MINIMAL}limits:\n`, (s) => s.limits, DEFAULT_LIMITS, 'likewise'],
  [`${MINIMAL}limits: { idleMs: 100 }\n`, (s) => s.limits.idleMs, 100, 'the others keep their defaults'],
  [`${MINIMAL}limits: { recipientsPerMessage: 100 }\n`, (s) => s.limits.recipientsPerMessage, 100, 'the fixed minimum'],
  [`${MINIMAL}limits: { maxTableAge: 72h }\n`, (s) => s.limits.maxTableAgeMs, 259_200_000, 'a duration'],
  [`${MINIMAL}limits: { maxTableAge: 90 }\n`, (s) => s.limits.maxTableAgeMs, 90_000, 'a number is seconds'],
  [
    `${MINIMAL}retry: { firstWaits: [2s, 1 min], giveUpAfter: 4d }\n`,
    (s) => s.retry.firstWaits,
    [2_000, 60_000],
    'durations',
  ],
  [
    changed(', allow: [127.0.0.0/8] }\n  - ', ' }\n  - '),
    (s) => s.listeners[0]?.allow,
    [],
    'nobody may connect (SP-3)',
  ],
  [
    changed('127.0.0.1, port: 2525', '127.9.9.9, port: 2525'),
    (s) => s.listeners[0]?.address,
    '127.9.9.9',
    'all of 127/8 is loopback',
  ],
  [changed('port: 2526', 'port: 0'), (s) => s.listeners[1]?.port, 0, 'any free port'],
  [
    changed('host: 127.0.0.1, port: 2900, tls: none', 'host: MX.München.Example, port: 25, tls: verify'),
    (s) => s.routes?.['owner-tenant'].host,
    'mx.xn--mnchen-3ya.example',
    'a name in A-labels',
  ],
]
for (const [source, read, value, why] of taken) {
  test(`taken: ${source.replace(MINIMAL, '').trim().split('\n')[0]} ${why}`, () => {
    assert.deepEqual(read(parse(source)), value)
  })
}

const refused: [source: string, fault: RegExp, why: string][] = [
  [
    `${MINIMAL}colour: blue\n`,
    /^\/etc\/causeway\/relay\.yaml:11: colour: unknown key; known here: name, /,
    'an unknown key',
  ],
  [changed('port: 2525', 'port: 2525, Port: 1'), /:2: listeners\[0\]\.Port: unknown key/, 'keys have a case'],
  [`${MINIMAL}workers: 1\n`, /:11: the same key stands twice/, 'a key twice'],
  [
    changed('port: 2525', 'port: 65536'),
    /:2: listeners\[0\]\.port: 65536: must be: integer, 0 to 65,535/,
    'one past the limit',
  ],
  [changed('port: 2525', 'port: "2525"'), /:2: listeners\[0\]\.port: "2525": must be/, 'a text is no number'],
  [changed('port: 2525', 'port: -1'), /listeners\[0\]\.port/, 'below the limit'],
  [changed('port: 2900', 'port: 0'), /routes\.owner-tenant\.port/, 'a next hop has a port'],
  [changed('port: 2525, ', ''), /:2: listeners\[0\]\.port: is missing/, 'a needed key'],
  [
    changed('direction: out, ', ''),
    /:2: listeners\[0\]\.direction: is missing; only the proof tokens/,
    'a direction is never guessed',
  ],
  [changed('direction: out', 'direction: outbound'), /must be `out` or `in`/, 'the words are fixed'],
  [changed('table: { file: table.json }\n', ''), /relay\.yaml:1: table: is missing/, 'a needed section'],
  [changed('table: { file: table.json }', 'table:'), /:4: table\.file: is missing/, 'an empty section'],
  [
    changed('table: { file: table.json }', 'table: table.json'),
    /:4: table: must be a section with the keys file$/,
    'its value is not shown',
  ],
  [
    changed('host: 127.0.0.1', 'host: "mx example"'),
    /routes\.owner-tenant\.host: "mx example": must be a host name/,
    'no host name',
  ],
  [changed('[127.0.0.0/8]', '[127.0.0.0/33]'), /listeners\[0\]\.allow\[0\]: "127\.0\.0\.0\/33"/, 'no address range'],
  [changed('[127.0.0.0/8]', '127.0.0.0/8'), /listeners\[0\]\.allow: .*must be a list/, 'a list'],
  [changed('workers: 1', 'workers: 0'), /:10: workers: 0/, 'none'],
  [changed('workers: 1', 'workers: 65'), /:10: workers: 65/, 'more than a machine has use for'],
  [`${MINIMAL}tenants: []\n`, /:11: tenants: must be a list of section, at least 1/, 'no tenant'],
  [`${MINIMAL}mx: {}\n`, /:11: mx: .*needs `tenants`/, 'all mail goes to one server a direction'],
  [`${MINIMAL}policy: { route: mx }\n`, /:11: policy\.route: "mx": needs the section `mx`/, 'nobody delivers it'],
  [`${MINIMAL}controlPlane: { url: x }\n`, /:11: controlPlane\.url: "x": must be a URL/, 'no URL'],
  [
    `${MINIMAL}policy: { route: return }\n`,
    /:11: policy\.route: "return": needs `tenants`/,
    'nobody knows who sent it',
  ],
  [`${MINIMAL}policy: { tnef: maybe }\n`, /:11: policy\.tnef/, 'a value that is none'],
  [`${MINIMAL}policy: { colour: blue }\n`, /:11: policy\.colour/, 'an unknown key'],
  [
    `${MINIMAL}limits: { recipientsPerMessage: 99 }\n`,
    /limits\.recipientsPerMessage: 99: must be: integer, 100 to/,
    'RFC 5321 §4.5.3.1.8',
  ],
  [`${MINIMAL}limits: { stressOnRatio: 1.1 }\n`, /limits\.stressOnRatio/, 'a share'],
  [`${MINIMAL}limits: { maxTableAge: 3 fortnights }\n`, /limits\.maxTableAge/, 'no unit of ours'],
  [`${MINIMAL}limits: { maxTableAge: 59s }\n`, /limits\.maxTableAge.*1min to 3650d/, 'below its bound'],
  [`${MINIMAL}retry: { firstWaits: [] }\n`, /retry\.firstWaits: must be a list.*at least 1/, 'one wait at least'],
  [`${MINIMAL}privacy: none\n`, /:11: privacy: "none": must be `hashed` or `off` or `plain`/, 'not one of the three'],
  [`${MINIMAL}postmaster: ops\n`, /:11: postmaster/, 'no address'],
  [`${MINIMAL}project: a b\n`, /:11: project/, 'a name has no space'],
  [`${MINIMAL}name: under_score\n`, /:11: name/, 'no host name'],
  [`${MINIMAL}log: &a { level: info }\nretry: *a\n`, /anchors and aliases are not read/, 'they would make lines lie'],
  [
    changed('port: 2526', 'port: 2525'),
    /:3: listeners\[1\]: 127\.0\.0\.1 port 2525: another listener has this/,
    'it could not be bound',
  ],
  ['', /listeners: is missing/, 'an empty file'],
  ['just text', /must be a section with the keys/, 'no section'],
  ['a: [', /:1/, 'no YAML'],
  ['\t- x: {', /relay\.yaml/, 'no YAML'],
  ['listeners: !!js/function "x"\n', /relay\.yaml:1: .*tag/i, 'no tags'],
]
for (const [source, fault, why] of refused) {
  test(`refused: ${source.replace(MINIMAL, '').slice(0, 60).split('\n')[0]}: ${why}`, () => {
    assert.match(faultsOf(source), fault)
  })
}

test('all faults of a file are told at once, each on its line', () => {
  const source = changed('port: 2525', 'port: 99999, colour: blue')
    .replace('workers: 1', 'workers: 0.5')
    .replace('host: 127.0.0.1', 'host: ""')
  assert.deepEqual(
    faultsOf(source)
      .split('\n')
      .map((line) => line.split(': ').slice(0, 2).join(': ')),
    [
      '/etc/causeway/relay.yaml:2: listeners[0].colour',
      '/etc/causeway/relay.yaml:2: listeners[0].port',
      '/etc/causeway/relay.yaml:7: routes.owner-tenant.host',
      '/etc/causeway/relay.yaml:10: workers',
    ],
  )
})

const open = [
  '0.0.0.0',
  '::',
  '192.0.2.1',
  '10.0.0.1',
  '126.255.255.255',
  '128.0.0.1',
  '::2',
  'fe80::1',
  '::ffff:192.0.2.1',
]
for (const address of open) {
  test(`SP-8 a listener on ${address} is refused in words: it would be an open relay`, () => {
    const source = changed('address: 127.0.0.1, port: 2525', `address: "${address}", port: 2525`)
    assert.match(faultsOf(source), /:2: listeners\[0\]\.address: .*loopback addresses only.*open relay/)
  })
}

test('mail that leaves the machine in cleartext is refused, a host without a usable name is warned of', () => {
  const source = changed('host: 127.0.0.1', 'host: mx.example')
  assert.match(
    faultsOf(source),
    /:7: routes\.owner-tenant\.tls: "none": cleartext is accepted to a loopback address only/,
  )
  const settings = parseSettings('/x', MINIMAL, 'under_score')
  assert.equal(settings.name, 'localhost')
  assert.equal(settings.warnings.length, 1)
})

test('KM-5 a secret written where its file belongs is not repeated', () => {
  const source = changed('key: { file: spool.key }', 'key: 0123456789abcdef').replace('workers: 1', 'password: hunter2')
  assert.doesNotMatch(faultsOf(source), /0123456789|hunter2/)
})

const files: [name: string, content: Buffer | undefined, fault: RegExp][] = [
  ['missing.yaml', undefined, /missing\.yaml: can't be read \(ENOENT\)/],
  ['latin1.yaml', Buffer.from('name: caf\xe9\n', 'latin1'), /is not UTF-8/],
  ['large.yaml', Buffer.alloc(1024 * 1024 + 1, '#'), /is larger than 1 MiB/],
]
for (const [name, content, fault] of files) {
  test(`a file that can't be used (${name}) is a fault, not a crash`, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'causeway-settings-'))
    context.after(() => rmSync(folder, { recursive: true }))
    if (content !== undefined) writeFileSync(join(folder, name), content)
    await assert.rejects(
      loadSettings(join(folder, name)),
      (error) => error instanceof SettingsFault && fault.test(error.message),
    )
  })
}

test('a file of 1 MiB is read', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'causeway-settings-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'relay.yaml')
  writeFileSync(file, `${MINIMAL}${'#'.repeat(1024 * 1024 - Buffer.byteLength(MINIMAL))}`)
  assert.equal(readFileSync(file).length, 1024 * 1024)
  assert.equal((await loadSettings(file)).workers, 1)
})

test('whatever stands in the file, it is taken or its faults are told', () => {
  const lines = MINIMAL.split('\n')
  const mangled = fc.array(
    fc.oneof(fc.constantFrom(...lines), fc.string({ unit: 'binary', maxLength: 40 }), fc.json()),
    { maxLength: 14 },
  )
  fc.assert(
    fc.property(mangled, (pieces) => {
      try {
        parse(pieces.join('\n'))
      } catch (error) {
        assert.ok(error instanceof SettingsFault, String(error))
        assert.ok(error.faults.length > 0)
      }
    }),
    { numRuns: 500 },
  )
})

test('deep nesting is a fault, not a crash', () => {
  assert.match(faultsOf('['.repeat(100_000)), /relay\.yaml/)
})
