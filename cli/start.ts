// `causeway start` (`npm start`): the whole product on one machine, on loopback only: control plane with a Postgres of its own, a simulated
// Microsoft 365 with mail flowing, and a relay that knows nothing but its enrolment code. Then the tour, once; all of it stays up until Ctrl-C.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLog } from '../common/log.ts'
import { createMetrics, emptyMetrics } from '../common/metrics.ts'
import { untilSignal } from '../common/until-signal.ts'
import { issueFirstRunCode } from '../control-plane/access/break-glass-store.ts'
import { startApi } from '../control-plane/api.ts'
import { startEvaluationDatabase } from '../control-plane/db/evaluation-database.ts'
import { loadSettings } from '../control-plane/settings.ts'
import { startWorker } from '../control-plane/worker.ts'
import { logFile, startRelay } from '../mta/main.ts'
import { CONTOSO, FABRIKAM } from '../sandbox/tenants/seed.ts'
import { DONE, FAILED } from './command.ts'
import { startDemoMailbox } from './demo-mailbox.ts'
import { writeNewRelay } from './enrol-relay.ts'
import { placesIn, portsFrom } from './evaluation/places.ts'
import type { Places, Ports } from './evaluation/places.ts'
import { hasToured, keepEvaluation, loadEvaluation, noteToured, setUpEvaluation } from './evaluation/project.ts'
import type { Evaluation } from './evaluation/project.ts'
import { CONNECT_APP, SIGN_IN_APP, startEvaluationSandbox } from './evaluation/sandbox.ts'
import { hasHeld, runTour } from './tour/run-tour.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const GRACE_MS = 10_000

const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** @param wantsTour  default: until it has held once */
export async function start(wantsTour?: boolean): Promise<number> {
  const ports = portsFrom(process.env['CAUSEWAY_PORT_BASE'])
  const places = placesIn(resolve(process.env['CAUSEWAY_DATA'] ?? join(ROOT, 'data')))
  try {
    await using stack = new AsyncDisposableStack()
    const evaluation = await startAll(places, ports, stack)
    const stopping = new AbortController()
    const stopped = untilSignal().then(() => stopping.abort())
    const held = (wantsTour ?? !hasToured(places)) ? await tour(evaluation, places, ports, stopping.signal) : undefined
    if (!stopping.signal.aborted) say(help(places, ports, held))
    await stopped
    say('\nstopping …')
    return held === false ? FAILED : DONE
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      console.error(
        `causeway start: ${error.message}. Ports ${Object.values(ports).join(', ')} must be free: is another one running? CAUSEWAY_PORT_BASE moves them.`,
      )
      return FAILED
    }
    throw error
  }
}

async function startAll(places: Places, ports: Ports, stack: AsyncDisposableStack): Promise<Evaluation> {
  await mkdir(places.relay, { recursive: true, mode: 0o755 })
  const write = logFile(places.log)
  const log = createLog({ write, level: 'info', now: Date.now })

  say('1/5  Postgres')
  const database = await startEvaluationDatabase(places.postgres)
  stack.defer(() => database.stop())

  say(
    '2/5  simulated Microsoft 365: Entra ID, Graph, Exchange and its mail, with two organizations; and an outside world',
  )
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
      DNS_SERVERS: `127.0.0.1:${ports.dns}`,
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
  let evaluation = loadEvaluation(places)
  if (evaluation === undefined) {
    say('4/5  an organization, a project, a code for its relay (first run)')
    const { db } = api.services.database
    const code = await issueFirstRunCode({ db, now: Date.now, random: randomBytes })
    if (code === undefined || existsSync(relayConfig))
      throw new Error(`${places.root} holds part of an earlier evaluation: remove it and start again`)
    const made = await setUpEvaluation(code, ports)
    writeNewRelay({
      url: `http://127.0.0.1:${ports.api}`,
      code: made.enrolmentCode,
      name: 'relay.example',
      listen: [`127.0.0.1:${ports.relay}`],
      monitor: `127.0.0.1:${ports.relayMetrics}`,
      trust: undefined,
      directory: places.relay,
    })
    keepEvaluation(made, places, ports)
    evaluation = made
  } else say('4/5  organization and project of the last run')

  say('5/5  relay, enrolled with the control plane by its code alone')
  const mailbox = await startDemoMailbox(ports.internet, ({ reversePath, forwardPaths }) =>
    say(`  mailbox: a message from <${reversePath}> to <${forwardPaths.join('>, <')}>`),
  )
  stack.defer(() => mailbox.close())
  const relay = await startRelay(relayConfig, write)
  stack.defer(() => relay.stop())
  return evaluation
}

/** @returns whether it held; undefined: it was broken off */
async function tour(
  { key, project }: Evaluation,
  places: Places,
  ports: Ports,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  say('\nThe tour: all of it once, by the REST API, each result checked.\n')
  const outcomes = await runTour(
    {
      api: `http://127.0.0.1:${ports.api}/api/v1`,
      key,
      project,
      sandbox: `http://127.0.0.1:${ports.sandboxControl}`,
      connectApp: CONNECT_APP,
      relayPort: ports.relay,
    },
    {
      write: (text) => void process.stdout.write(text),
      form: process.stdout.isTTY ? 'terminal' : 'people',
      columns: process.stdout.isTTY ? process.stdout.columns : 0,
    },
    signal,
  )
  if (signal.aborted) return undefined
  if (hasHeld(outcomes)) noteToured(places)
  return hasHeld(outcomes)
}

function help(places: Places, ports: Ports, held: boolean | undefined): string {
  const again =
    held === false ? '\nThe tour did not hold: the log may have more. bin/causeway tour runs it again.\n' : ''
  return `${again}
All of it is up until Ctrl-C.
  API                                     http://127.0.0.1:${ports.api}/api/v1   (description: /api/v1/openapi.json)
    for curl: . ${places.environment}        then  curl -H "Authorization: Bearer $KEY" $API/projects/$PROJECT/relays
    sign in                               http://127.0.0.1:${ports.api}/api/v1/session/sign-in   as adele@contoso.com
  the tour again                          bin/causeway tour
  relay                                   127.0.0.1:${ports.relay}   (STARTTLS, for the tenants' connectors)
  simulated Microsoft 365                 ${ports.entra} (Entra ID)  ${ports.graph} (Graph)  ${ports.exchange} (Exchange)  ${ports.sandboxControl} (control)
    its mail                              127.0.0.1:${ports.frontDoor} (SMTP of both tenants)  ${ports.outside} (outside world)  ${ports.dns} (DNS)
  metrics, health                         http://127.0.0.1:${ports.apiMetrics}/metrics (API)  ${ports.workerMetrics} (worker)  ${ports.relayMetrics} (relay)
  queue                                   bin/causeway queue list --config ${join(places.relay, 'relay.yaml')}
  log                                     ${places.log}`
}
