// What the lockfile installs for a given set of dependencies, by npm's own rule: a package is looked for beside the one that needs it, then one folder
// up, and so on.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../harness/relay.ts'

interface LockedPackage {
  readonly dev?: boolean
  readonly optional?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

export interface LockedPackages {
  /** Folders of packages, `node_modules/…`, that must be there. */
  readonly required: ReadonlySet<string>
  /** Those too that are for some machines only. */
  readonly allowed: ReadonlySet<string>
}

/** @param roots  names of dependencies @throws when the lockfile lacks one */
export function lockedPackages(roots: readonly string[]): LockedPackages {
  const packages = readLock()
  const allowed = new Set<string>()
  const required = new Set<string>()
  const visit = (from: string, name: string, isRequired: boolean): void => {
    const folder = findPackage(packages, from, name)
    if (folder === undefined) {
      if (isRequired) throw new Error(`the lockfile has no ${name} for ${from === '' ? 'us' : from}`)
      return
    }
    const mustBeThere = isRequired && packages[folder]?.optional !== true
    if (required.has(folder) || (allowed.has(folder) && !mustBeThere)) return
    allowed.add(folder)
    if (mustBeThere) required.add(folder)
    const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = packages[folder] ?? {}
    for (const next of Object.keys(dependencies)) visit(folder, next, mustBeThere)
    for (const next of Object.keys({ ...optionalDependencies, ...peerDependencies })) visit(folder, next, false)
  }
  for (const name of roots) visit('', name, true)
  return { required, allowed }
}

/** What of `wanted` is not in `found`. */
export function missingFrom(found: ReadonlySet<string>, wanted: ReadonlySet<string>): string[] {
  return [...wanted].filter((folder) => !found.has(folder))
}

/** Folders of packages that only development needs. */
export function lockedDevelopment(): ReadonlySet<string> {
  const development = Object.entries(readLock()).filter(([, { dev }]) => dev === true)
  return new Set(development.map(([folder]) => folder))
}

function readLock(): Readonly<Record<string, LockedPackage>> {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, LockedPackage>>
  }
  return lock.packages
}

function findPackage(packages: Readonly<Record<string, unknown>>, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    const candidate = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
    if (candidate in packages) return candidate
    if (folder === '') return undefined
  }
}
