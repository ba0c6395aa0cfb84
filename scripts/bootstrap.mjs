// Makes a fresh clone runnable: installs the locked dependencies when they are missing or differ, and checks for Node 24.
// Plain JavaScript: any Node from 18 on runs it, before anything is installed. npm runs it ahead of `start`, `test` and `check`.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages
  } catch (error) {
    if (error.code === 'ENOENT') return {}
    throw error
  }
}

const want = lockedPackages('package-lock.json')
const have = lockedPackages('node_modules/.package-lock.json')
const isStale =
  Object.entries(want).some(
    ([path, entry]) => path !== '' && !entry.optional && have[path]?.version !== entry.version,
  ) ||
  Object.keys(have).some((path) => want[path]?.version !== have[path].version) ||
  Object.keys(have).length === 0

if (isStale) {
  const npm = process.env.npm_execpath
  if (!npm) {
    console.error('Run this through npm (npm start, npm test), or run `npm ci` first.')
    process.exit(2)
  }
  console.error('Installing dependencies (once, about a minute) …')
  const { status } = spawnSync(process.execPath, [npm, 'ci', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) process.exit(status ?? 1)
}

const bundledNode = join(root, 'node_modules/.bin/node')
const node = existsSync(bundledNode) ? bundledNode : 'node'
const version = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout?.trim() ?? ''
if (Number(version.split('.')[0]) < 24) {
  console.error(
    `Causeway needs Node 24 or later; this platform found ${version || 'none'}. Install it (macOS: brew install node@24) and try again.`,
  )
  process.exit(2)
}
