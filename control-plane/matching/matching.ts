// A matching and its results as the API gives them. Pure. (control-plane.md §2, migration-semantics.md §11)
import { z } from 'zod'
import { time } from '../http/values.ts'
import type { AccountId, MatchingId, OperationId, PairId, TenantId } from '../ids.ts'
import { OPERATION_STATES } from '../operations/operation.ts'
import type { OperationState } from '../operations/operation.ts'
import { accountShape } from '../directory/account-summary.ts'
import { OUTCOMES, REASONS } from './match.ts'
import type { Outcome, Reason } from './match.ts'
import { CONFIDENCES, domainMapSchema, ruleSchema } from './match-rule.ts'
import type { Confidence, MatchOptions } from './match-rule.ts'

export interface StoredOptions extends MatchOptions {
  readonly replaceProposals: boolean
}

export type Counts = Readonly<Record<Outcome, number>>

export interface MatchingCounts {
  readonly total: number
  readonly outcomes: Counts
  /** Of what was decided by a rule. */
  readonly rules: Readonly<Record<string, number>>
  /** Pairs that were proposed, not counting those there were already. */
  readonly proposed: number
}

export interface Matching {
  readonly id: MatchingId
  readonly operation: OperationId
  readonly state: OperationState
  readonly options: StoredOptions
  readonly discoveries: Readonly<Record<string, number>> | undefined
  readonly counts: MatchingCounts | undefined
  readonly author: string
  readonly createdAt: Date
  readonly createdMicros: number
  readonly completedAt: Date | undefined
}

const outcomeCounts = z.strictObject({
  paired: z.int(),
  ambiguous: z.int(),
  conflict: z.int(),
  suggested: z.int(),
  unmatched: z.int(),
} satisfies Record<Outcome, z.ZodInt>)

export const matchingSchema = z
  .strictObject({
    id: z.string(),
    operation: z.string(),
    state: z.enum(OPERATION_STATES).meta({ description: 'Of its operation; results are there once it has succeeded.' }),
    rules: z.array(ruleSchema),
    domainMap: domainMapSchema,
    allowGuests: z.boolean(),
    replaceProposals: z.boolean(),
    discoveries: z
      .record(z.string(), z.int())
      .optional()
      .meta({ description: 'By tenant: number of the discovery it looked at.' }),
    counts: z
      .strictObject({
        total: z.int(),
        outcomes: outcomeCounts,
        rules: z.record(z.string(), z.int()).meta({ description: 'By rule: what it decided.' }),
        proposed: z.int().meta({ description: 'Pairs that are new.' }),
      })
      .optional(),
    startedBy: z.string(),
    createdAt: time,
    completedAt: time.optional(),
  })
  .meta({ id: 'Matching' })

export function shapeMatching(matching: Matching): z.input<typeof matchingSchema> {
  const { id, operation, state, options, discoveries, counts, author, createdAt, completedAt } = matching
  return {
    id,
    operation,
    state,
    rules: [...options.rules],
    domainMap: [...options.domainMap],
    allowGuests: options.allowGuests,
    replaceProposals: options.replaceProposals,
    ...(discoveries === undefined ? {} : { discoveries: { ...discoveries } }),
    ...(counts === undefined
      ? {}
      : { counts: { ...counts, outcomes: { ...counts.outcomes }, rules: { ...counts.rules } } }),
    startedBy: author,
    createdAt: createdAt.toISOString(),
    ...(completedAt === undefined ? {} : { completedAt: completedAt.toISOString() }),
  }
}

/** Of one source account, as it is stored. */
export interface ResultRow {
  readonly source: AccountId
  readonly tenant: TenantId
  readonly sortKey: string
  readonly outcome: Outcome
  readonly reason: Reason | undefined
  /** `ruleName`; '': none. */
  readonly rule: string
  readonly confidence: Confidence | undefined
  readonly target: AccountId | undefined
  readonly pair: PairId | undefined
  readonly candidates: readonly AccountId[]
  readonly candidateCount: number
}

export const resultSchema = z
  .strictObject({
    source: accountShape,
    outcome: z.enum(OUTCOMES),
    reason: z
      .enum(REASONS)
      .optional()
      .meta({
        description: [
          '`live-pair`: it was paired before; `taken`: its candidate is paired, or was found by a higher rule; `claimed-twice`: others have the same',
          'candidate; `contested`: the candidate is one of several of another object under a higher rule; `excluded`.',
        ].join(' '),
      }),
    rule: z.string().optional(),
    confidence: z.enum(CONFIDENCES).optional(),
    target: accountShape.optional(),
    pair: z.string().optional(),
    candidates: z.array(accountShape).meta({ description: 'The first of them, by object id.' }),
    candidateCount: z.int(),
  })
  .meta({ id: 'MatchResult', description: 'What a matching says of one account of a source.' })
export type ResultBody = z.output<typeof resultSchema>
