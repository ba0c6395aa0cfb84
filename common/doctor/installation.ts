// The installation: what every causeway process needs, whatever it does. (OP-5, KM-6)
import { getFips } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

export interface InstallationFacts {
  readonly node: string
  readonly openssl: string
  readonly isFips: boolean
  readonly packages: readonly {
    readonly name: string
    readonly wanted: string
    readonly installed: string | undefined
  }[]
}

/** As package.json has it. */
const NODE_MAJOR = 24

export function judgeInstallation({ node, openssl, isFips, packages }: InstallationFacts): Finding[] {
  const major = Number(node.split('.', 1)[0])
  const wrong = packages.filter(({ wanted, installed }) => installed !== wanted)
  return [
    major < NODE_MAJOR
      ? fault('node', `Node ${node}`, `install Node ${NODE_MAJOR} or run \`npm ci\`, which brings it`)
      : major > NODE_MAJOR
        ? warning('node', `Node ${node}: newer than what is tested`, `run it with Node ${NODE_MAJOR}`)
        : ok('node', `Node ${node}`),
    wrong.length === 0
      ? ok('dependencies', `${packages.length} packages as package.json has them`)
      : fault(
          'dependencies',
          wrong.map(({ name, wanted, installed }) => `${name} ${installed ?? 'missing'}, not ${wanted}`).join('; '),
          'run `npm ci` in the installation',
        ),
    ok('fips', `OpenSSL ${openssl}, FIPS mode ${isFips ? 'on' : 'off'}`),
  ]
}

/** @param root  of the checkout or image */
export async function examineInstallation(root: string): Promise<Finding[]> {
  return judgeInstallation(await observeInstallation(root))
}

async function observeInstallation(root: string): Promise<InstallationFacts> {
  const { dependencies = {} } = await manifest(join(root, 'package.json'))
  const packages = await Promise.all(
    Object.entries(dependencies).map(async ([name, wanted]) => {
      const { version } = await manifest(join(root, 'node_modules', name, 'package.json'))
      return { name, wanted, installed: version }
    }),
  )
  return { node: process.versions.node, openssl: process.versions.openssl, isFips: getFips() === 1, packages }
}

async function manifest(file: string): Promise<{ version?: string; dependencies?: Record<string, string> }> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as { version?: string; dependencies?: Record<string, string> }
  } catch {
    // Not there, or not to be read: the same as not installed.
    return {}
  }
}
