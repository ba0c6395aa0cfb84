// A run of probes from the control plane's order to the open gate: a real relay, real pushes and events; the tenant is a server that does what its mail
// flow rule would. (coexistence.md §2.1 rows 5b, 12)
import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { PROBES_IN_A_RUN } from '../../../common/relay-contract.ts'
import { createGateKeeper } from '../../../control-plane/coexistence/gate-keeper.ts'
import { endProbeRuns, startProbeRun, startValidation } from '../../../control-plane/coexistence/probe-run.ts'
import type { Gate } from '../../../control-plane/coexistence/step.ts'
import { readProofTokens } from '../../../control-plane/relays/relay-secret-store.ts'
import { NextHop } from '../../harness/next-hop.ts'
import type { Taken } from '../../harness/next-hop.ts'
import { startRelay } from '../../harness/relay.ts'
import { sendMail } from '../../harness/smtp-client.ts'
import { eventually } from '../../harness/wait.ts'
import { withFleet } from '../relays/fleet.ts'

const HOST = 'out.relay.example'

test('probes of a relay go out, come back and open the gate; a validation likewise', { timeout: 90_000 }, (t) =>
  withFleet(t, {}, async (it) => {
    await using hop = await NextHop.start()
    await it.tenant('fabrikam', ['fabrikam.example'])
    const contoso = await it.tenant('contoso', ['contoso.example'])
    const smartHosts = [{ tenant: 'contoso', host: '127.0.0.1', port: hop.port, tls: 'none' }]
    const headers = { 'If-Match': '"0"' }
    const put = await it.api.request('PUT', `${it.path}/relay-settings`, { smartHosts }, { key: it.key, headers })
    assert.equal(put.status, 200)
    await it.map([1])
    const controlPlane = { url: it.api.url, enrolmentCode: await it.code() }
    const limits = { newConnectionsPerSecondAndAddress: 1_000 }
    const directory = await mkdtemp(join(tmpdir(), 'causeway-probes-'))
    const settings = { table: undefined, routes: undefined, controlPlane, limits }
    const relay = await startRelay({ directory, nextHopPort: 9, settings })
    try {
      const place = { organisation: it.organisation, project: it.project }
      const at = new Date(it.clock.now())
      const keeper = createGateKeeper({ now: it.clock.now })
      const look = (gate: Gate, validationNonce?: string) =>
        it.inOrganisation((tx) =>
          keeper.look(tx, place, { kind: 'gate', gate }, { since: at, connectorHoldMs: 0, validationNonce }),
        )
      const isOpen = (gate: Gate, nonce?: string) =>
        eventually(`an open gate ${gate}`, async () => ((await look(gate, nonce)).kind === 'open' ? true : undefined))
      const bring = async (to: string, data: Buffer) =>
        assert.match(await sendMail(relay.outPort, { from: '', to: [to], data }), /^250 /)

      const about = { tenant: contoso, host: HOST, at }
      const { nonce, recipient } = await it.inOrganisation((tx) =>
        startValidation(tx, it.sealer, place, { ...about, key: 'out' }),
      )
      await isOpen('relays-ready')
      await bring(recipient, Buffer.from('Subject: Test\r\n\r\nTest.\r\n'))
      await isOpen('validated', nonce)

      await it.inOrganisation((tx) => startProbeRun(tx, it.sealer, place, { ...about, direction: 'out' }))
      const tokens = await it.inOrganisation((tx) => readProofTokens(tx, it.sealer, place))
      const token = tokens.find(({ tenant, direction }) => tenant === contoso && direction === 'out')?.token
      assert.ok(token !== undefined)
      const brought = new Set<Taken>()
      await eventually('an open gate', async () => {
        for (const each of hop.taken) {
          if (brought.has(each)) continue
          brought.add(each)
          const [, to = ''] = /<([^>]*)>/.exec(each.rcpts[0] ?? '') ?? []
          await bring(to, Buffer.concat([Buffer.from(`X-Causeway-Project: ${token}\r\n`), each.content]))
        }
        return (await look('probes')).kind === 'open' ? true : undefined
      })
      assert.equal(brought.size, PROBES_IN_A_RUN)
      await it.inOrganisation((tx) => endProbeRuns(tx, place))
      await isOpen('relays-ready')
    } finally {
      await relay.stop('SIGKILL')
      await relay.remove()
    }
  }),
)
