// What administrators put into DNS, over a restart: also what they took away, and a start that is broken off.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Zones } from '../../../sandbox/internet/zones.ts'
import { OperatorNames } from '../../../sandbox/mail/operator-names.ts'
import type { KeptNames } from '../../../sandbox/mail/operator-names.ts'
import { KeptFile } from '../../../sandbox/tenants/kept-file.ts'

const OWN_SPF = 'v=spf1 include:spf.protection.outlook.com -all'
const WIDER_SPF = 'v=spf1 include:spf.protection.outlook.com include:relay.test -all'

function pathFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-names-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return join(directory, 'dns.json')
}

/** With what every start publishes. */
function start(path: string) {
  const zones = new Zones()
  zones.set('contoso.com', 'TXT', OWN_SPF)
  zones.set('contoso.com', 'MX', { preference: 0, exchange: 'contoso-com.mail.protection.outlook.com' })
  const ports = new Map<string, number>()
  const file = new KeptFile<KeptNames>(path)
  const names = new OperatorNames(zones, ports, file)
  const textsOf = (name: string) => zones.find(name)?.flatMap(({ type, value }) => (type === 'TXT' ? [value] : []))
  return { names, zones, ports, file, textsOf }
}

test('a record of every start that was replaced stays replaced, until it is put back', (t) => {
  const path = pathFor(t)
  const first = start(path)
  first.names.removeRecord('contoso.com', 'TXT')
  first.names.putRecord('contoso.com', 'TXT', WIDER_SPF)
  first.file.flush()
  const second = start(path)
  assert.deepEqual(second.textsOf('contoso.com'), [WIDER_SPF])
  second.names.putRecord('contoso.com', 'TXT', OWN_SPF)
  second.names.removeRecord('contoso.com', 'TXT', WIDER_SPF)
  second.file.flush()
  const third = start(path)
  assert.deepEqual(third.textsOf('contoso.com'), [OWN_SPF])
  third.names.removeRecord('contoso.com', 'TXT', OWN_SPF)
  third.file.flush()
  assert.deepEqual(start(path).textsOf('contoso.com'), [])
})

test('a start changes nothing in the file: broken off, it has lost no record', (t) => {
  const path = pathFor(t)
  const first = start(path)
  for (const name of ['one.test', 'two.test']) first.names.putRecord(name, 'TXT', 'x')
  first.names.setHost('relay.test', 2525)
  first.file.flush()
  const kept = readFileSync(path, 'utf8')
  const { ports, textsOf } = start(path)
  assert.equal(readFileSync(path, 'utf8'), kept)
  assert.deepEqual(textsOf('two.test'), ['x'])
  assert.equal(ports.get('relay.test'), 2525)
})

test('a mail exchanger is the same with the final dot and without it', (t) => {
  const { names, zones } = start(pathFor(t))
  names.putRecord('new.test', 'MX', '10 mx.new.test')
  names.putRecord('New.test.', 'MX', '10  mx.new.test.')
  assert.equal(zones.find('new.test')?.length, 1)
  names.removeRecord('new.test', 'MX', '10 mx.new.test.')
  assert.equal(zones.find('new.test'), undefined)
})
