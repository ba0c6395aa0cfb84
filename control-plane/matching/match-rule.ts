// The rules of a matching as the administrator orders them, what each is worth, and which kinds of objects can be the same thing. Pure.
// (migration-semantics.md §3.2, §3.4)
import { z } from 'zod'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { AccountKind } from '../directory/account.ts'

export const CONFIDENCES = ['certain', 'high', 'medium', 'low'] as const
export type Confidence = (typeof CONFIDENCES)[number]

const DEFAULT_MARK_ATTRIBUTE = 'extensionAttribute15'
const MAX_RULES = 20
const MAX_DOMAINS = 5_000

/** Graph's member name of something that a discovery read. */
const attributeName = z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/, "an attribute's name")

const domain = z
  .string()
  .max(255)
  .refine((text) => normaliseDomain(text)?.includes('.') === true, 'a domain name')
  .overwrite((text) => normaliseDomain(text) ?? text)

export const ruleSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('mapping-file') }),
    z.strictObject({ kind: z.literal('provenance'), attribute: attributeName.default(DEFAULT_MARK_ATTRIBUTE) }),
    z.strictObject({ kind: z.literal('attribute'), source: attributeName, target: attributeName }),
    z.strictObject({ kind: z.literal('address') }),
    z.strictObject({ kind: z.literal('upn') }),
    z.strictObject({ kind: z.literal('local-part') }),
    z.strictObject({ kind: z.literal('display-name') }),
  ])
  .meta({
    id: 'MatchRule',
    description: [
      '`mapping-file`: pairs that a mapping file or a person made, which are kept whatever the rules say;',
      '`provenance`: the mark of an earlier run, `cw1:<project>:<object id>` in an attribute of the target, or `[cw1:…]` in the description of a group;',
      '`attribute`: one attribute equals another; `address`: an SMTP address in common; `upn`, `local-part`: the user principal name, the local part of',
      'the primary address, with the domain that the domain map says; `display-name`: suggests, and never pairs.',
    ].join(' '),
  })
export type MatchRule = z.output<typeof ruleSchema>

export const domainMapSchema = z
  .array(z.strictObject({ from: domain.meta({ description: 'Of a source.' }), to: domain }))
  .max(MAX_DOMAINS)
  .refine((list) => new Set(list.map(({ from }) => from)).size === list.length, 'no domain twice')
  .meta({ description: 'Which domain of the target a domain of a source becomes.' })
export type DomainMap = z.output<typeof domainMapSchema>

export interface MatchOptions {
  readonly rules: readonly MatchRule[]
  readonly domainMap: DomainMap
  /** Members may be paired with guests. */
  readonly allowGuests: boolean
}

export const optionsBody = z
  .strictObject({
    rules: z.array(ruleSchema).min(1).max(MAX_RULES).optional().meta({
      description:
        'Top down; the first one under which something is found decides, and a lower one never overrides it. Left out: mapping file, provenance, onPremisesImmutableId, employeeId, address and, with a domain map, UPN and local part; display name suggests.',
    }),
    domainMap: domainMapSchema.default([]),
    allowGuests: z.boolean().default(false).meta({ description: 'Whether members may be paired with guests.' }),
    replaceProposals: z.boolean().default(false).meta({
      description:
        'Proposals of earlier matchings that nobody has confirmed make way. Otherwise they are kept, as pairs always are.',
    }),
  })
  .superRefine(({ rules = [], domainMap }, context) => {
    const seen = new Set<string>()
    for (const [i, rule] of rules.entries()) {
      if ((rule.kind === 'upn' || rule.kind === 'local-part') && domainMap.length === 0)
        context.addIssue({ code: 'custom', path: ['rules', i], message: 'needs a domain map' })
      if (seen.has(ruleName(rule))) context.addIssue({ code: 'custom', path: ['rules', i], message: 'no rule twice' })
      seen.add(ruleName(rule))
    }
  })

/** The default of migration-semantics.md §3.2. */
export function defaultRules(domainMap: DomainMap): MatchRule[] {
  const byDomain: MatchRule[] = domainMap.length === 0 ? [] : [{ kind: 'upn' }, { kind: 'local-part' }]
  return [
    { kind: 'mapping-file' },
    { kind: 'provenance', attribute: DEFAULT_MARK_ATTRIBUTE },
    { kind: 'attribute', source: 'onPremisesImmutableId', target: 'onPremisesImmutableId' },
    { kind: 'attribute', source: 'employeeId', target: 'employeeId' },
    { kind: 'address' },
    ...byDomain,
    { kind: 'display-name' },
  ]
}

/** As results and reports name it: `address`, `attribute:employeeId=extensionAttribute1`. */
export function ruleName(rule: MatchRule): string {
  return rule.kind === 'attribute' ? `attribute:${rule.source}=${rule.target}` : rule.kind
}

const CONFIDENCE: Record<MatchRule['kind'], Confidence> = {
  'mapping-file': 'certain',
  provenance: 'certain',
  attribute: 'high',
  address: 'high',
  upn: 'medium',
  'local-part': 'medium',
  'display-name': 'low',
}

export const confidenceOf = ({ kind }: Pick<MatchRule, 'kind'>): Confidence => CONFIDENCE[kind]

/** What may be paired beside what is of the same kind, in both directions. */
const ALSO: Partial<Record<AccountKind, readonly AccountKind[]>> = {
  user: ['shared-mailbox'],
  'shared-mailbox': ['user'],
  contact: ['mail-user'],
  'mail-user': ['contact'],
}

export function isCompatible(source: AccountKind, target: AccountKind, allowGuests: boolean): boolean {
  if (source === target || ALSO[source]?.includes(target) === true) return true
  return allowGuests && ((source === 'user' && target === 'guest') || (source === 'guest' && target === 'user'))
}
