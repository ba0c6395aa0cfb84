// Enrolment (RC-1): a code and two public keys become a relay of the code's project. One transaction: code used, relay made, told, audited.
import type { EnrolAnswer, EnrolRequest } from '../../common/relay-contract.ts'
import { credentialHash } from '../access/api-key.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { Problem } from '../http/problem.ts'
import { newId } from '../ids.ts'
import { findProject } from './project-place-store.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { judgeEnrolment } from './enrolment.ts'
import { findEnrolmentPlace, lockEnrolment, useEnrolment } from './enrolment-store.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import { addRelay, findRelayIdentity } from './relay-store.ts'
import type { SnapshotKeys } from './snapshot-keys.ts'

export interface EnrolDeps {
  readonly db: Db
  readonly snapshotKeys: SnapshotKeys
  /** Names the installation. */
  readonly installation: string
  /** ms since the epoch */
  readonly now: () => number
}

export interface EnrolSource {
  readonly requestId: string
  readonly sourceAddress: string
}

/** @throws Problem 403: which of the reasons it is, only the audit trail tells (AZ-9) */
export async function enrol(request: EnrolRequest, source: EnrolSource, deps: EnrolDeps): Promise<EnrolAnswer> {
  const { db, snapshotKeys, installation, now } = deps
  const codeHash = credentialHash(request.code)
  const place = await withScope(db, { credential: codeHash }, (tx) => findEnrolmentPlace(tx, codeHash))
  if (place === undefined) throw new Problem('enrolment-refused')
  const { organisation, project, enrolment } = place
  const signer = await snapshotKeys.current()
  const answer = (relay: string): EnrolAnswer => ({
    relay,
    organization: organisation,
    project,
    installation,
    snapshotKey: { id: signer.id, publicKey: signer.publicKey },
  })
  const outcome = await withScope(db, { organisation }, async (tx) => {
    const at = new Date(now())
    const found = await lockEnrolment(tx, organisation, project, enrolment)
    if (found === undefined) return { refused: 'gone' }
    const usedBy = found.relay && (await findRelayIdentity(tx, found.relay))
    const isProjectGone = (await findProject(tx, place))?.isDeleting !== false
    const verdict = judgeEnrolment(found, usedBy, request, isProjectGone, at.getTime())
    switch (verdict.kind) {
      case 'repeat':
        // Whoever was revoked in the meantime learns it from its first token.
        return { relay: found.relay ?? '' }
      case 'refuse':
        await noteRefusal(tx, place, verdict.reason, source, at)
        return { refused: verdict.reason }
      case 'enrol':
        break
      default:
        verdict satisfies never
    }
    const relay = newId('relay')
    await addRelay(tx, {
      organisation,
      project,
      relay,
      name: request.name,
      softwareVersion: request.softwareVersion,
      signingKey: request.signingKey,
      sealingKey: request.sealingKey,
      pinnedKey: signer.id,
      at,
    })
    await useEnrolment(tx, organisation, project, enrolment, relay, at)
    // A machine that was of the project before holds a version that was made for its former self: what it is sent must be newer.
    await bumpSnapshot(tx, organisation, project, 'relays')
    await publishEvent(tx, { organisation, project }, 'relay.enrolled', { relay, name: request.name })
    await appendAudit(
      tx,
      organisation,
      {
        action: 'relay.enrolled',
        actor: `relay:${relay}`,
        project,
        object: relay,
        result: 'done',
        requestId: source.requestId,
        payload: {
          enrolment,
          name: request.name,
          softwareVersion: request.softwareVersion,
          sourceAddress: source.sourceAddress,
        },
      },
      at.getTime(),
    )
    return { relay }
  })
  if (outcome.relay === undefined) throw new Problem('enrolment-refused')
  return answer(outcome.relay)
}

async function noteRefusal(
  tx: Tx,
  { organisation, project, enrolment }: ProjectPlace & { enrolment: string },
  reason: string,
  { requestId, sourceAddress }: EnrolSource,
  at: Date,
): Promise<void> {
  await appendAudit(
    tx,
    organisation,
    {
      action: 'relay.enrolment-refused',
      actor: 'anonymous',
      project,
      object: enrolment,
      result: 'denied',
      requestId,
      payload: { reason, sourceAddress },
    },
    at.getTime(),
  )
}
