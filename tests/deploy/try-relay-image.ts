// Looks an image of the relay over and runs it: one line a check, exit code 0 only when all held. deploy/try-images.sh builds the image and calls
// this. (SC-1, SC-3, SF-3, OP-1, DU-6)
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { freePorts } from '../harness/ports.ts'
import { ROOT } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { crunEngine, dockerEngine, USER_ID } from './container.ts'
import type { Container, Engine, Mount } from './container.ts'
import { IMAGE_CONTENT, listFiles } from './image-files.ts'

const { values } = parseArgs({
  options: {
    image: { type: 'string' },
    rootfs: { type: 'string' },
    inspected: { type: 'string' },
    /** Text that must not be found in the image's description: the registry it was built from, for one. */
    unspoken: { type: 'string', multiple: true, default: [] },
  },
})

const NODE = '/opt/causeway/node_modules/.bin/node'
/** Longer than the relay's grace period. */
const STOP_MS = 40_000
const WHOLE_RUN_MS = 300_000

let failed = 0
/** @param fault  what is wrong, or nothing */
function check(what: string, fault: string | undefined | false): void {
  if (fault === undefined || fault === false || fault === '') return console.log(`ok      ${what}`)
  failed++
  console.log(`FAILED  ${what}: ${fault}`)
}

function unless(isSo: boolean, otherwise: string): string | undefined {
  return isSo ? undefined : otherwise
}

async function checkConfiguration({ config, description }: Engine): Promise<void> {
  const [uid = 0] = (config.User ?? '').split(':').map(Number)
  check(`it runs as a user from ${USER_ID} up (SC-3)`, unless(uid >= USER_ID, `User is ${JSON.stringify(config.User)}`))
  check('SIGTERM stops it', unless(config.StopSignal === 'SIGTERM', `StopSignal is ${config.StopSignal}`))
  check('it has a health check (SC-3)', unless(config.Healthcheck?.Test[0] === 'CMD', 'there is none'))
  const unspoken = values.unspoken.filter((text) => text !== '' && description.includes(text))
  check('its history names neither the registry nor files of the builder', unspoken.length > 0 && 'it does')
}

async function checkFiles(engine: Engine): Promise<void> {
  const { files, keys } = await listFiles(engine, NODE)
  const paths = files.map(({ path }) => path)
  const inRelay = files.filter(({ path }) => path.startsWith('/opt/causeway/'))
  check(
    `the relay's files are there (${inRelay.length})`,
    unless(inRelay.length > 200 && paths.includes('/opt/causeway/mta/main.ts'), `${inRelay.length} files`),
  )
  const strangers = new Set(
    inRelay.map(({ path }) => path.split('/')[3] ?? '').filter((name) => !IMAGE_CONTENT.includes(name)),
  )
  check('nothing but what the relay needs: no tests, benches, documents', [...strangers].join(' '))
  const tests = inRelay.filter(({ path }) => path.endsWith('.test.ts'))
  check('no test file', tests.map(({ path }) => path).join(' '))

  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>
  }
  const isInstalled = (folder: string) => paths.includes(`/opt/causeway/${folder}/package.json`)
  const locked = Object.entries(lock.packages).filter(([folder]) => folder !== '')
  const development = locked.filter(([folder, { dev }]) => dev === true && isInstalled(folder))
  check('no development dependency (SC-1)', development.map(([folder]) => folder).join(' '))
  const missing = locked.filter(
    ([folder, { dev, optional, devOptional }]) => !(dev ?? optional ?? devOptional ?? false) && !isInstalled(folder),
  )
  check('every production dependency of the lockfile (SC-1)', missing.map(([folder]) => folder).join(' '))

  const secret = paths.filter((path) => /\/(\.npmrc|\.env|\.git|id_(rsa|ed25519)|[^/]*\.(key|p12|pfx))$/.test(path))
  check('no secret by its name (SC-3)', secret.join(' '))
  check('no private key by its content (SC-3)', keys.join(' '))
  const tools = paths.filter((path) =>
    /^(\/usr)?\/(local\/)?s?bin\/(npm|npx|yarn|corepack|curl|wget|nc|gcc)$/.test(path),
  )
  check('no package manager, downloader or compiler (SC-3)', tools.join(' '))
  const setuid = files.filter(({ mode }) => (mode & 0o6000) !== 0)
  check('no setuid or setgid file (SC-3)', setuid.map(({ path }) => path).join(' '))
  const writable = inRelay.filter(({ uid, mode }) => uid !== 0 || (mode & 0o022) !== 0)
  check('the relay can change none of its own files', writable.map(({ path }) => path).join(' '))
}

interface World {
  readonly engine: Engine
  readonly hop: NextHop
  readonly mounts: readonly Mount[]
  readonly env: Readonly<Record<string, string>>
  readonly outPort: number
  readonly admin: string
}

async function start({ engine, mounts, env, admin }: World, name: string): Promise<Container> {
  const container = engine.run(name, { mounts, env })
  let exit: number | undefined
  void container.exited.then((code) => (exit = code))
  await eventually('/readyz', async () => {
    if (exit !== undefined) throw new Error(`the container ended with ${exit}:\n${container.output()}`)
    return (await fetch(`${admin}/readyz`).catch(() => undefined))?.ok === true ? true : undefined
  })
  return container
}

async function stop(container: Container): Promise<number> {
  await container.kill('TERM')
  return Promise.race([container.exited, deadline(STOP_MS, -1)])
}

function deadline<T>(ms: number, value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, ms, value).unref())
}

function message(subject: string): Buffer {
  return Buffer.from(
    ['From: Alice <alice@contoso.com>', 'To: dana@example.net', `Subject: ${subject}`, '', 'Hello', ''].join('\r\n'),
  )
}

async function checkRunning(world: World): Promise<void> {
  const { engine, hop, outPort } = world
  const container = await start(world, 'first')
  check('it is ready with a read-only root and no capabilities (SC-3, OP-1)', undefined)

  const status = (await container.exec([NODE, '-p', 'fs.readFileSync("/proc/1/status", "utf8")'])).output
  const uids = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number) ?? []
  check(
    'its process is nobody else',
    unless(uids.length === 4 && uids.every((uid) => uid === USER_ID), `Uid: ${uids.join(' ')}`),
  )
  const capabilities = [...status.matchAll(/^Cap\w+:\s+([0-9a-f]+)$/gm)]
  check(
    'it has no capability, not even to gain',
    unless(capabilities.length === 5 && capabilities.every((found) => Number(found[1]) === 0), status),
  )
  check('it can gain no privilege', unless(/^NoNewPrivs:\s+1$/m.test(status), status))
  const limits = (await container.exec([NODE, '-p', 'fs.readFileSync("/proc/1/limits", "utf8")'])).output
  check('a crash dumps no core (SF-3)', unless(/^Max core file size\s+0\s+0\s/m.test(limits), limits))
  const write = (path: string) => container.exec([NODE, '-e', `fs.writeFileSync(${JSON.stringify(path)}, "")`])
  for (const path of ['/opt/causeway/x', '/etc/causeway/x']) {
    const { output } = await write(path)
    check(`${path} can't be written`, unless(output.includes('EROFS'), output))
  }
  check('/tmp can be written', unless((await write('/tmp/x')).status === 0, 'it cannot'))

  const [, ...health] = engine.config.Healthcheck?.Test ?? []
  const healthy = await container.exec(health, world.env)
  check('its health check says healthy', unless(healthy.status === 0, `${healthy.status} ${healthy.output}`))
  const sick = await container.exec(health, { CAUSEWAY_HEALTH_URL: 'http://127.0.0.1:1/healthz' })
  check('its health check can say unhealthy', unless(sick.status === 1, `${sick.status} ${sick.output}`))

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

  hop.behave({ act: ({ stage }) => (stage === 'MAIL' ? '451 4.3.0 later' : undefined) })
  await sendMail(outPort, { from: 'alice@contoso.com', to: ['dana@example.net'], data: message('two') })
  const ended = await stop(container)
  check('SIGTERM: it exits 0 (DU-6)', unless(ended === 0, `it exited ${ended}:\n${container.output()}`))
  hop.behave({})
  const second = await start(world, 'second')
  const late = await eventually('the kept message', () => hop.taken[1])
  check(
    'the next container on the same volumes delivers what waited',
    unless(late.content.includes('Subject: two'), ''),
  )
  const log = container.output() + second.output()
  check('no address in its log (PR-2)', log.includes('alice') && log)
  check('SIGTERM: the second exits 0', unless((await stop(second)) === 0, second.output()))

  const forgetful = engine.run('forgetful', { ...world, mounts: world.mounts.slice(0, 1) })
  const refused = await Promise.race([forgetful.exited, deadline(STOP_MS, -1)])
  check(
    'without its volumes it refuses to start, instead of losing mail later',
    unless(refused === 2, forgetful.output()),
  )
}

async function makeWorld(engine: Engine, work: string): Promise<World> {
  const hop = await NextHop.start()
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
  for (const path of [work, etc]) await chmod(path, 0o755)
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

async function main(): Promise<void> {
  await using cleanUp = new AsyncDisposableStack()
  const work = await mkdtemp(join(tmpdir(), 'causeway-image-'))
  cleanUp.defer(() => rm(work, { recursive: true, force: true }))
  const { image, rootfs, inspected } = values
  const engine =
    rootfs !== undefined && inspected !== undefined
      ? await crunEngine(rootfs, inspected, work)
      : await dockerEngine(image ?? 'causeway-mta')
  cleanUp.defer(() => engine.close())
  await checkConfiguration(engine)
  await checkFiles(engine)
  const world = await makeWorld(engine, work)
  cleanUp.defer(() => world.hop.close())
  await checkRunning(world)
}

setTimeout(() => {
  console.log(`FAILED  not done after ${WHOLE_RUN_MS / 1000} s`)
  process.exit(1)
}, WHOLE_RUN_MS).unref()
try {
  await main()
} catch (error) {
  check('everything could be tried', error instanceof Error ? (error.stack ?? error.message) : String(error))
}
console.log(failed === 0 ? 'the image holds all of it' : `${failed} checks failed`)
process.exit(failed === 0 ? 0 : 1)
