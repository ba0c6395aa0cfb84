// `causeway start` (`npm start`): the relay with an example table and a mailbox that plays the internet, all on loopback. Sends one
// invitation through, prints it before and after, and stays up until Ctrl-C.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { startDemoMailbox } from './demo-mailbox.ts'
import type { ArrivedMessage } from './demo-mailbox.ts'
import { logFile, startRelay } from '../mta/main.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const PORTS = { out: 2525, in: 2526, internet: 2900, metrics: 9465 }
const SENDER = 'alice@contoso.com'
const RECIPIENT = 'dana@example.net'

export async function start(): Promise<number> {
  const directory = join(ROOT, 'data/demo')
  await mkdir(directory, { recursive: true })
  const configFile = join(directory, 'relay.yaml')
  await writeFile(configFile, demoConfig())
  const say = (line: string) => process.stdout.write(`${line}\n`)
  try {
    await using stack = new AsyncDisposableStack()
    const mailbox = await startDemoMailbox(PORTS.internet, ({ reversePath, forwardPaths }) =>
      say(`  mailbox: a message from <${reversePath}> to <${forwardPaths.join('>, <')}>`),
    )
    stack.defer(() => mailbox.close())
    const relay = await startRelay(configFile, logFile(join(directory, 'relay.log')))
    stack.defer(() => relay.stop())

    const invitation = await readFile(join(ROOT, 'examples/invite.eml'))
    say(`\nBefore: sent to the relay by ${SENDER}\n`)
    say(shown(`MAIL FROM:<${SENDER}>`, `RCPT TO:<${RECIPIENT}>`, invitation.toString('utf8')))
    const arrival = mailbox.next()
    const reply = await send(invitation)
    const after = await arrival
    say(`\nThe relay's answer: ${reply}\n\nAfter: as the mailbox received it\n`)
    say(shownArrival(after))
    say(help(configFile, directory))
    await untilStopped()
    say('\nstopping …')
    return 0
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      const ports = Object.values(PORTS).join(', ')
      console.error(`causeway start: ${error.message}. Ports ${ports} must be free; is another demonstration running?`)
      return 1
    }
    throw error
  }
}

function untilStopped(): Promise<void> {
  return new Promise((stop) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop())
  })
}

/** The minimal configuration of the documentation, with the example table. */
function demoConfig(): string {
  const hop = `{ kind: smart-host, host: 127.0.0.1, port: ${PORTS.internet}, tls: none }`
  return `# Written by \`causeway start\`.
name: relay.example
listeners:
  - { address: 127.0.0.1, port: ${PORTS.out}, direction: out, tls: none, allow: [127.0.0.0/8] }
  - { address: 127.0.0.1, port: ${PORTS.in}, direction: in, tls: none, allow: [127.0.0.0/8] }
table: { file: ${JSON.stringify(join(ROOT, 'examples/table.json'))} }
spool: { directory: spool, key: { file: spool.key } }
routes:
  owner-tenant: ${hop}
  mailbox: ${hop}
metrics: { address: 127.0.0.1, port: ${PORTS.metrics} }
workers: 1
`
}

function send(message: Buffer): Promise<string> {
  return new Promise((done, fail) => {
    const connection = new SMTPConnection({ host: '127.0.0.1', port: PORTS.out, ignoreTLS: true })
    connection.once('error', fail)
    connection.connect(() => {
      connection.send({ from: SENDER, to: [RECIPIENT] }, message, (error, info) => {
        connection.quit()
        if (error) fail(error)
        else done(info.response)
      })
    })
  })
}

function shownArrival({ reversePath, forwardPaths, content }: ArrivedMessage): string {
  return shown(`MAIL FROM:<${reversePath}>`, `RCPT TO:<${forwardPaths.join('>, <')}>`, content)
}

function shown(...parts: readonly string[]): string {
  const lines = parts.join('\n').replaceAll('\r\n', '\n').trimEnd().split('\n')
  return lines.map((line) => `  │ ${line}`).join('\n')
}

function help(configFile: string, directory: string): string {
  return `
The relay is up until Ctrl-C.
  mail written by people of the project   127.0.0.1:${PORTS.out}   (direction out)
  mail for them                           127.0.0.1:${PORTS.in}   (direction in)
  metrics, health                         http://127.0.0.1:${PORTS.metrics}/metrics /healthz /readyz
  queue                                   bin/causeway queue list --config ${configFile}
  log                                     ${join(directory, 'relay.log')}`
}
