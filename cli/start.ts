// `causeway start` (`npm start`): the whole product on one machine, on loopback only: control plane with a Postgres of its own, a simulated
// Microsoft 365, an enrolled relay, and a mailbox that plays the internet. Sends one invitation through, prints it before and after, and stays up until Ctrl-C.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { createLog } from '../common/log.ts'
import { createMetrics, emptyMetrics } from '../common/metrics.ts'
import { untilSignal } from '../common/until-signal.ts'
import { issueFirstRunCode } from '../control-plane/access/break-glass-store.ts'
import { startApi } from '../control-plane/api.ts'
import { loadSettings } from '../control-plane/settings.ts'
import { startWorker } from '../control-plane/worker.ts'
import { CONTOSO, FABRIKAM } from '../sandbox/tenants/seed.ts'
import { logFile, startRelay } from '../mta/main.ts'
import { startDemoMailbox } from './demo-mailbox.ts'
import type { ArrivedMessage, DemoMailbox } from './demo-mailbox.ts'
import { startEvaluationDatabase } from '../control-plane/db/evaluation-database.ts'
import { placesIn, portsFrom } from './evaluation/places.ts'
import type { Places, Ports } from './evaluation/places.ts'
import { loadEvaluation, setUpEvaluation } from './evaluation/project.ts'
import { CONNECT_APP, SIGN_IN_APP, startEvaluationSandbox } from './evaluation/sandbox.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const SENDER = 'alice@contoso.com'
const RECIPIENT = 'dana@example.net'
const GRACE_MS = 10_000
const READY_WITHIN_MS = 30_000

const say = (line: string): void => void process.stdout.write(`${line}\n`)

export async function start(): Promise<number> {
  const ports = portsFrom(process.env['CAUSEWAY_PORT_BASE'])
  const places = placesIn(resolve(process.env['CAUSEWAY_DATA'] ?? join(ROOT, 'data')))
  try {
    await using stack = new AsyncDisposableStack()
    await showOneMessage(await startAll(places, ports, stack), ports)
    say(help(places, ports))
    await untilSignal()
    say('\nstopping …')
    return 0
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      console.error(
        `causeway start: ${error.message}. Ports ${Object.values(ports).join(', ')} must be free: is another one running? CAUSEWAY_PORT_BASE moves them.`,
      )
      return 1
    }
    throw error
  }
}

async function startAll(places: Places, ports: Ports, stack: AsyncDisposableStack): Promise<DemoMailbox> {
  await mkdir(places.relay, { recursive: true, mode: 0o755 })
  const write = logFile(places.log)
  const log = createLog({ write, level: 'info', now: Date.now })

  say('1/5  Postgres')
  const database = await startEvaluationDatabase(places.postgres)
  stack.defer(() => database.stop())

  say('2/5  simulated Microsoft 365: Entra ID, Graph, Exchange, with two organizations')
  const sandbox = await startEvaluationSandbox(places, ports, join(ROOT, 'tests/contracts'))
  stack.defer(() => sandbox.close())

  say('3/5  control plane: API and job worker')
  const settings = (metricsPort: number) =>
    loadSettings({
      CAUSEWAY_MODE: 'evaluation',
      PUBLIC_URL: `http://127.0.0.1:${ports.api}`,
      PORT: String(ports.api),
      METRICS_PORT: String(metricsPort),
      DATABASE_URL: database.url,
      REDIS_URL: process.env['REDIS_URL'],
      KEY_DIRECTORY: places.keys,
      ENTRA_TENANT_ID: CONTOSO,
      ENTRA_CLIENT_ID: SIGN_IN_APP,
      ENTRA_CERTIFICATE_FILE: places.signInApp.certificate,
      ENTRA_KEY_FILE: places.signInApp.key,
      ENTRA_SIGN_IN_TENANTS: FABRIKAM,
      CONNECT_CLIENT_ID: CONNECT_APP,
      CONNECT_CERTIFICATE_FILE: places.connectApp.certificate,
      CONNECT_KEY_FILE: places.connectApp.key,
      ENTRA_SANDBOX_URL: sandbox.entra.url,
      SANDBOX_GRAPH_URL: sandbox.graphUrl,
      SANDBOX_EXCHANGE_URL: sandbox.exchangeUrl,
    })
  const worker = await startWorker(settings(ports.workerMetrics), { log, metrics: emptyMetrics() })
  stack.defer(() => worker.stop(GRACE_MS))
  const api = await startApi(settings(ports.apiMetrics), { log, metrics: createMetrics() })
  stack.defer(() => api.stop(GRACE_MS))

  const relayConfig = join(places.relay, 'relay.yaml')
  let enrolmentCode: string | undefined
  if (loadEvaluation(places) === undefined) {
    say('4/5  an organization, a project with two tenants, a mapping table (first run)')
    const { db } = api.services.database
    const code = await issueFirstRunCode({ db, now: Date.now, random: randomBytes })
    if (code === undefined || existsSync(relayConfig))
      throw new Error(`${places.root} holds part of an earlier evaluation: remove it and start again`)
    enrolmentCode = (await setUpEvaluation(code, join(ROOT, 'examples/table.json'), places, ports)).enrolmentCode
    await writeFile(relayConfig, relayConfiguration(ports, enrolmentCode), { mode: 0o600 })
  } else say('4/5  organization and project of the last run')

  say('5/5  relay, enrolled with the control plane')
  const mailbox = await startDemoMailbox(ports.internet, ({ reversePath, forwardPaths }) =>
    say(`  mailbox: a message from <${reversePath}> to <${forwardPaths.join('>, <')}>`),
  )
  stack.defer(() => mailbox.close())
  const relay = await startRelay(relayConfig, write)
  stack.defer(() => relay.stop())
  await untilReady(`http://127.0.0.1:${ports.relayMetrics}/readyz`)
  return mailbox
}

/** A relay that was just enrolled waits for its first snapshot. */
async function untilReady(url: string): Promise<void> {
  for (const until = Date.now() + READY_WITHIN_MS; ; await sleep(100)) {
    const reply = await fetch(url).catch(() => undefined)
    if (reply?.ok === true) return
    if (Date.now() > until) throw new Error(`the relay did not get ready: ${(await reply?.text()) ?? 'no answer'}`)
  }
}

async function showOneMessage(mailbox: DemoMailbox, ports: Ports): Promise<void> {
  const invitation = await readFile(join(ROOT, 'examples/invite.eml'))
  say(`\nBefore: sent to the relay by ${SENDER}\n`)
  say(shown(`MAIL FROM:<${SENDER}>`, `RCPT TO:<${RECIPIENT}>`, invitation.toString('utf8')))
  const arrival = mailbox.next()
  const reply = await send(invitation, ports)
  const after = await arrival
  say(`\nThe relay's answer: ${reply}\n\nAfter: as the mailbox received it\n`)
  say(shownArrival(after))
}

function relayConfiguration(ports: Ports, enrolmentCode: string): string {
  return `# Written by \`causeway start\`. The code enrols the relay at its first start; everything else comes from the control plane.
name: relay.example
listeners:
  - { address: 127.0.0.1, port: ${ports.relayOut}, direction: out, tls: none, allow: [127.0.0.0/8] }
  - { address: 127.0.0.1, port: ${ports.relayIn}, direction: in, tls: none, allow: [127.0.0.0/8] }
controlPlane: { url: 'http://127.0.0.1:${ports.api}', enrolmentCode: '${enrolmentCode}' }
spool: { directory: spool, key: { file: spool.key } }
metrics: { address: 127.0.0.1, port: ${ports.relayMetrics} }
workers: 1
`
}

function send(message: Buffer, ports: Ports): Promise<string> {
  return new Promise((done, fail) => {
    const connection = new SMTPConnection({ host: '127.0.0.1', port: ports.relayOut, ignoreTLS: true })
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

function help(places: Places, ports: Ports): string {
  return `
All of it is up until Ctrl-C.
  API                                     http://127.0.0.1:${ports.api}/api/v1   (description: /api/v1/openapi.json)
    for curl: . ${places.environment}        then  curl -H "Authorization: Bearer $KEY" $API/projects/$PROJECT/relays
    sign in                               http://127.0.0.1:${ports.api}/api/v1/session/sign-in   as adele@contoso.com
  mail written by people of the project   127.0.0.1:${ports.relayOut}   (direction out)
  mail for them                           127.0.0.1:${ports.relayIn}   (direction in)
  simulated Microsoft 365                 ${ports.entra} (Entra ID)  ${ports.graph} (Graph)  ${ports.exchange} (Exchange)  ${ports.sandboxControl} (control)
  metrics, health                         http://127.0.0.1:${ports.apiMetrics}/metrics (API)  ${ports.workerMetrics} (worker)  ${ports.relayMetrics} (relay)
  queue                                   bin/causeway queue list --config ${join(places.relay, 'relay.yaml')}
  log                                     ${places.log}`
}
