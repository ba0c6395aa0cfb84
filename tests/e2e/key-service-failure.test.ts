// The failure table's row of the key service, on the product as processes with a simulated key vault: what goes on by keys in memory, what is answered 503,
// what a process that starts meanwhile can do, and that all goes on by itself afterwards. That a key stays in memory for 24 hours at most, and is asked for
// again from the twelfth on, is tests/control-plane/keys/key-cache.test.ts's. (OP-3, KM-1, KM-4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONTOSO, FABRIKAM, tableFile, user } from '../harness/control-plane.ts'
import type { ControlPlane } from '../harness/control-plane.ts'
import type { RunningRelay } from '../harness/relay.ts'
import type { ServerProcess } from '../harness/server-process.ts'
import { withControlPlane } from '../harness/start-control-plane.ts'
import { vaultForProcesses } from '../harness/vault-for-processes.ts'
import { eventually } from '../harness/wait.ts'

/** So many that an import of them is an operation, for the worker. */
const MANY = 5_500

const isMapped = async (plane: ControlPlane, relay: RunningRelay, name: string): Promise<boolean> =>
  (await plane.presented(relay, `${name}@${CONTOSO}`)) === `${name}@${FABRIKAM}`

const webhook = (name: string) => ({ url: `https://receiver.example/${name}`, events: ['mapping.*'] })
const dkim = (selector: string) => ({ domain: CONTOSO, algorithm: 'ed25519', selector })

async function figuresOf(process: ServerProcess): Promise<string> {
  const port = process.logged(`${process.command}.started`).at(-1)?.['metricsPort']
  return (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text()
}

const keysAre = (plane: ControlPlane, state: 'up' | 'down') =>
  plane.until(`the keys to be ${state}`, '//status', ({ components }) =>
    components.some((each: { name: string; state: string }) => each.name === 'keys' && each.state === state),
  )

async function assertUnavailable(plane: ControlPlane, method: string, path: string, body: unknown): Promise<void> {
  const { status, headers, body: problem } = await plane.ask(method, path, body)
  assert.deepEqual([status, problem.type], [503, '/problems/unavailable'], JSON.stringify(problem))
  assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/)
}

test(
  'OP-3, KM-4 without the key service: mail flows, keys in memory go on, 503 for what needs another; all goes on when it is back, and nothing is lost',
  { timeout: 300_000 },
  async (t) => {
    const { vault, env } = await vaultForProcesses(t)
    await withControlPlane(t, { env }, async (plane) => {
      const [api] = plane.apis
      assert.ok(api)
      const relay = await plane.relay()
      await plane.importUsers([user('u1')])
      await plane.reached(1)
      await plane.done('POST', `${plane.path}/dkim-keys`, dkim('first'))
      await plane.done('POST', `/organizations/${plane.organisation}/webhooks`, webhook('first'))
      const other = String(
        (await plane.done('POST', `/organizations/${plane.organisation}/projects`, { name: 'Other' })).body.id,
      )
      await plane.done('POST', `/projects/${other}/tenants`, {
        side: 'source',
        label: 'source',
        cloud: 'global',
        appModel: 'multi-tenant',
        tenantId: crypto.randomUUID(),
        acceptedDomains: ['other.example'],
      })
      await keysAre(plane, 'up')

      vault.setFaults({ isUnreachable: true })
      const asked = vault.requests.length

      // Seen: by people, by alarms, and not as a reason to be restarted or left out of a balancer.
      await keysAre(plane, 'down')
      assert.equal((await plane.ask('GET', '//healthz')).status, 200)
      assert.equal((await plane.ask('GET', '//readyz')).status, 200)
      for (const each of [api, plane.worker])
        await eventually(`the figure of the ${each.command}`, async () => {
          const figures = await figuresOf(each)
          assert.match(figures, /^causeway_control_plane_ready 1$/m)
          return figures.includes('causeway_component_up{component="keys"} 0') ? true : undefined
        })

      // What has its keys in memory goes on: pushes, secrets of this project, work of the worker.
      assert.ok(await isMapped(plane, relay, 'u1'))
      await plane.reached(await plane.importUsers([user('u2')]))
      assert.ok(await isMapped(plane, relay, 'u2'))
      await plane.done('POST', `${plane.path}/dkim-keys`, dkim('second'))
      await plane.done('POST', `/organizations/${plane.organisation}/webhooks`, webhook('second'))
      const crowd = tableFile(Array.from({ length: MANY }, (_, each) => user(`c${each}`)))
      const { body } = await plane.done('POST', `${plane.path}/mappings/import`, crowd, {
        headers: { 'If-Match': '*' },
      })
      await plane.reached((await plane.succeeded(String(body.operation))).revision)
      assert.ok(vault.requests.length > asked, 'it was asked in vain')

      // What needs a key that nobody has in memory does not, and leaves nothing behind.
      const key = { domain: 'other.example', algorithm: 'ed25519', selector: 'x' }
      await assertUnavailable(plane, 'POST', `/projects/${other}/dkim-keys`, key)
      assert.deepEqual((await plane.done('GET', `/projects/${other}/dkim-keys`)).body.items, [])

      // A process that starts meanwhile: it takes changes, and pushes nothing; the relay goes on by what it has.
      await api.stop()
      await api.start()
      await plane.until('readiness', '//readyz', ({ ready }) => ready)
      assert.equal((await plane.ask('GET', `${plane.path}/mappings?limit=1`)).status, 200)
      const revision = await plane.importUsers([user('u3')])
      await assertUnavailable(plane, 'POST', `${plane.path}/dkim-keys`, dkim('third'))
      await eventually('the push to fail for want of its key', () => api.logged('relay.project-unreadable')[0])
      assert.ok(await isMapped(plane, relay, 'u2'))
      assert.ok(!(await isMapped(plane, relay, 'u3')))

      vault.setFaults({})
      await keysAre(plane, 'up')
      await plane.until('all to be up', '//status', ({ status }) => status === 'operational')
      await plane.reached(revision)
      assert.ok(await isMapped(plane, relay, 'u3'))
      await plane.done('POST', `/projects/${other}/dkim-keys`, key)
      await plane.done('POST', `${plane.path}/dkim-keys`, dkim('third'))
      const selectors = (await plane.done('GET', `${plane.path}/dkim-keys`)).body.items.map(
        ({ selector }: { selector: string }) => selector,
      )
      assert.deepEqual(selectors.toSorted(), ['first', 'second', 'third'])
      const trail = await plane.done('GET', `/organizations/${plane.organisation}/audit/verification?from=1&limit=1000`)
      assert.equal(trail.body.fault, undefined)
      assert.ok(
        plane.processes.every(({ isRunning }) => isRunning),
        'no process ended with it',
      )
    })
  },
)
