// Deletion of a project or an organisation: asked for, undone within 7 days or made to happen at once, carried out, certified. Pure. (KM-3, PR-5)
import { z } from 'zod'
import { canonicalJson } from '../audit/audit.ts'
import { time } from '../http/values.ts'
import type { DeletionCertificateId } from '../ids.ts'

const DAY_MS = 86_400_000
export const UNDO_MS = 7 * DAY_MS
/** So many different people make the 7 days void. */
export const FORCERS_NEEDED = 2
/** PR-5: how long a backup may still hold what was deleted; without the keys it can't be read. */
export const BACKUPS_EXPIRE_MS = 35 * DAY_MS

/** As the row of the project or organisation has it. */
export interface DeletionRequest {
  readonly requestedAt: Date
  /** `callerName` */
  readonly requestedBy: string
  /** Principals. */
  readonly forcedBy: readonly string[]
  /** Nothing undoes it from here on. */
  readonly startedAt: Date | undefined
}

export const isForced = ({ forcedBy }: Pick<DeletionRequest, 'forcedBy'>): boolean =>
  new Set(forcedBy).size >= FORCERS_NEEDED

export const undoableUntil = ({ requestedAt }: Pick<DeletionRequest, 'requestedAt'>): Date =>
  new Date(requestedAt.getTime() + UNDO_MS)

/** Whether it may be carried out. @param now  ms since the epoch */
export function isDue(request: DeletionRequest, now: number): boolean {
  return request.startedAt !== undefined || isForced(request) || now >= undoableUntil(request).getTime()
}

export const deletionSchema = z
  .strictObject({
    requestedAt: time,
    requestedBy: z.string(),
    undoableUntil: time.meta({ description: 'It is carried out from then on.' }),
    forcedBy: z.array(z.string()).meta({ description: `Who wants it at once; it needs ${FORCERS_NEEDED} people.` }),
    isForced: z.boolean(),
  })
  .meta({
    id: 'Deletion',
    description: 'A deletion that has been asked for and can still be undone, unless it is forced.',
  })

export function shapeDeletion(request: DeletionRequest): z.input<typeof deletionSchema> {
  return {
    requestedAt: request.requestedAt.toISOString(),
    requestedBy: request.requestedBy,
    undoableUntil: undoableUntil(request).toISOString(),
    forcedBy: [...request.forcedBy],
    isForced: isForced(request),
  }
}

// ── The certificate ────────────────────────────────────────────────────────────────────────────────────────────────

export const CERTIFICATE_FORMAT = 'causeway-deletion-certificate/1'

/** One part of a deletion that is done; what the certificate says of it: ids, counts, states, never names or content. */
export interface DoneStep {
  readonly name: string
  readonly completedAt: string
  readonly details: Readonly<Record<string, unknown>>
}

/** Says who wanted what deleted, when, and what became of it. Holds no name and no content of what is gone. */
export interface DeletionCertificate {
  readonly format: typeof CERTIFICATE_FORMAT
  readonly id: DeletionCertificateId
  readonly organization: string
  readonly subject: { readonly kind: 'project' | 'organization'; readonly id: string }
  readonly requestedAt: string
  readonly requestedBy: string
  readonly forcedBy: readonly string[]
  readonly startedAt: string
  readonly completedAt: string
  readonly steps: readonly DoneStep[]
  readonly backupsExpireAt: string
  /** Of an organisation: those of its projects. */
  readonly projects?: readonly DeletionCertificate[]
}

export function certify(
  subject: Pick<DeletionCertificate, 'id' | 'organization' | 'subject'>,
  request: DeletionRequest,
  steps: readonly DoneStep[],
  now: number,
  projects?: readonly DeletionCertificate[],
): DeletionCertificate {
  return {
    format: CERTIFICATE_FORMAT,
    ...subject,
    requestedAt: request.requestedAt.toISOString(),
    requestedBy: request.requestedBy,
    forcedBy: request.forcedBy,
    startedAt: (request.startedAt ?? new Date(now)).toISOString(),
    completedAt: new Date(now).toISOString(),
    steps,
    backupsExpireAt: new Date(now + BACKUPS_EXPIRE_MS).toISOString(),
    ...(projects === undefined ? {} : { projects }),
  }
}

/** The text that is kept; its SHA-256 is `after` of the audit event. */
export const certificateText = (certificate: DeletionCertificate): string => canonicalJson(certificate)
