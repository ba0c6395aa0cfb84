// Certificates that the control plane pushes for listener names, shown in real handshakes beside those of the machine. (RC-2, PH-4)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import { loadKeyPair } from '../../../mta/certificates.ts'
import { offeredCertificates, shown } from '../../../mta/credentials.ts'
import type { Shown } from '../../../mta/credentials.ts'
import { startHandshake } from '../../../mta/inbound/tls-handshake.ts'
import { TestAuthority } from '../../harness/certificates.ts'

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())
const of = (...names: string[]): Shown =>
  shown(loadKeyPair(authority.issue({ names: names.map((name) => `DNS:${name}`) })))

const own = of('relay.example', 'both.example')
const pushed = of('pushed.example')
const renewed = of('pushed.example')
const named = of('relay.example')

const offers: [own: Shown[], pushed: Shown[], offered: Shown[], why: string][] = [
  [[own], [], [own], 'nothing was pushed'],
  [[own], [pushed], [own, pushed, own], 'who names no server is shown what the machine has'],
  [[own], [pushed, named], [named, pushed, named, own], 'unless the name of the relay itself was pushed'],
  [[], [pushed], [pushed], 'the machine has none'],
]
for (const [has, got, offered, why] of offers) {
  test(`listeners offer ${offered.length} certificates: ${why}`, () =>
    assert.deepEqual(
      offeredCertificates(has, got, 'relay.example').map(({ pair }) => pair.fingerprint),
      offered.map(({ pair }) => pair.fingerprint),
    ))
}

test('a pushed certificate is shown to who names it, a renewed one from the next handshake on, and no session is dropped', async (t) => {
  let now: readonly Shown[] = []
  const server = createServer((raw) => {
    const socket = startHandshake(
      raw,
      { certificates: () => offeredCertificates([own], now, 'relay.example'), asksForCertificate: false },
      () => socket.pipe(socket),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.after(() => server.close())
  const open = async (servername?: string) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...(servername && { servername }) })
    t.after(() => socket.destroy())
    await once(socket, 'secureConnect')
    return { socket, fingerprint: socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() }
  }
  const shownTo = async (name?: string) => (await open(name)).fingerprint
  assert.equal(await shownTo('pushed.example'), own.pair.fingerprint, 'nothing is pushed yet')
  now = [pushed]
  const before = await open('pushed.example')
  assert.equal(before.fingerprint, pushed.pair.fingerprint)
  assert.equal(await shownTo(), own.pair.fingerprint)
  assert.equal(await shownTo('relay.example'), own.pair.fingerprint)
  now = [renewed]
  assert.equal(await shownTo('pushed.example'), renewed.pair.fingerprint)
  before.socket.write('still here')
  assert.equal(String((await once(before.socket, 'data'))[0]), 'still here')
})
