// Entry of one worker's process: runs a relay's worker over its own part of the spool as the primary tells it, and ends in order when it is told
// so, by the primary or by a signal, or when the primary is gone.
import type { Socket } from 'node:net'
import { hostname } from 'node:os'
import { createLog } from '../../common/log.ts'
import { createMetrics } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { numberQueueIds } from '../queue-id.ts'
import { startProcessLog } from '../../common/process-log.ts'
import { GRACE_MS } from '../relay-process.ts'
import { withProjectOf } from '../enrolment/enrolled-settings.ts'
import { EnrolmentStore } from '../enrolment/enrolment-state.ts'
import { ContactRecord } from '../mapping/contact-record.ts'
import { PushedSnapshot } from '../mapping/pushed-snapshot.ts'
import { SnapshotCopy } from '../mapping/snapshot-copy.ts'
import { hasControlPlane, parseSettings, SettingsFault } from '../settings.ts'
import type { EnrolledSettings } from '../settings.ts'
import { SpoolUnusable } from '../spool/contract.ts'
import { loadSpoolKey } from '../spool/keys.ts'
import { startWorker } from '../worker.ts'
import type { RunningWorker, WorkerDeps } from '../worker.ts'
import { FollowedSnapshot } from './followed-snapshot.ts'
import { parseToWorker } from './messages.ts'
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts'
import { shareOfLimits } from './share-of-limits.ts'
import { ToldEvents } from './told-events.ts'

/** Nobody takes clients any more, and a new primary may wait for the spool. */
const ORPHAN_GRACE_MS = 5_000
/** How often a process that takes no mail looks whether it has any left. */
const DRAINED_EVERY_MS = 500
const FAILED = 1
const UNUSABLE = 2

const metrics: Metrics = createMetrics()
let starting: Promise<RunningWorker> | undefined
/** Takes what the primary tells of the snapshot, from when there is one to change. */
let following: Promise<Follow> | undefined
let events: ToldEvents | undefined
let isStopping = false

process.on('message', (message, handle) => {
  const parsed = parseToWorker(message)
  // From a primary of another revision: nothing that we know.
  if (parsed !== undefined) obey(parsed, handle as Socket | undefined)
})
process.on('disconnect', () => stop(ORPHAN_GRACE_MS))
// Who reads the log is gone with the primary: that must not keep the end from being one in order.
process.stderr.on('error', () => {})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(GRACE_MS))
process.on('SIGHUP', reload)
process.on('SIGUSR2', () => {}) // meant for the primary; without a listener it would end the process

function obey(message: ToWorker, socket: Socket | undefined): void {
  switch (message.kind) {
    case 'start':
      starting ??= start(message.start)
      return
    case 'client':
      return serve(message.client, message.listener, socket)
    case 'reload':
      return reload()
    case 'stop':
      return stop(message.graceMs)
    case 'ask':
      return answer(message)
    case 'push':
    case 'whole':
    case 'confirmed':
    case 'revoked':
      void following?.then((followed) => followed(message))
      return
    default:
      return message satisfies never
  }
}

type Follow = (message: ToWorker & { kind: 'push' | 'whole' | 'confirmed' | 'revoked' }) => void

async function start(part: WorkerStart): Promise<RunningWorker> {
  // What comes meanwhile waits for it.
  const followed = Promise.withResolvers<Follow>()
  following = followed.promise
  const write = startProcessLog('relay.died', { worker: part.worker })
  numberQueueIds(part.worker)
  try {
    const settings = parseSettings(part.configFile, part.source, hostname())
    const limits = shareOfLimits(settings.limits, part.workers, part.processes)
    const log = createLog({ write, level: settings.log.level, now: Date.now, fields: { worker: part.worker } })
    const worker = hasControlPlane(settings)
      ? await startPushed({ ...settings, limits }, { log, metrics, part }, followed.resolve)
      : await startWorker({ ...settings, limits }, { log, metrics, part })
    await tell({ kind: 'started' })
    if (!part.takesMail) endWhenDrained(worker)
    return worker
  } catch (error) {
    const isUnusable = error instanceof SettingsFault || error instanceof SpoolUnusable
    await tell({ kind: 'failed', isUnusable, text: isUnusable ? withCauses(error) : stackOf(error) })
    return process.exit(isUnusable ? UNUSABLE : FAILED)
  }
}

/** By the snapshot that the primary keeps. */
async function startPushed(
  settings: EnrolledSettings,
  { log, ...deps }: WorkerDeps,
  followBy: (follow: Follow) => void,
): Promise<RunningWorker> {
  const rootKey = loadSpoolKey(settings.spool.key.file, settings.spool.directory)
  const { directory } = settings.controlPlane.state
  const kept = await new EnrolmentStore(directory, rootKey).load()
  if (kept?.enrolment === undefined) throw new Error('unreachable: the primary enrols before it starts a worker')
  const local = { hasMx: settings.mx !== undefined }
  const snapshot = new PushedSnapshot({ log, metrics, now: Date.now })
  const copy = new SnapshotCopy({ stateDirectory: directory, rootKey, relay: kept.enrolment.relay, local, log })
  const followed = new FollowedSnapshot({
    snapshot,
    copy,
    local,
    log,
    active: (version) => void tell({ kind: 'active', version }),
  })
  const told = new ToldEvents({
    tell: (messages, audit) => void tell({ kind: 'events', messages, audit }),
    timer: (run, delayMs) => void setTimeout(run, delayMs),
  })
  events = told
  snapshot.confirm(await new ContactRecord({ directory, log, now: Date.now }).load())
  if (kept.enrolment.isRevoked) snapshot.revoke()
  await followed.whole(1)
  followBy((message) => {
    switch (message.kind) {
      case 'push':
        return void followed.push(message.version, message.push)
      case 'whole':
        return void followed.whole(message.version)
      case 'confirmed':
        return snapshot.confirm(message.at)
      case 'revoked':
        return snapshot.revoke()
      default:
        return message satisfies never
    }
  })
  return startWorker(withProjectOf(settings, kept.enrolment), {
    ...deps,
    log,
    pushed: { relay: kept.enrolment.relay, snapshot, events: told },
  })
}

function endWhenDrained(worker: RunningWorker): void {
  const timer = setInterval(() => {
    if (!worker.isDrained()) return
    clearInterval(timer)
    stop(GRACE_MS)
  }, DRAINED_EVERY_MS)
}

function serve(client: number, listener: number, socket: Socket | undefined): void {
  void tell({ kind: 'took', client })
  const left = (): void => void tell({ kind: 'left', client })
  // Gone while it was being handed over.
  if (socket === undefined) return left()
  if (starting === undefined) return void socket.destroy()
  starting.then(
    (worker) => worker.take(listener, socket, left),
    () => socket.destroy(),
  )
}

function reload(): void {
  void starting?.then((worker) => worker.reload())
}

function stop(graceMs: number): void {
  if (isStopping) return
  isStopping = true
  void end(graceMs)
}

async function end(graceMs: number): Promise<never> {
  const worker = await starting
  const isDrained = worker?.isDrained() === true
  await worker?.stop(graceMs)
  events?.flush()
  await tell({ kind: 'ended', isDrained, metrics: await metrics.getMetricsAsJSON() })
  process.exit(0)
}

function answer({ question, subject }: ToWorker & { kind: 'ask' }): void {
  if (subject === 'metrics') {
    void metrics.getMetricsAsJSON().then((figures) => tell({ kind: 'answer', question, answer: figures }))
  } else {
    void starting?.then((worker) =>
      tell({ kind: 'answer', question, answer: subject === 'figures' ? worker.figures() : worker.readiness() }),
    )
  }
}

/** Resolves when the primary has it, or is gone. */
function tell(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve()
    process.send(message, undefined, {}, () => resolve())
  })
}

function withCauses(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${withCauses(error.cause)})` : error.message
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
