// The link of a relay to its control plane, in the one process that has it: enrolment, the sealed copy, the stream, reports and events, wired. What comes
// of it is a snapshot in force; who carries mail by it is another's business. (RC-1 to RC-7)
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../common/log.ts'
import type { Metrics } from '../common/metrics.ts'
import { loadAuthorities, loadKeyPair } from './certificates.ts'
import { EnrolmentStore } from './enrolment/enrolment-state.ts'
import { ensureEnrolled } from './enrolment/enrol.ts'
import type { Enrolled } from './enrolment/enrol.ts'
import { createControlPlaneClient } from './enrolment/http-client.ts'
import type { ControlPlaneClient } from './enrolment/http-client.ts'
import { relayToken } from './enrolment/relay-token.ts'
import { rotatedKey } from './enrolment/snapshot-key.ts'
import { EventDelivery } from './events/deliver-events.ts'
import { EventBuffer } from './events/event-buffer.ts'
import { ContactRecord } from './mapping/contact-record.ts'
import type { HeldSnapshot } from './mapping/next-snapshot.ts'
import { PushedSnapshot } from './mapping/pushed-snapshot.ts'
import { Reporter } from './mapping/report.ts'
import type { RelayCondition } from './mapping/report.ts'
import { SnapshotCopy } from './mapping/snapshot-copy.ts'
import { SnapshotKeeper } from './mapping/snapshot-keeper.ts'
import { Subscription } from './mapping/subscribe.ts'
import type { ControlPlaneSettings, EnrolledSettings } from './settings.ts'

export const SOFTWARE_VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version

export interface LinkDeps {
  readonly rootKey: Uint8Array
  readonly log: Log
  readonly metrics: Metrics
  readonly now: () => number
}

/** Whoever carries mail by what is pushed: a worker in this process, or several in others. */
export interface LinkClient {
  condition(): Promise<RelayCondition>
  /** A version is kept and in force here. Resolves when it is in force everywhere. @param push  undefined: it is on disk as a whole */
  activated(held: HeldSnapshot, push: Buffer | undefined): Promise<void>
  confirmed(at: number): void
  revoked(): void
}

/** This process alone carries mail: it has what is in force already. */
export const ALONE: Omit<LinkClient, 'condition'> = {
  activated: async () => {},
  confirmed: () => {},
  revoked: () => {},
}

const random = () => randomInt(2 ** 32) / 2 ** 32

/** @throws SettingsFault */
export function clientOf({ url, trust, clientCertificate }: ControlPlaneSettings): ControlPlaneClient {
  const pair = clientCertificate && loadKeyPair(clientCertificate)
  return createControlPlaneClient(url, {
    trust: trust && loadAuthorities(trust.file).map(String),
    certificate: pair && { chain: pair.chain, key: pair.key.export({ type: 'pkcs8', format: 'pem' }).toString() },
  })
}

export interface EnrolNow extends LinkDeps {
  readonly signal: AbortSignal
  /** Told why the relay isn't enrolled yet. */
  readonly waiting: (why: string) => void
}

/** Reads the enrolment, or waits for one. @throws SettingsFault; when `signal` is aborted */
export async function enrolNow(
  settings: EnrolledSettings,
  { rootKey, log, signal, waiting }: EnrolNow,
): Promise<Enrolled> {
  const client = clientOf(settings.controlPlane)
  try {
    return await ensureEnrolled({
      settings: settings.controlPlane,
      name: settings.name,
      softwareVersion: SOFTWARE_VERSION,
      store: new EnrolmentStore(settings.controlPlane.state.directory, rootKey),
      client,
      log,
      random,
      wait: (ms) => sleep(ms, undefined, { signal }),
      waiting,
    })
  } finally {
    client.close()
  }
}

export interface ControlPlaneLink {
  readonly snapshot: PushedSnapshot
  readonly events: { message(line: string): void; audit(line: string): void }
  /** Dials; from now on pushes come. */
  start(client: LinkClient): void
  close(): Promise<void>
}

/** Puts what is kept in force, and gets ready to dial. @throws what the disk says */
export async function openLink(
  settings: EnrolledSettings,
  { keys, enrolment: first }: Enrolled,
  { rootKey, log, metrics, now }: LinkDeps,
): Promise<ControlPlaneLink> {
  const { controlPlane } = settings
  const { directory } = controlPlane.state
  const store = new EnrolmentStore(directory, rootKey)
  let enrolment = first
  const local = { hasMx: settings.mx !== undefined }
  const snapshot = new PushedSnapshot({ log, metrics, now })
  const copy = new SnapshotCopy({ stateDirectory: directory, rootKey, relay: enrolment.relay, local, log })
  await copy.open()
  const contact = new ContactRecord({ directory, log, now })
  const kept = await copy.load()
  snapshot.confirm(await contact.load())
  if (kept !== undefined) await snapshot.alone(() => snapshot.activate(kept))
  if (enrolment.isRevoked) snapshot.revoke()
  const timer = (run: () => void, delayMs: number) => {
    const timeout = setTimeout(run, delayMs)
    return () => clearTimeout(timeout)
  }
  const buffer = await EventBuffer.open({
    directory: `${directory}/events`,
    maxBytes: controlPlane.eventBufferBytes,
    log,
    metrics,
    now,
    timer,
  })
  const client = clientOf(controlPlane)
  const token = () => relayToken(enrolment, keys.signing, now())
  const startedAt = now()
  let mail: LinkClient | undefined
  let refused: { version: number | undefined; reason: string } | undefined

  const revoke = async (): Promise<void> => {
    log.error('control-plane.revoked', { relay: enrolment.relay })
    snapshot.revoke()
    mail?.revoked()
    enrolment = { ...enrolment, isRevoked: true }
    await store.save({ keys, enrolment })
    await Promise.all([delivery.close(), reporter.close(), subscription.close()])
  }
  const revokeOnce = (): void => {
    if (!enrolment.isRevoked) void revoke().catch((error: unknown) => log.error('control-plane.revocation', { error }))
  }
  const confirmed = (): void => {
    snapshot.confirm(now())
    contact.heard()
    mail?.confirmed(snapshot.confirmedAt)
  }
  const keeper = new SnapshotKeeper({
    snapshot,
    copy,
    addressee: () => enrolment,
    sealingKey: keys.sealing,
    local,
    log,
    metrics,
    now,
    activated(held, push) {
      refused = undefined
      contact.heard()
      void mail?.activated(held, push).then(() => reporter.now())
    },
    refused(version, reason) {
      refused = { version, reason }
      reporter.now()
    },
  })
  const reporter = new Reporter({
    client,
    token,
    log,
    revoked: revokeOnce,
    async facts() {
      if (mail === undefined) throw new Error('unreachable: nothing is reported before somebody carries mail')
      const condition = await mail.condition()
      return {
        held: snapshot.held,
        refused,
        condition,
        softwareVersion: SOFTWARE_VERSION,
        startedAt,
        droppedEvents: buffer.dropped,
      }
    },
  })
  const subscription = new Subscription({
    client,
    token,
    held: () => snapshot.held,
    keeper,
    connected: () => reporter.now(),
    confirmed,
    pinnedKey: () => enrolment.snapshotKey.id,
    async rotate(payload) {
      const next = rotatedKey(enrolment.snapshotKey, payload)
      if (next === undefined) return false
      const rotated = { ...enrolment, snapshotKey: next }
      await store.save({ keys, enrolment: rotated })
      enrolment = rotated
      log.info('control-plane.key', { key: next.id })
      return true
    },
    revoked: async () => revokeOnce(),
    log,
    metrics,
    now,
    random,
  })
  const delivery = new EventDelivery({ buffer, client, token, log, random })

  return {
    snapshot,
    events: {
      message: (line) => buffer.add('message', line),
      audit: (line) => buffer.add('audit', line),
    },
    start(carrier) {
      mail = carrier
      contact.watch()
      if (enrolment.isRevoked) {
        log.error('control-plane.revoked', { relay: enrolment.relay })
        return
      }
      subscription.start()
      reporter.start()
      delivery.start()
    },
    async close() {
      contact.close()
      await Promise.all([subscription.close(), reporter.close(), delivery.close()])
      await buffer.close()
      await copy.close()
      await contact.save()
      client.close()
    },
  }
}
