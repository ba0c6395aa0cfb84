// A consent under way, step by step: the link that an administrator is sent, his visit to Entra's consent page, and his sign-in. Each step is kept
// sealed, found only by a secret that went to nobody else. (EC-3, microsoft-365.md §2.3)
import { credentialHash } from '../access/api-key.ts'
import { rowOf, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { sql } from 'kysely'
import { INSTALLATION } from '../ids.ts'
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import type { SignInFlow } from '../access/sign-in-flow.ts'
import type { Choices } from './capabilities.ts'
import type { Sealer } from '../keys/sealer.ts'

export interface ConsentSubject {
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly tenant: TenantId
  /** As it was registered when the link was made: one that was changed meanwhile is another. */
  readonly entraTenantId: string
  readonly clientId: string
  readonly choices: Choices
  /** `callerName` of who made the link. */
  readonly askedBy: string
}

export type ConsentFlow = ConsentSubject &
  ({ readonly step: 'link' } | { readonly step: 'consent' } | { readonly step: 'sign-in'; readonly flow: SignInFlow })

/** Of the link: whoever administers the tenant may have to be found first. */
export const LINK_LIFE_MS = 24 * 3_600_000
/** Of a `state` (EC-3). */
export const STATE_LIFE_MS = 10 * 60_000

export interface FlowDeps {
  readonly db: Db
  readonly sealer: Sealer
}

const PLACE = { organisation: INSTALLATION, project: undefined }
const PURPOSE = 'consent_flow.flow_sealed'

/** @param secrets  all of them are needed to find it again */
export async function keepConsentFlow(
  flow: ConsentFlow,
  secrets: readonly string[],
  expiresAt: Date,
  { db, sealer }: FlowDeps,
): Promise<void> {
  const hash = hashOf(secrets)
  const plain = Buffer.from(JSON.stringify(flow))
  await withScope(db, { organisation: INSTALLATION, credential: hash }, async (tx) => {
    const sealed = await sealer.seal(tx, PLACE, PURPOSE, hash, plain)
    await sql`insert into consent_flow (secret_hash, flow_sealed, expires_at) values (${hash}, ${sealed}, ${expiresAt})`.execute(
      tx,
    )
  })
}

/**
 * undefined: nobody began it with these secrets, it is over, or was taken before. A link is looked at and stays (mail programs open links ahead of
 * people); a state is good once.
 */
export async function findConsentFlow<S extends ConsentFlow['step']>(
  step: S,
  secrets: readonly string[],
  now: number,
  { db, sealer }: FlowDeps,
): Promise<Extract<ConsentFlow, { step: S }> | undefined> {
  const hash = hashOf(secrets)
  const row = await withScope(db, { credential: hash }, (tx) =>
    rowOf<{ sealed: Buffer; expires_at: Date }>(
      tx,
      step === 'link'
        ? sql`select flow_sealed as sealed, expires_at from consent_flow where secret_hash = ${hash}`
        : sql`delete from consent_flow where secret_hash = ${hash} returning flow_sealed as sealed, expires_at`,
    ),
  )
  if (row === undefined || row.expires_at.getTime() <= now) return undefined
  const opened = await withScope(db, { organisation: INSTALLATION }, (tx) =>
    sealer.open(tx, PLACE, PURPOSE, hash, row.sealed),
  )
  const flow = JSON.parse(opened.toString()) as ConsentFlow // sealed by `keepConsentFlow`
  return flow.step === step ? (flow as Extract<ConsentFlow, { step: S }>) : undefined
}

const hashOf = (secrets: readonly string[]): string => credentialHash(secrets.join(' '))
