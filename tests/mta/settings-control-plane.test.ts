// `controlPlane` in place of `table` (product.md §8): what it takes, and what may not stand beside it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasControlPlane, parseSettings } from '../../mta/settings.ts'
import { SettingsFault } from '../../mta/settings-fault.ts'

const FILE = '/etc/causeway/relay.yaml'
const MINIMAL = `listeners:
  - { address: 127.0.0.1, port: 2525, direction: out, tls: none, allow: [127.0.0.0/8] }
spool: { directory: /var/spool/causeway, key: { file: spool.key } }
controlPlane:
  url: https://causeway.example
  enrolmentCode: abcd-1234
`

const parse = (source: string) => parseSettings(FILE, source, 'relay.example')

function faultOf(source: string): string {
  try {
    parse(source)
  } catch (error) {
    assert.ok(error instanceof SettingsFault)
    return error.message
  }
  throw new Error('it was taken')
}

test('an enrolment code and a URL are all a relay needs beside its listeners and its spool', () => {
  const settings = parse(MINIMAL)
  assert.ok(hasControlPlane(settings))
  assert.deepEqual(settings.controlPlane, {
    url: 'https://causeway.example',
    enrolmentCode: { code: 'abcd-1234' },
    state: { directory: '/var/spool/causeway/control-plane' },
    trust: undefined,
    clientCertificate: undefined,
    eventBufferBytes: 64 * 1024 * 1024,
  })
  assert.equal(settings.table, undefined)
})

test('a code may stand in a file, state and authorities elsewhere; paths count from the configuration', () => {
  const settings = parse(
    MINIMAL.replace('abcd-1234', '{ file: code }') + '  state: { directory: state }\n  trust: { file: ca.pem }\n',
  )
  assert.deepEqual(settings.controlPlane?.enrolmentCode, { file: '/etc/causeway/code' })
  assert.deepEqual(settings.controlPlane.state, { directory: '/etc/causeway/state' })
  assert.deepEqual(settings.controlPlane.trust, { file: '/etc/causeway/ca.pem' })
})

const urls: [url: string, taken: string | undefined, why: string][] = [
  ['https://causeway.example/', 'https://causeway.example', 'a slash at the end says nothing'],
  ['https://causeway.example:8443/base/', 'https://causeway.example:8443/base', 'behind a proxy, with a path'],
  ['http://127.0.0.1:3000', 'http://127.0.0.1:3000', 'nobody but this machine is there'],
  ['http://[::1]:3000', 'http://[::1]:3000', 'likewise'],
  ['http://localhost:3000', 'http://localhost:3000', 'likewise'],
  ['http://causeway.example', undefined, 'RC-1: over HTTPS'],
  ['http://127.0.0.1.example', undefined, 'that is another machine'],
  ['ftp://causeway.example', undefined, 'another protocol'],
  ['https://user:secret@causeway.example', undefined, 'no secrets in URLs (KM-5)'],
  ['https://causeway.example/?a=b', undefined, 'the relay writes the query'],
  ['https://causeway.example/#a', undefined, 'no fragment'],
  ['causeway.example', undefined, 'no URL'],
]
for (const [url, taken, why] of urls) {
  test(`controlPlane.url ${url}: ${why}`, () => {
    const source = MINIMAL.replace('https://causeway.example', JSON.stringify(url))
    if (taken === undefined) assert.match(faultOf(source), /:5: controlPlane\.url: .*must be a URL/)
    else assert.equal(parse(source).controlPlane?.url, taken)
  })
}

const HOP = '{ kind: smart-host, host: 127.0.0.1, port: 25, tls: none }'
const beside: [written: string, key: string][] = [
  ['table: { file: table.json }', 'table'],
  ['project: p1', 'project'],
  [`routes: { owner-tenant: ${HOP}, mailbox: ${HOP} }`, 'routes'],
  ['tenants: [{ id: a, acceptedDomains: [a.example], smartHost: { host: 127.0.0.1, tls: none } }]', 'tenants'],
  ['proof: { need: token }', 'proof'],
  ['nonces: { file: nonces.json }', 'nonces'],
  ['dkim: []', 'dkim'],
  ['seal: { domain: a.example, selector: s1, key: { file: key.pem } }', 'seal'],
  ['marker: { file: marker.json }', 'marker'],
  ['policy: { route: owner-tenant }', 'policy'],
  ['privacy: hashed', 'privacy'],
  ['postmaster: ops@a.example', 'postmaster'],
  ['limits: { maxTableAge: 1d }', 'limits.maxTableAge'],
]
for (const [written, key] of beside) {
  test(`${key} comes with the push, and may not stand beside it`, () => {
    assert.match(
      faultOf(`${MINIMAL}${written}\n`),
      new RegExp(`:7: ${key.replace('.', '\\.')}: stands beside \`controlPlane\``),
    )
  })
}

test("what is the machine's own stays in the file", () => {
  const settings = parse(`${MINIMAL}limits: { connections: 7 }\nmx: { mtaSts: false }\nrequireTls: false\nworkers: 2\n`)
  assert.equal(settings.limits.connections, 7)
  assert.equal(settings.mx?.mtaSts, false)
})

test('either a table or a control plane', () => {
  const neither = MINIMAL.slice(0, MINIMAL.indexOf('controlPlane'))
  assert.match(faultOf(neither), /table: is missing; `table` \(a file\) or `controlPlane` must be given/)
})

test('listeners are as with tenants: on other addresses, and without a direction, for they come with the push', () => {
  const settings = parse(
    MINIMAL.replace('direction: out, ', '') + 'certificates: [{ certificate: a.pem, key: a.key }]\n',
  )
  assert.equal(settings.listeners[0]?.direction, undefined)
  const outside = MINIMAL.replace(
    '127.0.0.1, port: 2525, direction: out, tls: none',
    '0.0.0.0, port: 2525, tls: starttls',
  )
  assert.equal(parse(`${outside}certificates: [{ certificate: a.pem, key: a.key }]\n`).listeners[0]?.tls, 'starttls')
  assert.deepEqual(parse(outside).certificates, [], 'so do certificates')
  assert.match(
    faultOf(MINIMAL.replace('address: 127.0.0.1', 'address: 0.0.0.0')),
    /accepted on loopback addresses only/,
  )
})

test('KM-5 a code that is written wrongly is not shown', () => {
  for (const written of ['[secret-code]', '"secret code"', '""', '{ code: secret-code }', '17'])
    assert.doesNotMatch(faultOf(MINIMAL.replace('abcd-1234', written)), /secret|17"/)
})
