// From the configuration to the mail exchanger: what `mx` says is what is done.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Registry } from 'prom-client'
import { startMxDelivery } from '../../../mta/outbound/mx-delivery.ts'
import { mxHopOf } from '../../../mta/outbound/route.ts'
import { parseSettings } from '../../../mta/settings.ts'
import { DnsServer } from '../../harness/dns-server.ts'
import { NextHop } from '../../harness/next-hop.ts'
import { listLog } from '../queue/world.ts'
import { connections, NO_CREDENTIALS } from './fixtures.ts'
import { attempt, statuses } from './tls-world.ts'

const directory = mkdtempSync(join(tmpdir(), 'causeway-mx-'))
after(() => rmSync(directory, { recursive: true, force: true }))

async function delivery(mx: Record<string, unknown>, listener = '127.0.0.1') {
  const settings = parseSettings(
    join(directory, 'relay.json'),
    JSON.stringify({
      name: 'relay.contoso.example',
      certificates: [{ certificate: 'a.pem', key: 'a.key' }],
      listeners: [{ address: listener, port: 25, direction: 'out', tls: 'starttls', allow: ['127.0.0.0/8'] }],
      table: { file: 'table.json' },
      spool: { directory: 'spool', key: { file: 'spool.key' } },
      tenants: [
        {
          id: 'contoso',
          acceptedDomains: ['contoso.example'],
          smartHost: { host: 'mx.contoso.example', tls: 'verify' },
          proofTokens: { out: { file: 'token' } },
        },
      ],
      mx,
    }),
    'host',
  )
  const metrics = new Registry()
  const made = await startMxDelivery(settings.mx ?? assert.fail(), settings, {
    credentials: () => NO_CREDENTIALS,
    log: listLog([]),
    metrics,
    random: Math.random,
    now: Date.now,
    monotonicMs: () => performance.now(),
    every: () => () => {},
  })
  return { made, port: settings.mx?.port ?? 0 }
}

test('the resolver, port and exceptions of the configuration are used, and the report is written at the end', async () => {
  await using dns = await DnsServer.start()
  await using host = await NextHop.start({ address: '127.0.0.2' })
  dns.mx('example.net', [[10, 'mx.example.net']])
  dns.address('mx.example.net', ['127.0.0.2', '127.0.0.3'])
  const { made, port } = await delivery({
    resolver: { servers: [`127.0.0.1:${dns.port}`] },
    port: host.port,
    dane: true,
    allowPrivate: ['127.0.0.2'],
    tlsReports: { directory: 'reports', contact: 'postmaster@contoso.example' },
  })
  const pool = connections({ mx: made.deps })
  assert.deepEqual(statuses(await attempt(pool, mxHopOf('example.net', port))), ['delivered 2.0.0'])
  assert.equal(host.taken.length, 1)
  assert.ok(dns.asked.includes('TXT _mta-sts.example.net'))
  await pool.close()
  await made.close()
  assert.equal(readdirSync(join(directory, 'reports')).length, 1)
})

test('RFC 5321 §5.1: addresses that listeners have are our own, those of loopback are not', async () => {
  const { made } = await delivery({}, '0.0.0.0')
  const { isOwnAddress } = made.deps
  const interfaces = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  for (const { address, internal } of interfaces) assert.equal(isOwnAddress(address), !internal, address)
  assert.equal(isOwnAddress('192.0.2.25'), false)
  await made.close()
})
