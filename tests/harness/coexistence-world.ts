// The whole product for tests of coexistence: the simulated Microsoft 365 with its mail in this process, API, worker and relay each in a process of its
// own, set up through the REST API by the steps of the tour. What it takes to switch coexistence on and off, and to see both tenants.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { ApiClient } from '../../cli/tour/api-client.ts'
import type { Fields } from '../../cli/tour/api-client.ts'
import { CAROL, CAST, OLGA, RELAY_HOSTS } from '../../cli/tour/cast.ts'
import { pairOf, quietStep } from '../../cli/tour/coexistence-steps.ts'
import { connectStep, discoverStep, matchStep, pairsStep } from '../../cli/tour/connect-steps.ts'
import { Mail } from '../../cli/tour/mail.ts'
import { certificatesStep, dkimStep, pushStep, settingsStep } from '../../cli/tour/relay-steps.ts'
import { runSteps } from '../../cli/tour/run-steps.ts'
import { SandboxClient } from '../../cli/tour/sandbox-client.ts'
import { signInAfresh } from '../../cli/tour/sign-in.ts'
import { stateDifferences } from '../../cli/tour/state-differences.ts'
import type { TourContext } from '../../cli/tour/tour-context.ts'
import { placesIn, portsFrom } from '../../cli/evaluation/places.ts'
import type { Places, Ports } from '../../cli/evaluation/places.ts'
import { setUpEvaluation } from '../../cli/evaluation/project.ts'
import { CONNECT_APP, SIGN_IN_APP, startEvaluationSandbox } from '../../cli/evaluation/sandbox.ts'
import { requestJob, wake } from '../../control-plane/db/outbox.ts'
import { parseId } from '../../control-plane/ids.ts'
import { migrateQueue } from '../../control-plane/jobs/queue-backend.ts'
import type { MailWorld } from '../../sandbox/mail/mail-world.ts'
import type { Sandbox } from '../../sandbox/sandbox.ts'
import { FABRIKAM } from '../../sandbox/tenants/constants.ts'
import { freeRange } from './ports.ts'
import { testDatabase } from './postgres.ts'
import type { TestDatabase } from './postgres.ts'
import { RelayProcess } from './relay-process.ts'
import { CONTRACTS_DIRECTORY } from './sandbox.ts'
import { ServerProcess } from './server-process.ts'
import { socketUrl } from './start-control-plane.ts'
import type { Surroundings } from './start-control-plane.ts'
import { eventually } from './wait.ts'

/** As the API shows it. */
export interface Switched {
  readonly state: string
  readonly step?: string
  readonly waitingFor?: string
  readonly problems: readonly Fields[]
  readonly drift: readonly Fields[]
  readonly setting: Fields
  readonly proof?: Fields
}

export type Victim = 'api' | 'worker' | 'relay'

const SETUP = [
  quietStep,
  connectStep,
  discoverStep,
  matchStep,
  pairsStep,
  certificatesStep,
  dkimStep,
  settingsStep,
  pushStep,
] as const
const SHOWN = 6_000
const LOOK_EVERY_MS = 200
/** Exchange may still have mail for a relay that was killed; it tries again all the while. */
const HOLD_MS = 3_000
const POKE_EVERY_MS = 1_500
const STALLED_MS = 120_000
/** Enable-OrganizationCustomization can't be taken back. */
const CUSTOMISED = /^OrganizationConfig \S+: IsDehydrated differ$/
const [{ administrator }] = CAST

export class CoexistenceWorld {
  readonly sandbox: Sandbox
  readonly mail: MailWorld
  readonly context: TourContext
  readonly processes: { readonly api: ServerProcess; readonly worker: ServerProcess; readonly relay: RelayProcess }
  readonly database: TestDatabase
  readonly organisation: string
  #poked = 0
  #pokes = 0
  /** Of each tenant before coexistence was ever on. */
  #first: Readonly<Record<string, Fields>> = {}

  constructor(
    made: Pick<CoexistenceWorld, 'sandbox' | 'mail' | 'context' | 'processes' | 'database' | 'organisation'>,
  ) {
    this.sandbox = made.sandbox
    this.mail = made.mail
    this.context = made.context
    this.processes = made.processes
    this.database = made.database
    this.organisation = made.organisation
  }

  /** By the tour's own steps, as far as the switch. */
  async setUp(): Promise<void> {
    const failures: string[] = []
    await runSteps(SETUP, this.context, {
      signal: new AbortController().signal,
      monotonicMs: () => performance.now(),
      began: () => {},
      progress: () => {},
      shown: () => {},
      ended: ({ name, state, result }) => {
        if (state === 'failed') failures.push(`${name}: ${result}`)
      },
    })
    assert.deepEqual(failures, [])
    const states = CAST.map(async ({ tenantId }) => [tenantId, await this.state(tenantId)] as const)
    this.#first = Object.fromEntries(await Promise.all(states))
  }

  get path(): string {
    return `${this.context.project}/coexistence`
  }

  /** How many changes Exchange was told to make, and made, in both tenants. */
  get writes(): number {
    return CAST.reduce((sum, { tenantId }) => sum + this.sandbox.control.writes(tenantId).length, 0)
  }

  /** All of a tenant. */
  state(tenantId: string): Promise<Fields> {
    return this.context.sandbox.do('state', { tenant: tenantId })
  }

  async read(): Promise<Switched> {
    return (await this.context.api.get(this.path)).body as unknown as Switched
  }

  async turnOn(more: Fields = {}): Promise<void> {
    const wanted = { state: 'on', scope: 'pairs', relayHosts: RELAY_HOSTS, connectorHoldMs: 0, ...more }
    await this.context.api.put(this.path, () => wanted)
  }

  /** Signed in afresh, as it has to be (AZ-6). */
  async turnOff(more: Fields = {}): Promise<void> {
    const afresh = await signInAfresh(this.context.api, administrator)
    await afresh.put(this.path, () => ({ state: 'off', connectorHoldMs: HOLD_MS, ...more }))
  }

  async stop(reason: string): Promise<void> {
    await this.context.api.post(`${this.path}/stop`, { reason })
  }

  /** As if the minutes had passed in which a change of ours may come to be seen late, and after which it looks whether all is as it was left. */
  async lookNow(): Promise<void> {
    await sql`update coexistence_object set written_at = written_at - interval '10 minutes'`.execute(
      this.database.owner.db,
    )
    const organisation = parseId('organisation', this.organisation)
    const project = parseId('project', this.context.project.slice('/projects/'.length))
    assert.ok(organisation !== undefined && project !== undefined)
    await this.database.owner.db
      .transaction()
      .execute((tx) => requestJob(tx, { organisation, project }, 'coexistence.reconcile', project))
  }

  /** As long as something moves. @throws when for a while nothing has */
  async until(what: string, isReached: (switched: Switched) => boolean): Promise<Switched> {
    let last: Switched | undefined
    let seen = ''
    for (let end = performance.now() + STALLED_MS; performance.now() < end; await sleep(LOOK_EVERY_MS)) {
      last = await this.read().catch(() => last) // its API may be dead just now
      if (last !== undefined && isReached(last)) return last
      const { state, step, waitingFor } = last ?? {}
      const sign = [state, step, waitingFor, this.writes].join()
      if (sign !== seen) end = performance.now() + STALLED_MS
      seen = sign
      await this.#hasten(waitingFor)
    }
    throw new Error(`waited ${STALLED_MS} ms in vain for ${what}: ${JSON.stringify(last)}`)
  }

  /** As if what is waited for by the clock had passed: the pause after a fault, Exchange's between attempts, the half minute between reports. */
  async #hasten(waitingFor: string | undefined): Promise<void> {
    this.mail.retryQueued()
    await this.database.owner.db.transaction().execute(async (tx) => {
      const { numAffectedRows } = await sql`
        update job set run_after = now()
         where kind = 'coexistence.reconcile' and state = 'queued' and run_after > now() + interval '2 seconds'`.execute(
        tx,
      )
      const organisation = parseId('organisation', this.organisation)
      assert.ok(organisation !== undefined)
      if ((numAffectedRows ?? 0n) > 0n) await wake(tx, 'outbox', { organisation })
    })
    if (waitingFor === 'relay-holds-mail' || waitingFor === 'relay-not-heard') await this.#pokeNow()
  }

  async #pokeNow(): Promise<void> {
    if (performance.now() - this.#poked < POKE_EVERY_MS) return
    this.#poked = performance.now()
    await this.poke().catch(() => {}) // the API may be dead just now
  }

  /** Gives relays something new, which they report at once. */
  async poke(): Promise<void> {
    const { api, project } = this.context
    const postmaster = `postmaster.${++this.#pokes}@contoso.com`
    await api.put(`${project}/relay-settings`, (found) => ({ ...(found['settings'] as Fields), postmaster }))
  }

  untilOn(): Promise<Switched> {
    return this.until('coexistence to be on', ({ state, step }) => state === 'on' && step === undefined)
  }

  untilOff(): Promise<Switched> {
    return this.until('coexistence to be off', ({ state }) => state === 'off')
  }

  /** What differs in both tenants from how they were, but for what a new organisation has to become before anything can be written in it. */
  async differences(): Promise<readonly string[]> {
    const found: string[] = []
    for (const { tenantId, label } of CAST) {
      const differences = stateDifferences(this.#first[tenantId] ?? {}, await this.state(tenantId))
      found.push(...differences.filter((each) => !CUSTOMISED.test(each)).map((each) => `${label}: ${each}`))
    }
    return found
  }

  /** -9; and in the database it is as if the minute were over after which a dead worker is taken for dead. */
  async kill(victim: Victim): Promise<void> {
    await this.processes[victim].stop('SIGKILL')
    if (victim !== 'worker') return
    const { db } = this.database.owner
    await sql`update job set lease_until = now() - interval '1 second' where state = 'running'`.execute(db)
  }

  async revive(victim: Victim): Promise<void> {
    await this.processes[victim].start()
  }

  /** Messages that the relays hold, as they last said. */
  async queuedAtRelays(): Promise<number> {
    await this.#pokeNow()
    const relays = await this.context.api.list(`${this.context.project}/relays?isLive=true`)
    return relays.reduce((sum, { queue }) => sum + Number((queue as Fields | undefined)?.['messages'] ?? 0), 0)
  }

  async moveCarol(): Promise<void> {
    const [source, target] = CAST
    const who = { tenant: source.tenantId, person: CAROL.mailbox }
    await this.context.sandbox.do('move-person', { ...who, toTenant: target.tenantId, toPerson: CAROL.presented })
  }

  async moveCarolBack(): Promise<void> {
    const [source] = CAST
    await this.context.sandbox.do('move-person-back', { tenant: source.tenantId, person: CAROL.mailbox })
  }

  /** Where the table says that her mailbox is. */
  async carolIsIn(holds: 'source' | 'target'): Promise<void> {
    const { api, project } = this.context
    const pair = await pairOf(api, project)
    assert.ok(pair !== undefined, 'Carol is matched')
    await api.patch(`${project}/pairs/${String(pair['id'])}`, () => ({ holds }))
  }
}

/** For the time of `work`. When that fails, the last words of every process go into the test's report. */
export async function withCoexistenceWorld(
  t: Surroundings,
  work: (world: CoexistenceWorld) => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const ends: (() => Promise<void>)[] = []
  const database = await testDatabase({ after: (end) => void ends.push(end) }, { maxConnections: 2 })
  stack.defer(async () => {
    for (const end of ends) await end()
  })
  await migrateQueue(database.ownerConnection)
  const directory = mkdtempSync(join(tmpdir(), 'causeway-coexistence-'))
  stack.defer(() => rmSync(directory, { recursive: true, force: true }))
  chmodSync(directory, 0o755)
  const places = placesIn(directory)
  mkdirSync(places.relay, { recursive: true })
  const ports = onOnePort(portsFrom(String(await freeRange(Object.keys(portsFrom(undefined)).length))))
  const sandbox = await startEvaluationSandbox(places, ports, CONTRACTS_DIRECTORY)
  stack.defer(() => sandbox.close())
  const { mail } = sandbox
  assert.ok(mail !== undefined)

  const env = environment(places, ports, sandbox, database)
  const api = new ServerProcess('api', env)
  const worker = new ServerProcess('worker', { ...env, PORT: '0' })
  const started: { name: string; process: ServerProcess | RelayProcess }[] = []
  const start = async (name: string, process: ServerProcess | RelayProcess) => {
    started.push({ name, process })
    stack.defer(async () => void (await process.stop('SIGKILL')))
    await process.start()
  }
  try {
    await Promise.all([start('api', api), start('worker', worker)])
    const code = await eventually('the one-time code', () => / {4}([\w-]{10,})\n/.exec(api.output())?.[1])
    const { organization: organisation, key, project, enrolmentCode } = await setUpEvaluation(code, ports)
    const url = `http://127.0.0.1:${ports.api}`
    const relay = new RelayProcess({
      url,
      enrolmentCode,
      name: 'relay.example',
      port: ports.relay,
      monitorPort: ports.relayMetrics,
      directory: places.relay,
      more: mxSettings(ports),
    })
    await start('relay', relay)
    const control = new SandboxClient(sandbox.controlUrl)
    const context: TourContext = {
      api: new ApiClient({ url: `${url}/api/v1`, headers: { Authorization: `Bearer ${key}` } }),
      sandbox: control,
      mail: new Mail(control),
      project: `/projects/${project}`,
      connectApp: CONNECT_APP,
      relayPort: ports.relay,
      tenants: undefined,
      first: undefined,
      sent: [],
      letter: '',
      answer: '',
    }
    mail.outside.addMailbox(OLGA.mailbox)
    const world = new CoexistenceWorld({
      sandbox,
      mail,
      context,
      database,
      organisation,
      processes: { api, worker, relay },
    })
    await world.setUp()
    await work(world)
    assert.deepEqual(sandbox.record.violations, [], "Microsoft's published contracts were broken")
  } catch (error) {
    for (const { name, process } of started) t.diagnostic(`${name} said last:\n${process.output().slice(-SHOWN)}`)
    throw error
  }
}

/** As on the internet: where hosts have addresses of their own (Linux), all mail exchangers listen on the same port. (sandbox/mail/mail-world.ts) */
function onOnePort(ports: Ports): Ports {
  return process.platform === 'linux' ? { ...ports, outside: ports.frontDoor } : ports
}

/** For senders whose mail a relay delivers itself. */
function mxSettings({ dns, outside }: Ports): string {
  return `mx: { port: ${outside}, resolver: { servers: ['127.0.0.1:${dns}'] }, allowPrivate: [127.0.0.0/8] }\n`
}

function environment(places: Places, ports: Ports, sandbox: Sandbox, database: TestDatabase): Record<string, string> {
  return {
    CAUSEWAY_MODE: 'evaluation',
    PUBLIC_URL: `http://127.0.0.1:${ports.api}`,
    PORT: String(ports.api),
    METRICS_PORT: '0',
    DATABASE_URL: socketUrl(database.connection),
    DATABASE_MAX_CONNECTIONS: '10',
    KEY_DIRECTORY: places.keys,
    DNS_SERVERS: `127.0.0.1:${ports.dns}`,
    ENTRA_TENANT_ID: CAST[0].tenantId,
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
  }
}
