// Runs an image the way production should (SC-3): its own user, read-only root, tmpfs for /tmp, no capabilities, no new privileges, no core
// dumps. With Docker, or with crun on the root file system that buildah mounts. The network is the host's: both sides of the relay are on loopback.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../harness/postfix.ts'

/** What of an image's configuration both builders tell alike. */
export interface ImageConfig {
  readonly User?: string
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly WorkingDir?: string
  readonly StopSignal?: string
  readonly Healthcheck?: { readonly Test: readonly string[] }
}

export interface Mount {
  /** A directory of the host, or what `makeVolume` returned. */
  readonly source: string
  readonly target: string
  readonly isReadOnly: boolean
}

export interface RunOptions {
  readonly mounts?: readonly Mount[]
  /** In place of the image's command. */
  readonly args?: readonly string[]
  /** In place of the image's entry point and command. */
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** root with leave to read every file, to look the image over. */
  readonly asReader?: boolean
}

export interface Container {
  /** Runs a command inside, as the image's user. */
  exec(command: readonly string[], env?: Readonly<Record<string, string>>): Promise<{ status: number; output: string }>
  kill(signal: 'TERM' | 'KILL'): Promise<void>
  readonly exited: Promise<number>
  /** Standard output and error so far. */
  output(): string
}

export interface Engine {
  readonly config: ImageConfig
  /** Everything the builder knows of the image: configuration, history, layers. */
  readonly description: string
  /** A place that outlives containers, owned by the image's user. */
  makeVolume(name: string): Promise<string>
  run(name: string, options?: RunOptions): Container
  close(): Promise<void>
}

export const USER_ID = 10_001

function started(
  argv: readonly string[],
  execArgv: (command: readonly string[], env: Readonly<Record<string, string>>) => readonly string[],
  killArgv: (signal: string) => readonly string[],
): Container {
  const [file = '', ...args] = argv
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const run = ([command = '', ...rest]: readonly string[]) => runCommand(command, rest)
  return {
    exec: (command, env = {}) => run(execArgv(command, env)),
    async kill(signal) {
      const { status, output: said } = await run(killArgv(signal))
      if (status !== 0) throw new Error(`SIG${signal} could not be sent: ${said}`)
    },
    exited: once(child, 'close').then(([code]) => (typeof code === 'number' ? code : -1)),
    output: () => output,
  }
}

export async function dockerEngine(image: string): Promise<Engine> {
  const inspected = await docker('image', 'inspect', image)
  const history = await docker('history', '--no-trunc', image)
  const [details] = JSON.parse(inspected) as { Config: ImageConfig }[]
  const made: string[] = []
  const volumes: string[] = []
  return {
    config: details?.Config ?? {},
    description: inspected + history,
    async makeVolume(name) {
      const volume = `causeway-try-${process.pid}-${name}`
      await docker('volume', 'create', volume)
      volumes.push(volume)
      return volume
    },
    run(name, { mounts = [], args = [], command, env = {}, asReader = false } = {}) {
      const container = `causeway-try-${process.pid}-${name}`
      made.push(container)
      const [entrypoint, ...rest] = command ?? []
      const options = [
        '--network=host --read-only --tmpfs=/tmp --cap-drop=ALL --security-opt=no-new-privileges --ulimit=core=0'.split(
          ' ',
        ),
        asReader ? ['--user=0', '--cap-add=DAC_READ_SEARCH'] : [],
        mounts.map(({ source, target, isReadOnly }) => `--volume=${source}:${target}${isReadOnly ? ':ro' : ''}`),
        Object.entries(env).map(([key, value]) => `--env=${key}=${value}`),
        entrypoint === undefined ? [] : [`--entrypoint=${entrypoint}`],
      ].flat()
      return started(
        [
          'docker',
          'run',
          '--rm',
          `--name=${container}`,
          ...options,
          image,
          ...rest,
          ...(command === undefined ? args : []),
        ],
        (inside, over) => [
          'docker',
          'exec',
          ...Object.entries(over).map(([key, value]) => `--env=${key}=${value}`),
          container,
          ...inside,
        ],
        (signal) => ['docker', 'kill', `--signal=${signal}`, container],
      )
    },
    async close() {
      // What ended is gone already (--rm), and that is said as a failure.
      for (const container of made) await runCommand('docker', ['rm', '--force', container])
      for (const volume of volumes) await docker('volume', 'rm', volume)
    },
  }
}

async function docker(...args: string[]): Promise<string> {
  const { status, output } = await runCommand('docker', args)
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${output}`)
  return output
}

// crun refuses machines whose control groups are half version 1, half 2. It gets a view of its own in which there is only version 2: no limit is
// set through it, it only has to be found.
const OWN_CGROUPS = 'umount -R -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'

/**
 * @param rootfs  the image's root file system, as `buildah mount` gives it
 * @param inspected  file with what `buildah inspect --type image` says
 * @param work  directory for volumes and bundles; the caller removes it
 */
export async function crunEngine(rootfs: string, inspected: string, work: string): Promise<Engine> {
  const description = readFileSync(inspected, 'utf8')
  const { config } = (JSON.parse(description) as { Docker: { config: ImageConfig } }).Docker
  const crun = (...args: string[]) => [
    'unshare',
    '--mount',
    'sh',
    '-c',
    OWN_CGROUPS,
    'sh',
    'crun',
    `--root=${join(work, 'crun')}`,
    '--cgroup-manager=disabled',
    ...args,
  ]
  const running: Container[] = []
  return {
    config,
    description,
    makeVolume(name) {
      const directory = join(work, 'volumes', name)
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      chownSync(directory, USER_ID, USER_ID)
      return Promise.resolve(directory)
    },
    run(name, options = {}) {
      const bundle = join(work, 'bundles', name)
      mkdirSync(bundle, { recursive: true })
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(runtimeSpec(rootfs, config, options)))
      const container = started(
        crun('run', `--bundle=${bundle}`, name),
        (inside, over) =>
          crun(
            'exec',
            `--user=${config.User ?? '0'}`, // else it is root, without a capability
            ...Object.entries(over).map(([key, value]) => `--env=${key}=${value}`),
            name,
            ...inside,
          ),
        (signal) => crun('kill', name, signal),
      )
      running.push(container)
      return container
    },
    async close() {
      for (const container of running) {
        // One that has ended can't be killed; one that has not must be.
        await container.kill('KILL').catch(() => undefined)
        await container.exited
      }
    },
  }
}

/** OCI runtime specification 1.0: what Docker makes of the options in `dockerEngine`, but for its filter of system calls. */
function runtimeSpec(rootfs: string, config: ImageConfig, options: RunOptions): unknown {
  const { mounts = [], args = config.Cmd ?? [], command, env = {}, asReader = false } = options
  const [uid = 0, gid = uid] = (config.User ?? '').split(':').map(Number)
  const capabilities = asReader ? ['CAP_DAC_READ_SEARCH'] : []
  const special = (destination: string, type: string, ...flags: string[]) => ({
    destination,
    type,
    source: type,
    options: ['nosuid', 'noexec', ...flags],
  })
  return {
    ociVersion: '1.0.0',
    process: {
      terminal: false,
      user: asReader ? { uid: 0, gid: 0 } : { uid, gid },
      args: command ?? [...(config.Entrypoint ?? []), ...args],
      env: [...(config.Env ?? []), ...Object.entries(env).map(([key, value]) => `${key}=${value}`)],
      cwd: config.WorkingDir ?? '/',
      capabilities: Object.fromEntries(
        ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'].map((set) => [set, capabilities]),
      ),
      rlimits: [{ type: 'RLIMIT_CORE', hard: 0, soft: 0 }],
      noNewPrivileges: true,
    },
    root: { path: rootfs, readonly: true },
    hostname: 'causeway-try',
    mounts: [
      special('/proc', 'proc', 'nodev'),
      { ...special('/dev', 'tmpfs', 'mode=755', 'size=65536k') },
      special('/tmp', 'tmpfs', 'nodev', 'mode=1777', 'size=65536k'),
      ...mounts.map(({ source, target, isReadOnly }) => ({
        destination: target,
        type: 'bind',
        source,
        options: ['rbind', 'nosuid', 'nodev', isReadOnly ? 'ro' : 'rw'],
      })),
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'ipc' }, { type: 'uts' }, { type: 'mount' }],
      maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/sched_debug'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}
