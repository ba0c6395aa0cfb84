// A relay that is set up by nothing but its enrolment code, as a process: what is pushed decides the next message, the swap never tears one, and without the
// control plane mail flows on. (RC-1 to RC-5, RC-7, RC-9, OP-3)
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { refusedReport, reported, startEnrolled, twoTenants } from '../harness/enrolled-relay.ts'
import type { EnrolledOptions } from '../harness/enrolled-relay.ts'
import { NextHop } from '../harness/next-hop.ts'
import { freePort } from '../harness/ports.ts'
import { runCommand } from '../harness/postfix.ts'
import { frame, MARKER, pushedSecrets, PushServer, signingPair } from '../harness/push-server.ts'
import { ROOT } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { sendMail, SmtpClient } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { logLines } from '../harness/worker-load.ts'
import { alice } from '../mta/mapping/keeper-world.ts'

interface World {
  readonly server: PushServer
  readonly hop: NextHop
  readonly start: (options?: EnrolledOptions) => Promise<RunningRelay>
}

async function world(context: TestContext): Promise<World> {
  const server = await PushServer.start()
  const hop = await NextHop.start()
  server.version = 1
  server.content = twoTenants(hop.port)
  context.after(async () => {
    await server[Symbol.asyncDispose]()
    await hop.close()
  })
  return {
    server,
    hop,
    async start(options) {
      const relay = await startEnrolled(server, options)
      context.after(async () => {
        await relay.stop('SIGKILL')
        await relay.remove()
      })
      return relay
    },
  }
}

const mail = (from = 'alice@contoso.com') => ({
  from,
  to: ['dana@example.net'],
  data: Buffer.from(`From: <${from}>\r\nTo: <dana@example.net>\r\nSubject: x\r\n\r\nHello.\r\n`),
})

/** Sends one message and says under which address it arrived. */
async function presentedBy(relay: RunningRelay, hop: NextHop): Promise<string | undefined> {
  assert.match(await sendMail(relay.outPort, mail()), /^250 /)
  const taken = await eventually('a message', () => hop.taken.shift())
  return /^MAIL FROM:<([^>]*)>/.exec(taken.mail)?.[1]
}

async function readiness({ adminPort }: RunningRelay): Promise<{ ready: boolean; reasons: string[] }> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`)
  return (await answer.json()) as { ready: boolean; reasons: string[] }
}

test('RC-1 enrolled by a code alone it takes mail by what is pushed, and the next message by the next version', async (context) => {
  const { server, hop, start } = await world(context)
  const relay = await start()
  assert.equal(await presentedBy(relay, hop), 'alice.smith@fabrikam.com')
  server.change(alice(1))
  await reported(server, 2)
  assert.equal(await presentedBy(relay, hop), 'alice1@fabrikam.com')
  const events = await eventually('the events of both', () => (server.events.length >= 4 ? server.events : undefined))
  assert.deepEqual(
    events.map(({ event, fields }) => [event, fields['snapshotVersion']]),
    [
      ['accepted', 1],
      ['delivered', undefined],
      ['accepted', 2],
      ['delivered', undefined],
    ],
  )
  assert.doesNotMatch(JSON.stringify(events), /alice@|dana@/, 'PR-2: as the pushed privacy has it')
})

test('before there is an enrolment, and before there is a snapshot, it is alive, not ready, says why, and takes no mail', async (context) => {
  const { server, hop, start } = await world(context)
  server.status = { enrol: 503 }
  const { content } = server
  server.content = undefined
  const relay = await start({ waitFor: 'alive' })
  await eventually('the reason', async () =>
    /status 503/.test(String((await readiness(relay)).reasons)) ? true : undefined,
  )
  assert.equal((await readiness(relay)).ready, false)
  await assert.rejects(
    SmtpClient.connect(relay.outPort),
    'it has not opened its listeners: it knows no project to seal mail for',
  )
  server.status = {}
  await eventually('the next reason', async () =>
    String((await readiness(relay)).reasons) === 'no snapshot yet' ? true : undefined,
  )
  assert.match(await sendMail(relay.outPort, mail()), /^451 4\.3\.5 /)
  assert.ok(content !== undefined)
  server.push(content)
  await reported(server, 2)
  assert.equal(await presentedBy(relay, hop), 'alice.smith@fabrikam.com')
})

test('a code that is not taken ends the start with 2 and one clear line', async (context) => {
  const { server } = await world(context)
  const directory = await mkdtemp(join(tmpdir(), 'causeway-enrolled-'))
  await assert.rejects(startEnrolled(server, { directory, code: 'wrong', waitFor: 'ready' }), (error: Error) => {
    assert.match(error.message, /\(2\)/)
    assert.match(error.message, /does not take the enrolment code \(status 409\)/)
    assert.doesNotMatch(error.message, /"wrong"/)
    return true
  })
})

test('while it waits for its enrolment SIGTERM ends it in order', async (context) => {
  const { server, start } = await world(context)
  server.status = { enrol: 503 }
  const relay = await start({ waitFor: 'alive' })
  assert.equal(await relay.stop('SIGTERM'), 0)
})

test('RC-2, RC-5 whatever is wrong with a push, mail flows by the old version, and the next good one is taken', async (context) => {
  const { server, hop, start } = await world(context)
  const relay = await start()
  const content = server.content
  assert.ok(content !== undefined)
  const key = generateKeyPairSync('rsa', { modulusLength: 1024 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
  const name = { domain: 'contoso.com', selector: 's1' }
  const wrong: [push: () => void, reason: RegExp][] = [
    [() => server.change(alice(1), {}, { signWith: signingPair('snapshot-key-1') }), /signature/],
    [() => server.change(alice(1), {}, { manifest: (made) => ({ ...made, project: 'p2' }) }), /another project/],
    [() => server.change(alice(1), {}, { manifest: (made) => ({ ...made, relay: 'r2' }) }), /another relay/],
    [() => server.change(alice(1), {}, { part: (_, bytes) => bytes.subarray(1) }), /parts are not/],
    [
      () =>
        server.settle({
          settings: { ...content.settings, version: 2, dkim: [name] },
          secrets: pushedSecrets({ dkim: [{ ...name, key }] }),
        }),
      /2048 bits/,
    ],
  ]
  for (const [push, reason] of wrong) {
    const before = server.content
    server.onStream = () => {}
    push()
    await refusedReport(server, reason)
    assert.equal(await presentedBy(relay, hop), 'alice.smith@fabrikam.com')
    server.content = before
    server.reports.length = 0
    await eventually('a stream', () => (server.streams > 0 ? true : undefined))
    // What was refused is made good: a version that changes nothing.
    server.version++
    server.send(...server.whole())
    await reported(server, server.version)
  }
  assert.equal((await readiness(relay)).ready, true)
})

test('RC-3 a swap under load: envelope, header and marker of every message are of one version, the recorded one', async (context) => {
  const { server, hop, start } = await world(context)
  const relay = await start({ settings: { limits: { newConnectionsPerSecondAndAddress: 1000 } } })
  let isOver = false
  let accepted = 0
  const session = async (): Promise<void> => {
    const client = await SmtpClient.connect(relay.outPort)
    while (!isOver) {
      assert.match(await client.send(mail()), /^250 /)
      accepted++
    }
    client.close()
  }
  const sessions = Array.from({ length: 12 }, session)
  const last = 40
  for (let version = 2; version <= last; version++) {
    const token = `markerToken${String(version).padStart(9, '0')}`
    server.change(alice(version - 1), { secrets: pushedSecrets({ marker: { ...MARKER, token } }) })
    if (version % 3 === 0) await reported(server, version)
    else await sleep(5)
  }
  await reported(server, last)
  isOver = true
  await Promise.all(sessions)
  await eventually('all of them', () => (hop.taken.length >= accepted ? true : undefined))
  const recorded = await eventually('the events of all', () => {
    const events = server.events.filter(({ event }) => event === 'accepted')
    return events.length >= accepted
      ? new Map(events.map(({ queueId, fields }) => [queueId, fields['snapshotVersion']]))
      : undefined
  })
  const versions = new Set<number>()
  for (const { mail: command, content } of hop.taken) {
    const text = content.toString('latin1')
    const version = recorded.get(/ id ([0-9A-Z]{16});/.exec(text)?.[1])
    const envelope = /^MAIL FROM:<alice(\d+|\.smith)@/.exec(command)?.[1]
    const header = /^From: <alice(\d+|\.smith)@/m.exec(text)?.[1]
    const marker = /^X-Causeway-Trace: markerToken(\d+) /m.exec(text)?.[1]
    assert.equal(envelope, header)
    assert.equal(envelope === '.smith' ? 1 : Number(envelope) + 1, version)
    assert.equal(
      version === 1 ? MARKER.token : `markerToken${marker}`,
      version === 1 ? `markerToken${marker}` : `markerToken${String(version).padStart(9, '0')}`,
    )
    versions.add(Number(version))
  }
  assert.equal(hop.taken.length, accepted)
  assert.ok(versions.size > 5, `messages of ${versions.size} versions`)
})

test('RC-4, OP-3 without the control plane, and after kill -9, mail flows by the last version; what happened meanwhile is told later', async (context) => {
  const { server, hop, start } = await world(context)
  const first = await start()
  server.change(alice(1))
  await reported(server, 2)
  await server.stop()
  assert.equal(await presentedBy(first, hop), 'alice1@fabrikam.com')
  await sleep(1_500) // past the flush of events: what was synced must outlive the process
  await first.stop('SIGKILL')
  const again = await start({ directory: first.directory, code: undefined })
  assert.equal(await presentedBy(again, hop), 'alice1@fabrikam.com')
  server.version = 3
  await server.listen()
  await reported(server, 3)
  const told = await eventually('events of both runs', () => (server.events.length >= 4 ? server.events : undefined))
  assert.deepEqual(told.map(({ event }) => event).toSorted(), ['accepted', 'accepted', 'delivered', 'delivered'])
  assert.equal(new Set(told.map(({ id }) => id)).size, told.length)
})

test('RC-4 kill -9 at any moment while versions come in: it starts again on one that was acknowledged, or a newer one', async (context) => {
  const { server, hop, start } = await world(context)
  let relay = await start()
  let number = 0
  for (let round = 0; round < 4; round++) {
    const from = server.version
    const changes = (async () => {
      for (let k = 0; k < 25; k++) {
        server.change(alice(++number))
        await sleep(3)
      }
    })()
    // Reports of versions that follow each other quickly may be one.
    await eventually('some of them', () => server.reports.find(({ version }) => version >= from + 3 + 4 * round))
    await relay.stop('SIGKILL')
    await changes
    const acknowledged = Math.max(...server.reports.map(({ version }) => version))
    await server.stop()
    relay = await start({ directory: relay.directory, code: undefined })
    const address = await presentedBy(relay, hop)
    const version = Number(/alice(\d+)@/.exec(address ?? '')?.[1]) + 1
    assert.ok(version >= acknowledged, `version ${version}, acknowledged ${acknowledged}`)
    await server.listen()
    await reported(server, server.version)
  }
})

test('RC-9 draining: new connections get 421, it is not ready, delivers what it holds, and takes mail again when told', async (context) => {
  const { server, hop, start } = await world(context)
  const relay = await start()
  const open = await SmtpClient.connect(relay.outPort)
  server.settle({ state: 'draining' })
  await reported(server, 2)
  assert.deepEqual(await readiness(relay), { ready: false, reasons: ['the control plane has it drained'] })
  await assert.rejects(SmtpClient.connect(relay.outPort), /421 4\.3\.2/)
  assert.match(await open.send(mail()), /^421 4\.3\.2 /)
  server.settle({ state: 'active' })
  await reported(server, 3)
  assert.equal(await presentedBy(relay, hop), 'alice.smith@fabrikam.com')
})

test('DL-1 another smart host is for the next attempt, of what waits already too', async (context) => {
  const { server, hop, start } = await world(context)
  server.content = twoTenants(9)
  const relay = await start({ settings: { retry: { firstWaits: ['1s'] } } })
  assert.match(await sendMail(relay.outPort, mail()), /^250 /)
  await eventually('a failed attempt', () => logLines(relay).find(({ event }) => event === 'delivery.deferred'))
  const { settings } = twoTenants(hop.port)
  server.settle({ settings: { ...settings, version: 2 } })
  await reported(server, 2)
  const taken = await eventually('the message', () => hop.taken.shift())
  assert.match(taken.mail, /alice\.smith@fabrikam\.com/)
})

test('a tenant without a smart host yet: its mail is taken and waits', async (context) => {
  const { server, hop, start } = await world(context)
  const content = twoTenants(hop.port)
  const tenants = content.settings.tenants.map(({ id, acceptedDomains }) => ({ id, acceptedDomains }))
  server.content = { ...content, settings: { ...content.settings, tenants } }
  const relay = await start({ settings: { retry: { firstWaits: ['1s'] } } })
  assert.match(await sendMail(relay.outPort, mail()), /^250 /)
  const line = await eventually('an attempt', () => logLines(relay).find(({ event }) => event === 'delivery.deferred'))
  assert.equal(line['status'], '4.3.5')
  server.settle({ settings: { ...content.settings, version: 2 } })
  await eventually('the message', () => hop.taken.shift())
})

test('RC-1 revoked, it takes no mail and dials no more, and delivers what it holds', async (context) => {
  const { server, hop, start } = await world(context)
  const relay = await start()
  server.send(frame('revoked'))
  await eventually('the reason', async () =>
    /cut the relay off/.test(String((await readiness(relay)).reasons)) ? true : undefined,
  )
  assert.match(await sendMail(relay.outPort, mail()), /^451 4\.3\.5 /)
  const streams = server.queries.length
  await sleep(1_500) // longer than the first wait before another try
  assert.equal(server.queries.length, streams)
  assert.equal(hop.taken.length, 0)
})

test('SP-3 ranges that are pushed are let in beside those of the listeners, and no longer when they are not', async (context) => {
  const { server, hop, start } = await world(context)
  server.content = twoTenants(hop.port, { allow: ['127.0.0.1'] })
  const port = await freePort()
  const listener = { address: '127.0.0.1', port, direction: 'out', tls: 'none', allow: ['192.0.2.0/24'] }
  await start({ settings: { listeners: [listener] } })
  assert.match(await sendMail(port, mail()), /^250 /)
  server.settle({ settings: { ...twoTenants(hop.port).settings, version: 2 } })
  await reported(server, 2)
  await assert.rejects(SmtpClient.connect(port), /554/)
})

test('RC-7 clients that are refused are told of as audit events', async (context) => {
  const { server, start } = await world(context)
  const port = await freePort()
  await start({
    settings: { listeners: [{ address: '127.0.0.1', port, direction: 'out', tls: 'none', allow: ['127.0.0.9'] }] },
  })
  await assert.rejects(SmtpClient.connect(port), /554/)
  const event = await eventually('the event', () => server.events.find((each) => each.class === 'audit'))
  assert.deepEqual([event.event, event.fields], ['client.refused', { address: '127.0.0.1', reason: 'address-refused' }])
})

test('workers: the primary alone is enrolled; all follow each version, one that is started again too, and all their events arrive', async (context) => {
  const { server, hop, start } = await world(context)
  const relay = await start({ settings: { workers: 2, limits: { newConnectionsPerSecondAndAddress: 1000 } } })
  const both = async (expected: string): Promise<void> => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => SmtpClient.connect(relay.outPort)))
    for (const client of clients) {
      assert.match(await client.send(mail()), /^250 /)
      client.close()
    }
    const taken = await eventually('four messages', () => (hop.taken.length >= 4 ? hop.taken.splice(0) : undefined))
    assert.deepEqual(new Set(taken.map((each) => /<([^>]*)>/.exec(each.mail)?.[1])), new Set([expected]))
  }
  await both('alice.smith@fabrikam.com')
  assert.equal(server.queries.length, 1)
  server.change(alice(1))
  await reported(server, 2)
  await both('alice1@fabrikam.com')
  server.version++
  server.send(...server.whole())
  await reported(server, 3)
  await both('alice1@fabrikam.com')

  const acceptedEvents = (least: number) =>
    eventually(`${least} events`, () => {
      const all = server.events.filter(({ event }) => event === 'accepted')
      return all.length >= least ? all : undefined
    })
  // What a worker has not handed over yet dies with it.
  await acceptedEvents(12)
  const served = () => logLines(relay).filter(({ event }) => event === 'worker.serves')
  process.kill(Number(served()[0]?.['pid']), 'SIGKILL')
  server.change(alice(2))
  await eventually('the worker to serve again', () => (served().length >= 3 ? true : undefined))
  server.change(alice(3))
  await reported(server, 5)
  await both('alice3@fabrikam.com')
  server.settle({ state: 'draining' })
  await reported(server, 6)
  await assert.rejects(SmtpClient.connect(relay.outPort), /421 4\.3\.2/)
  const accepted = await acceptedEvents(16)
  assert.deepEqual(new Set(accepted.map(({ fields }) => fields['snapshotVersion'])), new Set([1, 2, 3, 5]))
  const report = server.reports.at(-1)
  assert.equal(report?.queue.messages, 0)
  assert.equal(report.isReady, false)
  const metrics = await (await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)).text()
  assert.match(metrics, /^causeway_snapshot_version 6$/m)
  assert.match(metrics, /^causeway_control_plane_connected 1$/m)
  assert.equal(await relay.stop(), 0)
})

test('with several workers it waits for its enrolment as well, alive and saying why', async (context) => {
  const { server, hop, start } = await world(context)
  server.status = { enrol: 503 }
  const relay = await start({ settings: { workers: 2 }, waitFor: 'alive' })
  await eventually('the reason', async () =>
    /status 503/.test(String((await readiness(relay)).reasons)) ? true : undefined,
  )
  server.status = {}
  await eventually('readiness', async () => ((await readiness(relay)).ready ? true : undefined))
  assert.equal(await presentedBy(relay, hop), 'alice.smith@fabrikam.com')
})

test('queue and doctor know an enrolled relay, running and at rest', async (context) => {
  const { server, start } = await world(context)
  server.content = twoTenants(9)
  const relay = await start()
  assert.match(await sendMail(relay.outPort, mail()), /^250 /)
  const run = (...args: string[]) => runCommand(join(ROOT, 'bin/causeway'), [...args, '--config', relay.configFile])
  const doctor = async (): Promise<Map<string, string>> => {
    const { output } = await run('doctor', '--json')
    const findings = JSON.parse(output.slice(output.indexOf('['), output.lastIndexOf(']') + 1)) as {
      check: string
      verdict: string
      says: string
    }[]
    return new Map(findings.map(({ check, verdict, says }) => [check, `${verdict}: ${says}`]))
  }
  const running = await doctor()
  assert.match(running.get('enrolment') ?? '', /^ok: relay relay-.* of project p1/)
  assert.match(running.get('control-plane') ?? '', /^ok: last heard 0 min ago/)
  assert.match(
    running.get('snapshot') ?? '',
    /^ok: version 1 of .*: mapping revision 7 with 6 entries, settings 1, active/,
  )
  assert.match(running.get('relay') ?? '', /^ok: is ready with table version 7/)
  assert.match(running.get('spool-keys') ?? running.get('spool-key') ?? '', /^ok/)
  assert.equal(await relay.stop(), 0)
  const { status, output } = await run('queue', 'list')
  assert.equal(status, 0, output)
  assert.match(output, /tenant:fabri/)
})
