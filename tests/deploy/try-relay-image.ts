// Runs an image of the relay: mail through it, SIGTERM, and the next container on the same volumes. One line a check, exit code 0 only when all held.
// deploy/try-images.sh builds the image and calls this. (SC-1, SC-3, SF-3, OP-1, DU-6)
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { freePorts } from '../harness/ports.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import type { Engine, Mount } from './container.ts'
import { check, checkConfined, ended, startReady, stop, tryImage, unless } from './image-checks.ts'
import type { Trial } from './image-checks.ts'
import { RELAY_IMAGE } from './image-kinds.ts'

interface World {
  readonly engine: Engine
  readonly hop: NextHop
  readonly mounts: readonly Mount[]
  readonly env: Readonly<Record<string, string>>
  readonly outPort: number
  readonly admin: string
}

function message(subject: string): Buffer {
  return Buffer.from(
    ['From: Alice <alice@contoso.com>', 'To: dana@example.net', `Subject: ${subject}`, '', 'Hello', ''].join('\r\n'),
  )
}

async function checkRunning(world: World): Promise<void> {
  const { engine, hop, mounts, env, outPort, admin } = world
  const container = await startReady(engine, 'first', world, admin)
  check('it is ready with a read-only root and no capabilities (SC-3, OP-1)', undefined)
  const volumes = mounts.filter(({ isReadOnly }) => !isReadOnly).map(({ target }) => target)
  await checkConfined(container, engine, volumes, env)

  const reply = await sendMail(outPort, { from: 'alice@contoso.com', to: ['dana@example.net'], data: message('one') })
  check('it takes a message', unless(reply.startsWith('250 '), reply))
  const taken = await eventually('the message at the next hop', () => hop.taken[0])
  check(
    'the next hop gets it, rewritten',
    unless(
      taken.mail.startsWith('MAIL FROM:<alice.smith@fabrikam.com>') &&
        taken.content.includes('From: Alice <alice.smith@fabrikam.com>'),
      `${taken.mail}\n${taken.content.toString()}`,
    ),
  )

  const examined = await container.exec(['/opt/causeway/bin/causeway', 'doctor', '--json'])
  check('`doctor` finds no fault in how it is installed', unless(examined.status === 0, examined.output))
  const other = await container.exec(['/opt/causeway/bin/causeway', 'api'])
  check(
    'it is no control plane, and says so',
    unless(other.status === 2 && other.output.includes('control-plane/'), other.output),
  )

  hop.behave({ act: ({ stage }) => (stage === 'MAIL' ? '451 4.3.0 later' : undefined) })
  await sendMail(outPort, { from: 'alice@contoso.com', to: ['dana@example.net'], data: message('two') })
  const exit = await stop(container)
  check('SIGTERM: it exits 0 (DU-6)', unless(exit === 0, `it exited ${exit}:\n${container.output()}`))
  hop.behave({})
  const second = await startReady(engine, 'second', world, admin)
  const late = await eventually('the kept message', () => hop.taken[1])
  check(
    'the next container on the same volumes delivers what waited',
    unless(late.content.includes('Subject: two'), ''),
  )
  const log = container.output() + second.output()
  check('no address in its log (PR-2)', log.includes('alice') && log)
  check('SIGTERM: the second exits 0', unless((await stop(second)) === 0, second.output()))

  const forgetful = engine.run('forgetful', { ...world, mounts: world.mounts.slice(0, 1) })
  const refused = await ended(forgetful)
  check(
    'without its volumes it refuses to start, instead of losing mail later',
    unless(refused === 2, forgetful.output()),
  )
}

async function makeWorld({ engine, work, cleanUp }: Trial): Promise<World> {
  const hop = await NextHop.start()
  cleanUp.defer(() => hop.close())
  const [outPort = 0, inPort = 0, adminPort = 0] = await freePorts(3)
  const to = { kind: 'smart-host', host: '127.0.0.1', port: hop.port, tls: 'none' }
  const state = '/var/lib/causeway'
  const config = {
    name: 'relay.test',
    listeners: [
      { address: '127.0.0.1', port: outPort, direction: 'out', tls: 'none', allow: ['127.0.0.0/8'] },
      { address: '127.0.0.1', port: inPort, direction: 'in', tls: 'none', allow: ['127.0.0.0/8'] },
    ],
    table: { file: 'table.json' },
    spool: { directory: `${state}/spool`, key: { file: `${state}/keys/spool.key` } },
    routes: { 'owner-tenant': to, mailbox: to },
    metrics: { address: '127.0.0.1', port: adminPort },
    retry: { firstWaits: ['1s'] },
  }
  const etc = join(work, 'etc')
  await mkdir(etc)
  await writeFile(join(etc, 'relay.yaml'), JSON.stringify(config, null, 2))
  await writeFile(join(etc, 'table.json'), JSON.stringify(EXAMPLE_TABLE))
  // The image's user reads them through a mount, whatever our umask says.
  await chmod(etc, 0o755)
  for (const name of ['relay.yaml', 'table.json']) await chmod(join(etc, name), 0o644)
  const admin = `http://127.0.0.1:${adminPort}`
  return {
    engine,
    hop,
    mounts: [
      { source: etc, target: '/etc/causeway', isReadOnly: true },
      { source: await engine.makeVolume('spool'), target: `${state}/spool`, isReadOnly: false },
      { source: await engine.makeVolume('keys'), target: `${state}/keys`, isReadOnly: false },
    ],
    env: { CAUSEWAY_HEALTH_URL: `${admin}/healthz` },
    outPort,
    admin,
  }
}

await tryImage(RELAY_IMAGE, async (trial) => checkRunning(await makeWorld(trial)))
