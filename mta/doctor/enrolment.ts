// Whether a relay is enrolled with its control plane, when that was last heard, and what it has of it. (OP-5, RC-1, RC-4)
import { existsSync } from 'node:fs'
import type { Log } from '../../common/log.ts'
import { withProjectOf } from '../enrolment/enrolled-settings.ts'
import { EnrolmentStore } from '../enrolment/enrolment-state.ts'
import type { Enrolment } from '../enrolment/enrolment-state.ts'
import { ContactRecord } from '../mapping/contact-record.ts'
import type { HeldSnapshot } from '../mapping/next-snapshot.ts'
import { SnapshotCopy } from '../mapping/snapshot-copy.ts'
import type { EnrolledSettings, Settings } from '../settings.ts'
import { loadSpoolKey } from '../spool/keys.ts'
import { fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'

export type EnrolmentFacts =
  | { readonly kind: 'none'; readonly hasCode: boolean }
  | { readonly kind: 'unusable'; readonly why: string }
  | {
      readonly kind: 'enrolled'
      readonly url: string
      readonly enrolment: Enrolment
      /** ms since the epoch; 0: never, or nobody knows */
      readonly heardAt: number
      /** undefined: none is kept that can be used. */
      readonly snapshot: HeldSnapshot | undefined
    }

const HOUR_MS = 3_600_000

export function judgeEnrolment(facts: EnrolmentFacts, now: number): Finding[] {
  if (facts.kind === 'unusable')
    return [fault('enrolment', facts.why, "put the relay's spool key and its state back in place, or enrol it anew")]
  if (facts.kind === 'none') {
    const says = 'the relay is not enrolled yet'
    return facts.hasCode
      ? [warning('enrolment', says, 'start it: it enrols with the code of the configuration')]
      : [fault('enrolment', says, 'write the code that the control plane gives out to `controlPlane.enrolmentCode`')]
  }
  const { url, enrolment, heardAt, snapshot } = facts
  return [
    enrolment.isRevoked
      ? fault(
          'enrolment',
          `${url} has cut relay ${enrolment.relay} off`,
          'if that was not meant, enrol it anew with another code',
        )
      : ok('enrolment', `relay ${enrolment.relay} of project ${enrolment.project}, with ${url}`),
    judgeContact(url, heardAt, now),
    snapshot === undefined
      ? fault(
          'snapshot',
          'none is kept: until one comes, mail is answered 451 4.3.5',
          "see the relay's log for why none was taken",
        )
      : ok(
          'snapshot',
          `version ${snapshot.version} of ${snapshot.manifest.createdAt}: mapping revision ${snapshot.table.version} with ${snapshot.table.entryCount} entries, settings ${snapshot.project.version}, ${snapshot.manifest.state}`,
        ),
  ]
}

/** At the ages of the alarms: RC-4. */
function judgeContact(url: string, heardAt: number, now: number): Finding {
  const check = 'control-plane'
  const todo = `see that ${url} can be reached from here, and the relay's log; mail goes on by the last snapshot`
  if (heardAt === 0) return warning(check, 'it was never heard', todo)
  const minutes = Math.max(0, Math.floor((now - heardAt) / 60_000))
  const says = `last heard ${minutes} min ago`
  if (now - heardAt >= 24 * HOUR_MS) return fault(check, says, todo)
  return now - heardAt >= HOUR_MS ? warning(check, says, todo) : ok(check, says)
}

export async function observeEnrolment(settings: EnrolledSettings): Promise<EnrolmentFacts> {
  const { controlPlane, spool, mx } = settings
  const none = { kind: 'none', hasCode: controlPlane.enrolmentCode !== undefined } as const
  // Looking makes nothing, least of all a key.
  if (!existsSync(spool.key.file)) return none
  try {
    const rootKey = loadSpoolKey(spool.key.file, spool.directory)
    const { directory } = controlPlane.state
    const enrolment = (await new EnrolmentStore(directory, rootKey).load())?.enrolment
    if (enrolment === undefined) return none
    const local = { hasMx: mx !== undefined }
    const copy = new SnapshotCopy({ stateDirectory: directory, rootKey, relay: enrolment.relay, local, log: SILENT })
    const heardAt = await new ContactRecord({ directory, log: SILENT, now: Date.now }).load()
    return { kind: 'enrolled', url: controlPlane.url, enrolment, heardAt, snapshot: await copy.load() }
  } catch (error) {
    return { kind: 'unusable', why: error instanceof Error ? error.message : String(error) }
  }
}

export function withProject(settings: Settings, facts: EnrolmentFacts): Settings {
  return facts.kind === 'enrolled' ? withProjectOf(settings, facts.enrolment) : settings
}

/** What is wrong with what is kept shows in that there is none. */
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }
