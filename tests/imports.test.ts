// Who may import whom (ARCHITECTURE.md, "Import rules"), read from the import lines of every file. Also fails on a cycle between files.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { importLines, ownTarget, packageName } from './harness/import-lines.ts'
import type { ImportLine } from './harness/import-lines.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

interface RoomRule {
  /** Our own files it may reach, as path prefixes from the root. */
  readonly ours: readonly string[]
  /** `node:` modules: all, or only those named. */
  readonly node: 'all' | readonly string[]
  readonly packages: readonly string[]
  readonly why: string
}

const ROOMS: Record<string, RoomRule> = {
  'rewrite-rules': {
    ours: ['rewrite-rules/'],
    node: ['node:url', 'node:crypto', 'node:buffer'],
    packages: [],
    why: 'the engine is a pure function (R1): no I/O, no clock, no package that could bring one',
  },
  common: { ours: ['common/'], node: 'all', packages: ['prom-client'], why: 'knows neither mail nor tenants' },
  mta: {
    ours: ['mta/', 'rewrite-rules/index.ts', 'common/'],
    node: 'all',
    packages: ['smtp-server', 'yaml', 'prom-client', 'mailauth', 'dns-packet', 'jose'],
    why: 'PS-1: the engine through its one face is all that reads mail here; no library parser of mail decides (mailauth judges signatures, dns-packet reads DNS for DANE, jose signs the tokens of RC-1), and never the control plane',
  },
  'control-plane': {
    ours: ['control-plane/', 'rewrite-rules/index.ts', 'common/'],
    node: 'all',
    packages: [
      'express',
      'helmet',
      'zod',
      'zod-openapi',
      'pg',
      'kysely',
      'bullmq',
      'ioredis',
      'jose',
      '@azure/msal-node',
      '@azure/keyvault-keys',
      '@azure/identity',
      'mailparser',
      'nodemailer',
      'prom-client',
    ],
    why: 'knows relays by the contract in common/ only, and Microsoft 365, simulated or not, over the network only',
  },
  sandbox: {
    ours: ['sandbox/', 'common/'],
    node: 'all',
    packages: ['jose', 'dns-packet', 'mailauth', 'nodemailer', 'smtp-server'],
    why: 'stands in for services of somebody else, so it shares nothing with those who use them',
  },
  cli: {
    ours: ['cli/', 'mta/', 'control-plane/', 'sandbox/', 'rewrite-rules/index.ts', 'common/'],
    node: 'all',
    packages: ['smtp-server'],
    why: 'thin: starts the others',
  },
  scripts: { ours: ['scripts/'], node: 'all', packages: [], why: 'runs before anything is installed' },
}

/** Inside mta/: message → inbound → spool → queue → outbound; only worker.ts sees all of it. Empty list: files at the top of mta/ only. */
const MTA_FOLDERS: Record<string, readonly string[]> = {
  inbound: ['spool', 'sign'],
  // A push is believed by the enrolment's keys, and kept by the calls that the spool makes.
  mapping: ['enrolment', 'spool'],
  enrolment: ['spool'],
  events: ['enrolment', 'spool'],
  // Given headers, hashes and keys, it gives decisions and fields: whose they are and where they go is not its business.
  sign: [],
  spool: [],
  queue: ['spool', 'outbound', 'bounce'],
  outbound: [],
  bounce: [],
  journal: [],
  doctor: ['spool', 'mapping', 'outbound', 'enrolment'],
  admin: ['queue', 'spool'],
  workers: ['admin', 'spool', 'mapping', 'enrolment'],
}

interface SourceFile {
  readonly path: string
  readonly imports: readonly ImportLine[]
}

function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs)$/.test(name))
    .map((name) => ({ path: join(folder, name), imports: importLines(readFileSync(join(ROOT, folder, name), 'utf8')) }))
}

for (const [room, rule] of Object.entries(ROOMS)) {
  test(`${room}/ keeps to its imports: ${rule.why}`, () => {
    const files = sourceFiles(room)
    assert.ok(files.length > 0, 'a room without files would prove nothing')
    const faults = []
    for (const file of files) {
      for (const { specifier } of file.imports) {
        const own = ownTarget(file.path, specifier)
        const isAllowed =
          own !== undefined
            ? rule.ours.some((prefix) => own.startsWith(prefix))
            : specifier.startsWith('node:')
              ? rule.node === 'all' || rule.node.includes(specifier)
              : rule.packages.includes(packageName(specifier))
        if (!isAllowed) faults.push(`${file.path} imports ${specifier}`)
      }
    }
    assert.deepEqual(faults, [])
  })
}

test('inside mta/ things flow one way: inbound → spool → queue → outbound, and only the bounce goes back', () => {
  const faults = []
  let seen = 0
  for (const file of sourceFiles('mta')) {
    const [, folder = '', rest] = file.path.split('/')
    if (rest === undefined) continue
    const allowed = MTA_FOLDERS[folder]
    if (allowed === undefined) {
      faults.push(`${file.path}: the folder has no rule here`)
      continue
    }
    for (const { specifier } of file.imports) {
      const target = ownTarget(file.path, specifier)?.split('/')
      if (target?.[0] !== 'mta' || target.length < 3 || target[1] === folder) continue
      seen++
      if (!allowed.includes(target[1] ?? '')) faults.push(`${file.path} imports ${specifier}`)
    }
  }
  assert.ok(seen > 0, 'no import between folders was found: the reader of import lines is broken')
  assert.deepEqual(faults, [])
})

test('no cycle between files (imports of types alone may point back)', () => {
  const graph = new Map<string, string[]>()
  for (const room of Object.keys(ROOMS)) {
    for (const file of sourceFiles(room)) {
      const targets = file.imports
        .filter((line) => !line.isTypeOnly)
        .map((line) => ownTarget(file.path, line.specifier))
      graph.set(
        file.path,
        targets.filter((target) => target !== undefined),
      )
    }
  }
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
    if (done.has(path) || trail.includes(path)) return
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  assert.deepEqual(cycles, [])
})

test('the lockfile holds no download addresses and every dependency an exact version', () => {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  assert.ok(!lock.includes('"resolved"'))
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  for (const section of ['dependencies', 'devDependencies', 'optionalDependencies', 'overrides']) {
    for (const [name, version] of Object.entries(manifest[section] ?? {})) {
      assert.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, `${section}.${name}`)
    }
  }
})

test('SC-1: no mail or parsing dependency is below the version that closes its known holes', () => {
  const floors: [name: string, floor: string, why: string][] = [
    ['nodemailer', '10.5.0', 'address parsing and header injection'],
    ['smtp-server', '3.21.6', 'end-of-data smuggling'],
    ['mailparser', '3.9.31', 'the newest whose parts are all published'],
  ]
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version?: string }>
  }
  for (const [name, floor, why] of floors) {
    const installed = Object.entries(lock.packages).filter(([path]) => path.endsWith(`node_modules/${name}`))
    assert.ok(installed.length > 0, name)
    for (const [path, { version = '0' }] of installed) {
      assert.ok(version.localeCompare(floor, 'en', { numeric: true }) >= 0, `${path} ${version} < ${floor}: ${why}`)
    }
  }
})
