// `node tests/make-golden-spool.ts DIRECTORY`: has the relay of this checkout fill a spool with a message of each kind and close it in order.
// What it wrote at a revision is kept under tests/mta/spool/ and opened by every later one (SF-5): see golden-spool-1/README.md.
import assert from 'node:assert/strict'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { EXAMPLE_TABLE } from './harness/example-table.ts'
import { NextHop } from './harness/next-hop.ts'
import { runCommand } from './harness/postfix.ts'
import { ROOT, startRelay } from './harness/relay.ts'
import { sendMail } from './harness/smtp-client.ts'
import { eventually } from './harness/wait.ts'

const target = process.argv[2]
if (target === undefined) throw new Error('usage: node tests/make-golden-spool.ts DIRECTORY')

function message(id: string, from: string, to: string, bytes: number): Buffer {
  const line = 'All of this was accepted by an older relay and must still reach its readers.\r\n'
  return Buffer.from(
    `From: <${from}>\r\nTo: <${to}>\r\nMessage-ID: <${id}@golden.example>\r\nSubject: ${id}\r\n\r\n` +
      line.repeat(Math.ceil(bytes / line.length)),
  )
}

let poisonSeen = 0
const hop = await NextHop.start({
  act({ stage, line }) {
    // A next hop that never answers is what a message that ends the process looks like from outside: the process is gone before the reply.
    if (stage === 'RCPT' && line.includes('poison@')) {
      poisonSeen++
      return { silent: true }
    }
    return stage === 'RCPT' && line.includes('held@')
      ? { silent: true }
      : stage === 'RCPT'
        ? '451 4.2.1 later'
        : undefined
  },
})
const options = { nextHopPort: hop.port, table: EXAMPLE_TABLE }
let relay = await startRelay(options)
const ids = new Map<string, string>()
const queued = async (id: string, port: number, from: string, to: string, bytes = 300) => {
  const reply = await sendMail(port, { from, to: [to], data: message(id, from, to, bytes) })
  assert.match(reply, /^250 /)
  ids.set(id, reply.split(' ').at(-1) ?? '')
}
const causeway = async (...args: string[]) => {
  const { status, output } = await runCommand(join(ROOT, 'bin/causeway'), [...args, '--config', relay.configFile])
  assert.equal(status, 0, output)
  return output
}

await queued('poison', relay.outPort, 'alice@contoso.com', 'poison@example.net')
for (let death = 1; death <= 3; death++) {
  const before = death
  await eventually('the delivery to begin', () => (poisonSeen >= before ? true : undefined))
  await relay.stop('SIGKILL')
  relay = await startRelay({ ...options, directory: relay.directory })
}
await queued('small', relay.outPort, 'alice@contoso.com', 'dana@example.net')
await queued('large', relay.outPort, 'alice@contoso.com', 'dana@example.net', 270_000)
await queued('arriving', relay.inPort, 'dana@example.net', 'bob@fabrikam.com')
await queued('held', relay.outPort, 'alice@contoso.com', 'later@example.net')
await eventually('all to be deferred', async () => {
  const items = JSON.parse(await causeway('queue', 'list', '--json')) as { state: { attempts: number } }[]
  return items.length === 4 && items.every(({ state }) => state.attempts > 0) ? true : undefined
})
await causeway('queue', 'hold', ids.get('held') ?? '')
assert.equal(await relay.stop(), 0)
assert.match(await causeway('quarantine', 'list'), /poison/)
await mkdir(target, { recursive: true })
// The lock and the socket are a process's, not the spool's.
const filter = (path: string) => !/\/(?:lock|control\.sock)$/.test(path)
await cp(join(relay.directory, 'spool'), join(target, 'spool'), { recursive: true, filter })
await cp(join(relay.directory, 'spool.key'), join(target, 'spool.key'))
console.log(JSON.stringify(Object.fromEntries(ids), null, 2))
await relay.remove()
await hop[Symbol.asyncDispose]()
process.exit()
