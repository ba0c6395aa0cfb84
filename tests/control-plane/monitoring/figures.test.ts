// What api and worker tell of themselves, as figures and by /readyz: database, queue, key service, certificates in files. (OP-1, OP-3, KM-4, KM-7)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { openDatabase } from '../../../control-plane/db/database.ts'
import type { KeyServiceHealth } from '../../../control-plane/keys/key-provider.ts'
import { watchCertificates } from '../../../control-plane/monitoring/certificate-figures.ts'
import { watchComponents } from '../../../control-plane/monitoring/component-figures.ts'
import { HealthCheck } from '../../../control-plane/monitoring/health.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import { testDatabase } from '../../harness/postgres.ts'

const linesOf = async (metrics: { metrics(): Promise<string> }, name: string) =>
  (await metrics.metrics()).split('\n').filter((line) => line.startsWith(name))

async function scene(t: TestContext) {
  const { connection } = await testDatabase(t)
  const database = openDatabase({ connection, maxConnections: 2, onIdleError: () => {} })
  const world = { now: 0, queue: true, keys: { isReady: true } as KeyServiceHealth, keyQuestions: 0, isStopping: false }
  const metrics = emptyMetrics()
  const health = new HealthCheck({
    database,
    pingQueue: () => (world.queue ? Promise.resolve() : Promise.reject(new Error('connection refused'))),
    keyService: {
      health: () => {
        world.keyQuestions++
        return Promise.resolve(world.keys)
      },
    },
    isStopping: () => world.isStopping,
    monotonicMs: () => world.now,
  })
  watchComponents(health, metrics)
  return { database, world, health, metrics }
}

test('OP-1 each component that is away shows in a figure of its own; only the database takes readiness with it', async (t) => {
  const { database, world, health, metrics } = await scene(t)
  const figures = async () => {
    world.now += 60_000
    return [
      ...(await linesOf(metrics, 'causeway_component_up{')),
      ...(await linesOf(metrics, 'causeway_control_plane_ready ')),
    ].map((line) => line.replace(/^causeway_\w+(?:\{component="(\w+)"\})? /, '$1 ').trim())
  }
  assert.deepEqual(await figures(), ['database 1', 'queue 1', 'keys 1', '1'])
  world.queue = false
  world.keys = { isReady: false, reason: 'the key vault cannot be reached' }
  assert.deepEqual(await figures(), ['database 1', 'queue 0', 'keys 0', '1'])
  assert.deepEqual((await health.check()).reasons, [
    'queue: connection refused',
    'key service: the key vault cannot be reached',
  ])
  world.queue = true
  world.keys = { isReady: true }
  assert.deepEqual(await figures(), ['database 1', 'queue 1', 'keys 1', '1'])
  world.isStopping = true
  assert.deepEqual(await figures(), ['database 1', 'queue 1', 'keys 1', '0'])
  world.isStopping = false
  await database.close() // from here on no statement gets through
  assert.deepEqual(await figures(), ['database 0', 'queue 1', 'keys 1', '0'])
})

test('a key vault is not asked with every look at the health', async (t) => {
  const { database, world, health } = await scene(t)
  for (let second = 0; second < 10; second++) {
    world.now = second * 1_001
    await health.check()
  }
  assert.equal(world.keyQuestions, 1)
  world.now = 10_500
  await health.check()
  assert.equal(world.keyQuestions, 2)
  await database.close()
})

test('KM-7 when certificates in files end is told by the name of their setting; one that can not be read is told in the log', async () => {
  const authority = new TestAuthority()
  const end = new Date('2031-02-03T04:05:06Z')
  const names = ['DNS:causeway.example']
  const notAfter = '20310203040506Z'
  const tls = authority.issue({ names, usage: ['serverAuth'], keyType: 'ec', notAfter })
  const metrics = emptyMetrics()
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'info', now: () => 0 })
  const entra = {
    cloud: 'global',
    tenantId: '',
    clientId: '',
    certificateFile: '/nowhere/entra.pem',
    keyFile: '/nowhere/entra.key',
    signInTenants: [],
    sandboxUrl: undefined,
  } as const
  const settings = {
    tls: { certificateFile: tls.certificate, keyFile: tls.key },
    entra,
    keys: { kind: 'file', directory: '/nowhere' },
  } as const
  watchCertificates(settings, { metrics, log })
  assert.deepEqual(await linesOf(metrics, 'causeway_service_certificate'), [
    `causeway_service_certificate_not_after_seconds{certificate="TLS_CERTIFICATE_FILE"} ${end.getTime() / 1_000}`,
  ])
  const [line = '{}'] = lines
  const told = JSON.parse(line) as Record<string, unknown>
  assert.deepEqual([told['event'], told['certificate']], ['certificate.unreadable', 'ENTRA_CERTIFICATE_FILE'])
})
