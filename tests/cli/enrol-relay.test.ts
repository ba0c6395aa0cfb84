// `relay --enrol`: from URL and code to a relay that takes mail, and what of it stays on the machine. (RC-1, KM-5)
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestAuthority } from '../harness/certificates.ts'
import { twoTenants } from '../harness/enrolled-relay.ts'
import { freePorts } from '../harness/ports.ts'
import { PushServer } from '../harness/push-server.ts'
import { eventually } from '../harness/wait.ts'
import { TranscriptClient } from '../mta/inbound/transcript-client.ts'
import { causeway, folder, ROOT } from './causeway.ts'

test(
  'a relay comes of URL and code alone, is named and listens as asked, and comes again when it is run again',
  { timeout: 60_000 },
  async (t) => {
    using authority = new TestAuthority()
    const { certificate, key } = authority.issue({ names: ['DNS:relay1.example'] })
    const directory = join(folder(t), 'relay')
    const [listen = 0, monitor = 0] = await freePorts(2)
    await using server = await PushServer.start()
    const content = twoTenants(9, { allow: ['127.0.0.0/8'] })
    const pair = { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') }
    const listenerCertificates = [{ names: ['relay1.example'], ...pair }]
    server.version = 1
    server.content = { ...content, secrets: { ...content.secrets, listenerCertificates } }
    const run = (code: string) => {
      const options = [
        '--name',
        'relay1.example',
        '--listen',
        `127.0.0.1:${listen}`,
        '--monitor',
        `127.0.0.1:${monitor}`,
      ]
      // KM-5: in no arguments either.
      const args = ['relay', '--enrol', server.url, '-', ...options, '--directory', directory]
      const child = spawn(join(ROOT, 'bin/causeway'), args, { stdio: ['pipe', 'ignore', 'pipe'] })
      child.stdin.end(`${code}\n`)
      let said = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
      t.after(() => child.kill('SIGKILL'))
      return {
        said: () => said,
        ready: () =>
          eventually('readiness', async () => {
            assert.equal(child.exitCode, null, said)
            const reply = await fetch(`http://127.0.0.1:${monitor}/readyz`).catch(() => undefined)
            return reply?.status === 200 ? true : undefined
          }),
        async stop() {
          child.kill('SIGTERM')
          return ((await once(child, 'close')) as [number | null])[0]
        },
      }
    }
    const first = run(server.code)
    await first.ready()
    assert.equal(server.enrolled?.request.name, 'relay1.example')
    const client = await TranscriptClient.hello(listen)
    const socket = await client.startTls()
    assert.equal(socket.getPeerX509Certificate()?.checkHost('relay1.example'), 'relay1.example')
    client.quit()
    assert.doesNotMatch(first.said(), new RegExp(server.code), 'KM-5: the code is in no log')
    assert.equal(await first.stop(), 0)

    const file = join(directory, 'relay.yaml')
    assert.deepEqual(
      [directory, file, join(directory, 'enrolment-code'), join(directory, 'spool.key')].map(
        (path) => statSync(path).mode & 0o777,
      ),
      [0o700, 0o600, 0o600, 0o600],
    )
    const written = readFileSync(file, 'utf8')
    assert.doesNotMatch(written, new RegExp(server.code))
    const again = run('another-code')
    await again.ready()
    assert.equal(await again.stop(), 0)
    assert.equal(readFileSync(file, 'utf8'), written)

    const other = await causeway(['relay', '--enrol', 'https://other.example', 'code', '--directory', directory])
    assert.equal(other.code, 2)
    assert.match(other.stderr, /relay\.yaml is of another control plane: name another --directory/)

    // A code that nobody would read is told.
    writeFileSync(file, written.replace('{ file: enrolment-code }', 'an-old-code'))
    const unread = await causeway(['relay', '--enrol', server.url, 'code', '--directory', directory])
    assert.equal(unread.code, 2)
    assert.match(unread.stderr, /relay\.yaml does not take its code from .*enrolment-code: write `enrolmentCode: /)
  },
)

const wrong: [args: string[], said: RegExp, why: string][] = [
  [[], /--config FILE is needed/, 'neither'],
  [['--enrol', 'https://causeway.example'], /CODE is needed/, 'no code'],
  [['--enrol', 'https://causeway.example', 'code', 'more'], /unexpected argument "more"/, 'too much'],
  [['--enrol', 'https://causeway.example', 'code', '--config', 'x'], /--config stands beside --enrol/, 'both'],
  [['--config', 'x', '--name', 'relay.example'], /--name needs --enrol/, 'what a file says itself'],
  [['--enrol', 'http://causeway.example', 'code'], /controlPlane\.url: .*must be a URL `https/, 'in the clear'],
  [['--enrol', 'https://causeway.example', 'a code'], /CODE is no enrolment code/, 'a code with a space'],
  [['--enrol', 'https://causeway.example', 'code', '--name', 'not a name'], /name: .*must be a host name/, 'a name'],
  [
    ['--enrol', 'https://causeway.example', 'code', '--listen', '2525'],
    /--listen must be ADDRESS:PORT/,
    'a port alone',
  ],
  [
    ['--enrol', 'https://causeway.example', 'code', '--listen', '[::1]:99999'],
    /listeners\[0\]\.port: .*must be/,
    'no port',
  ],
  [
    ['--enrol', 'https://causeway.example', 'code', '--listen', '1.2.3:25'],
    /listeners\[0\]\.address: .*must be/,
    'no address',
  ],
  [['--enrol', 'https://causeway.example\ntable: {}', 'code'], /controlPlane\.url/, 'text that would end its line'],
]
for (const [args, said, why] of wrong) {
  test(`exit code 2, and nothing is written: ${why}`, async (t) => {
    const directory = join(folder(t), 'relay')
    const options = args[0] === '--enrol' ? ['--directory', directory] : []
    const { code, stderr } = await causeway(['relay', ...args, ...options])
    assert.equal(code, 2, stderr)
    assert.match(stderr, said)
    assert.equal(existsSync(directory), false)
  })
}
