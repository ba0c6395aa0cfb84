// What every image of this repository must hold to, whatever runs in it: one line a check, exit code 0 only when all held. (SC-1, SC-3, SF-3, OP-1)
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { eventually } from '../harness/wait.ts'
import { crunEngine, dockerEngine, USER_ID } from './container.ts'
import type { Container, Engine, RunOptions } from './container.ts'
import { listFiles } from './image-files.ts'
import { packagesOf } from './image-kinds.ts'
import type { ImageKind } from './image-kinds.ts'
import { lockedDevelopment, missingFrom } from './locked-packages.ts'

export const NODE = '/opt/causeway/node_modules/.bin/node'
/** What SIGTERM gives, and a little for the engine. (DU-6) */
const STOP_MS = 32_000
const READY_MS = 60_000
const WHOLE_RUN_MS = 300_000

let failed = 0
/** @param fault  what is wrong, or nothing */
export function check(what: string, fault: string | undefined | false): void {
  if (fault === undefined || fault === false || fault === '') return console.log(`ok      ${what}`)
  failed++
  console.log(`FAILED  ${what}: ${fault}`)
}

export function unless(isSo: boolean, otherwise: string): string | undefined {
  return isSo ? undefined : otherwise
}

export interface Trial {
  readonly engine: Engine
  /** A directory that everybody can read; it goes with the trial. */
  readonly work: string
  /** What to close at the end, last first. */
  readonly cleanUp: AsyncDisposableStack
}

/** Looks the image over that the command line names, hands it to `run`, and ends the process. */
export async function tryImage(image: ImageKind, run: (trial: Trial) => Promise<void>): Promise<never> {
  setTimeout(() => {
    console.log(`FAILED  not done after ${WHOLE_RUN_MS / 1000} s`)
    process.exit(1)
  }, WHOLE_RUN_MS).unref()
  try {
    await using cleanUp = new AsyncDisposableStack()
    const work = await mkdtemp(join(tmpdir(), 'causeway-image-'))
    cleanUp.defer(() => rm(work, { recursive: true, force: true }))
    // The image's user comes through it to what is mounted.
    await chmod(work, 0o755)
    const { engine, unspoken } = await openEngine(work, image)
    cleanUp.defer(() => engine.close())
    checkConfiguration(engine, unspoken)
    await checkFiles(engine, image)
    await run({ engine, work, cleanUp })
  } catch (error) {
    check('everything could be tried', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  console.log(failed === 0 ? `the ${image.name} image holds all of it` : `${failed} checks failed`)
  process.exit(failed === 0 ? 0 : 1)
}

async function openEngine(work: string, { name }: ImageKind): Promise<{ engine: Engine; unspoken: readonly string[] }> {
  const { values } = parseArgs({
    options: {
      image: { type: 'string', default: `causeway-${name}` },
      rootfs: { type: 'string' },
      inspected: { type: 'string' },
      /** Text that must not be found in the image's description: the registry it was built from, for one. */
      unspoken: { type: 'string', multiple: true, default: [] },
    },
  })
  const { image, rootfs, inspected, unspoken } = values
  const engine =
    rootfs !== undefined && inspected !== undefined
      ? await crunEngine(rootfs, inspected, work)
      : await dockerEngine(image)
  return { engine, unspoken }
}

function checkConfiguration({ config, description }: Engine, unspoken: readonly string[]): void {
  const [uid = 0] = (config.User ?? '').split(':').map(Number)
  check(`it runs as a user from ${USER_ID} up (SC-3)`, unless(uid >= USER_ID, `User is ${JSON.stringify(config.User)}`))
  check('SIGTERM stops it', unless(config.StopSignal === 'SIGTERM', `StopSignal is ${config.StopSignal}`))
  check('it has a health check (SC-3)', unless(config.Healthcheck?.Test[0] === 'CMD', 'there is none'))
  check('it is for production', unless(config.Env?.includes('NODE_ENV=production') === true, 'NODE_ENV says otherwise'))
  const spoken = unspoken.filter((text) => text !== '' && description.includes(text))
  check('its history names neither the registry nor files of the builder', spoken.length > 0 && 'it does')
}

async function checkFiles(engine: Engine, image: ImageKind): Promise<void> {
  const { files, keys } = await listFiles(engine, NODE)
  const paths = files.map(({ path }) => path)
  const ours = files.filter(({ path }) => path.startsWith('/opt/causeway/'))
  const sizeMb = Math.round(ours.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 1e6)
  check(
    `its files are there (${ours.length}, ${sizeMb} MB)`,
    unless(paths.includes(`/opt/causeway/${image.heart}`), `${image.heart} is not`),
  )
  const strangers = new Set(
    ours.map(({ path }) => path.split('/')[3] ?? '').filter((name) => !image.content.includes(name)),
  )
  check(`nothing beside ${image.content.join(', ')}: no tests, benches, documents`, [...strangers].join(' '))
  const tests = ours.filter(({ path }) => path.endsWith('.test.ts') && !path.includes('/node_modules/'))
  check('no test of ours', tests.map(({ path }) => path).join(' '))

  const installed = new Set(
    ours.flatMap(
      ({ path }) =>
        /^\/opt\/causeway\/(node_modules\/(?:@[^/]+\/)?[^/]+(?:\/node_modules\/(?:@[^/]+\/)?[^/]+)*)\/package\.json$/.exec(
          path,
        )?.[1] ?? [],
    ),
  )
  const { required, allowed } = packagesOf(image)
  check('every package that its sources need (SC-1)', missingFrom(installed, required).join(' '))
  check(`none that they don't, of ${installed.size} (SC-1)`, missingFrom(allowed, installed).join(' '))
  check(
    'no development dependency (SC-1)',
    [...lockedDevelopment()].filter((folder) => installed.has(folder)).join(' '),
  )

  const secret = paths.filter((path) => /\/(\.npmrc|\.env|\.git|id_(rsa|ed25519)|[^/]*\.(key|p12|pfx))$/.test(path))
  check('no secret by its name (SC-3)', secret.join(' '))
  check('no private key by its content (SC-3)', keys.join(' '))
  const tools = paths.filter((path) =>
    /^(\/usr)?\/(local\/)?s?bin\/(npm|npx|yarn|corepack|curl|wget|nc|gcc)$/.test(path),
  )
  check('no package manager, downloader or compiler (SC-3)', tools.join(' '))
  const setuid = files.filter(({ mode }) => (mode & 0o6000) !== 0)
  check('no setuid or setgid file (SC-3)', setuid.map(({ path }) => path).join(' '))
  const writable = ours.filter(({ uid, mode }) => uid !== 0 || (mode & 0o022) !== 0)
  check('it can change none of its own files', writable.map(({ path }) => path).join(' '))
}

/** @param admin  URL of its metrics and health @returns when it is ready @throws when it ends instead */
export async function startReady(engine: Engine, name: string, options: RunOptions, admin: string): Promise<Container> {
  const container = engine.run(name, options)
  let exit: number | undefined
  void container.exited.then((code) => (exit = code))
  await eventually(
    `/readyz of ${name}`,
    async () => {
      if (exit !== undefined) throw new Error(`the container ended with ${exit}:\n${container.output()}`)
      return (await fetch(`${admin}/readyz`).catch(() => undefined))?.ok === true ? true : undefined
    },
    READY_MS,
  )
  return container
}

/** @returns its exit code, -1 when it has not ended in time */
export async function stop(container: Container): Promise<number> {
  await container.kill('TERM')
  return ended(container)
}

export function ended(container: Container): Promise<number> {
  const tooLate = new Promise<number>((resolve) => setTimeout(resolve, STOP_MS, -1).unref())
  return Promise.race([container.exited, tooLate])
}

/** What a running container can't do, and what its health check says. @param volumes  where it may write beside /tmp */
export async function checkConfined(
  container: Container,
  { config }: Engine,
  volumes: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const status = (await container.exec([NODE, '-p', 'fs.readFileSync("/proc/1/status", "utf8")'])).output
  const uids = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number) ?? []
  check(
    `its process is ${USER_ID} and nobody else`,
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

  const walked = await container.exec([NODE, '-e', `(${listWritable.toString()})()`])
  const expected = ['/tmp', ...volumes].toSorted().join(' ')
  check(`nothing can be written but ${expected}`, unless(walked.output.trim() === expected, walked.output))
  const { output: refusal } = await container.exec([NODE, '-e', 'fs.writeFileSync("/opt/causeway/x", "")'])
  check('its root is read-only (SC-3)', unless(refusal.includes('EROFS'), refusal))

  const [, ...health] = config.Healthcheck?.Test ?? []
  const healthy = await container.exec(health, env)
  check('its health check says healthy', unless(healthy.status === 0, `${healthy.status} ${healthy.output}`))
  const sick = await container.exec(health, { CAUSEWAY_HEALTH_URL: 'http://127.0.0.1:1/healthz' })
  check('its health check can say unhealthy', unless(sick.status === 1, `${sick.status} ${sick.output}`))
}

/** Runs inside: prints what the process may write, a directory in place of all that is in it. What the kernel makes is left out. */
function listWritable(): void {
  const fs = process.getBuiltinModule('node:fs')
  const outside = new Set(['/proc', '/sys', '/dev'])
  const writable: string[] = []
  const isWritable = (path: string): boolean => {
    try {
      fs.accessSync(path, fs.constants.W_OK)
      return true
    } catch {
      return false
    }
  }
  const look = (directory: string): void => {
    if (outside.has(directory)) return
    if (isWritable(directory)) return void writable.push(directory)
    let entries
    try {
      entries = fs.readdirSync(directory, { withFileTypes: true })
    } catch {
      return // not ours to enter, so not to write in either
    }
    for (const entry of entries) {
      const path = directory === '/' ? `/${entry.name}` : `${directory}/${entry.name}`
      if (entry.isDirectory()) look(path)
      else if (!entry.isSymbolicLink() && isWritable(path)) writable.push(path)
    }
  }
  look('/')
  console.log(writable.toSorted().join(' '))
}
