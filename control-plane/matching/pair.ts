// A pair: this account of a source and that one of the target are the same person or thing. What is kept of it, what the API shows, what may be done
// with it. Pure. (migration-semantics.md §1, §3.7, §3.8)
import { z } from 'zod'
import { readableText, time } from '../http/values.ts'
import { Problem } from '../http/problem.ts'
import type { AccountId, MatchingId, PairId, TenantId } from '../ids.ts'
import { accountShape, idText, unknownAccount } from '../directory/account-summary.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import { CONFIDENCES } from './match-rule.ts'
import type { Confidence } from './match-rule.ts'

export const SIDES = ['source', 'target'] as const
export type Side = (typeof SIDES)[number]
export const ORIGINS = ['matched', 'mapped', 'created'] as const
export type Origin = (typeof ORIGINS)[number]
export const PAIR_STATES = ['proposed', 'confirmed', 'unpaired'] as const
export type PairState = (typeof PAIR_STATES)[number]

/**
 * Whether its entry is in the mapping table:
 * - none: it has none to write: it is not confirmed, or a side has no address
 * - manual-wins: a person or an import has written an entry for these addresses
 * - blocked: what it would write can't be
 */
export const MAPPING_STATES = ['none', 'written', 'manual-wins', 'blocked'] as const
export type MappingState = (typeof MAPPING_STATES)[number]

export const MAPPING_REASONS = [
  'not-confirmed',
  'no-address',
  'entry-exists',
  'changed-by-hand',
  'some-addresses-elsewhere',
  'address-of-another-pair',
  'address-invalid',
  'domain-not-accepted',
  'too-many-addresses',
] as const
export type MappingReason = (typeof MAPPING_REASONS)[number]

/** Of what a mapping file or a person paired. */
export const BY_HAND = { rule: 'mapping-file', confidence: 'certain' } as const

export interface Pair {
  readonly id: PairId
  readonly source: AccountId
  readonly target: AccountId
  readonly sourceTenant: TenantId
  readonly targetTenant: TenantId
  readonly sourceSummary: AccountSummary | undefined
  readonly targetSummary: AccountSummary | undefined
  readonly origin: Origin
  readonly state: PairState
  readonly rule: string
  readonly confidence: Confidence
  readonly matching: MatchingId | undefined
  readonly presents: Side
  readonly holds: Side
  readonly sortKey: string
  readonly mapping: {
    readonly state: MappingState
    readonly reason: MappingReason | undefined
    readonly entry: string | undefined
  }
  readonly contentCopiedAt: Date | undefined
  readonly version: number
  readonly createdBy: string
  readonly createdAt: Date
  readonly decidedBy: string | undefined
  readonly decidedAt: Date | undefined
}

export const pairOptions = {
  presents: z
    .enum(SIDES)
    .meta({ description: "Whose primary address the world sees: the target's unless it is said otherwise." }),
  holds: z.enum(SIDES).meta({ description: "Which side holds the mailbox: the source's until the person moves." }),
}

export const pairSchema = z
  .strictObject({
    id: z.string(),
    source: accountShape,
    target: accountShape,
    origin: z.enum(ORIGINS).meta({
      description:
        '`matched` by a rule, `mapped` by a mapping file or a person, `created`: the target was made of the source.',
    }),
    state: z.enum(PAIR_STATES),
    rule: z.string().optional(),
    confidence: z.enum(CONFIDENCES),
    matching: z.string().optional(),
    ...pairOptions,
    mapping: z
      .strictObject({
        state: z.enum(MAPPING_STATES),
        reason: z.enum(MAPPING_REASONS).optional(),
        entry: z.string().optional().meta({ description: 'Id of the mapping entry that it wrote.' }),
      })
      .meta({
        description: [
          '`written`; `manual-wins`: a person or an import has an entry for these addresses; `blocked`: `reason` says why;',
          '`none`: it is not confirmed, or a side has no address. `some-addresses-elsewhere`: written, without aliases that other entries have.',
        ].join(' '),
      }),
    contentCopiedAt: time.optional(),
    createdBy: z.string(),
    createdAt: time,
    decidedBy: z.string().optional().meta({ description: 'Who confirmed or unpaired it.' }),
    decidedAt: time.optional(),
  })
  .meta({ id: 'Pair' })

export function shapePair(pair: Pair): z.input<typeof pairSchema> {
  const { id, origin, state, rule, confidence, matching, presents, holds, mapping, createdBy, decidedBy } = pair
  return {
    id,
    source: pair.sourceSummary ?? unknownAccount(pair.source, pair.sourceTenant),
    target: pair.targetSummary ?? unknownAccount(pair.target, pair.targetTenant),
    origin,
    state,
    ...(rule === '' ? {} : { rule }),
    confidence,
    ...(matching === undefined ? {} : { matching }),
    presents,
    holds,
    mapping: {
      state: mapping.state,
      ...(mapping.reason === undefined ? {} : { reason: mapping.reason }),
      ...(mapping.entry === undefined ? {} : { entry: mapping.entry }),
    },
    ...(pair.contentCopiedAt === undefined ? {} : { contentCopiedAt: pair.contentCopiedAt.toISOString() }),
    createdBy,
    createdAt: pair.createdAt.toISOString(),
    ...(decidedBy === undefined ? {} : { decidedBy }),
    ...(pair.decidedAt === undefined ? {} : { decidedAt: pair.decidedAt.toISOString() }),
  }
}

/**
 * §3.7: freely while nothing was copied, afterwards only when the administrator says that he knows.
 * @throws Problem 409
 */
export function demandUnpairable(
  { contentCopiedAt }: Pick<Pair, 'contentCopiedAt'>,
  { despiteContent }: { readonly despiteContent: boolean },
): void {
  if (contentCopiedAt !== undefined && !despiteContent)
    throw new Problem('pair-has-content', { contentCopiedAt: contentCopiedAt.toISOString() })
}

/** As lists are searched: names and addresses are compared so. */
export const searchText = readableText(1, 320)
  .transform((text) => text.toLowerCase())
  .meta({ description: 'Beginning of a display name, an address or a user principal name, whatever the case.' })

/** Name of a rule in a filter. */
export const ruleText = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'the name of a rule')

export const pairFilterShape = {
  state: z.enum(PAIR_STATES).optional().meta({ description: 'Left out: all that are not unpaired.' }),
  origin: z.enum(ORIGINS).optional(),
  rule: ruleText.optional().meta({ description: 'As pairs name it.' }),
  confidence: z.enum(CONFIDENCES).optional(),
  mapping: z.enum(MAPPING_STATES).optional().meta({ description: 'State of its mapping entry.' }),
  matching: idText.optional().meta({ description: 'That proposed it.' }),
  account: idText.optional().meta({ description: 'On either side.' }),
  collection: idText.optional().meta({ description: 'That the source account is in.' }),
  search: searchText.optional(),
}
export type PairFilter = z.output<z.ZodObject<typeof pairFilterShape>>
