// A tenant's mail flow rules on one message. A rule that applies to part of the recipients splits the message: the matching copy is acted on, the other
// goes on, and each is judged by itself afterwards (Microsoft Learn, "Message bifurcation").
import type { ExchangeObject } from '../tenants/objects.ts'
import type { Message } from './header.ts'
import type { MailView, Origin } from './mail-view.ts'
import { isSaid, textOf } from './object-properties.ts'
import type { DeliverableRecipient } from './recipients.ts'
import { act, isAction } from './rule-actions.ts'
import type { Acted } from './rule-actions.ts'
import { isCondition, judgeConditions } from './rule-conditions.ts'

export interface Copy extends Acted {
  readonly recipients: readonly DeliverableRecipient[]
  /** By StopRuleProcessing, or because its end is decided. */
  readonly isStopped: boolean
}

/** What says nothing about whether a rule applies or what it does. */
const DESCRIPTIVE: ReadonlySet<string> = new Set([
  'Identity',
  'Name',
  'Guid',
  'ImmutableId',
  'DistinguishedName',
  'Description',
  'Priority',
  'State',
  'Enabled',
  'Mode',
  'Comments',
  'RuleVersion',
  'RuleErrorAction',
  'RuleSubType',
  'SenderAddressLocation',
  'SetAuditSeverity',
  'UseLegacyRegex',
  'ActivationDate',
  'ExpiryDate',
  'ManuallyModified',
  'Conditions',
  'Exceptions',
  'Actions',
  'CreatedBy',
  'LastModifiedBy',
  'OrganizationId',
  'WhenCreated',
  'WhenChanged',
  'IsValid',
])

export interface RuledMessage {
  readonly origin: Origin
  readonly sender: string
  readonly message: Message
  readonly recipients: readonly DeliverableRecipient[]
}

/** The copies that there are after all rules. */
export function applyRules(view: MailView, { origin, sender, message, recipients }: RuledMessage): readonly Copy[] {
  if (recipients.length === 0) return []
  let copies: readonly Copy[] = [{ message, recipients, connector: undefined, ending: undefined, isStopped: false }]
  for (const rule of view.rules) {
    if (!isActing(rule, view.nowMs)) continue
    copies = copies
      .flatMap((copy) => (copy.isStopped ? [copy] : applyRule(view, rule, copy, { origin, sender })))
      .filter((copy) => copy.recipients.length > 0)
  }
  return copies
}

function applyRule(
  view: MailView,
  rule: ExchangeObject,
  copy: Copy,
  from: { readonly origin: Origin; readonly sender: string },
): readonly Copy[] {
  const said = Object.keys(rule.properties).filter((name) => isSaid(rule.properties[name]) && !DESCRIPTIVE.has(name))
  const unknown = said.filter((name) => !isCondition(name) && !isAction(name))
  // Whatever the rule says of errors: to go on would be to pretend that the sandbox knew the rule.
  if (unknown.length > 0) return [deferred(copy, rule, `the sandbox knows no ${unknown.join(', ')}`)]
  const applies = judgeConditions(rule, said.filter(isCondition), { view, ...from, message: copy.message })
  if ('problem' in applies) return inTrouble(rule, applies.problem, { matched: copy, copy })
  const matching = copy.recipients.filter(applies)
  if (matching.length === 0) return [copy]
  const others = { ...copy, recipients: copy.recipients.filter((recipient) => !applies(recipient)) }
  const matched = { ...copy, recipients: matching }
  const acted = act(view, rule, matched)
  if ('problem' in acted) return inTrouble(rule, acted.problem, { matched, copy, others })
  const isStopped = acted.ending !== undefined || isSaid(rule.properties['StopRuleProcessing'])
  return [{ ...matched, ...acted, isStopped }, others]
}

/** Rules that audit only change nothing. */
function isActing(rule: ExchangeObject, nowMs: number): boolean {
  const [from, until] = [textOf(rule, 'ActivationDate'), textOf(rule, 'ExpiryDate')]
  return (
    textOf(rule, 'State') !== 'Disabled' &&
    ['', 'Enforce'].includes(textOf(rule, 'Mode')) &&
    !(from !== '' && Date.parse(from) > nowMs) &&
    !(until !== '' && Date.parse(until) <= nowMs)
  )
}

/** RuleErrorAction: what matched waits, or all goes on as if there were no such rule. */
function inTrouble(
  rule: ExchangeObject,
  problem: string,
  { matched, copy, others }: { readonly matched: Copy; readonly copy: Copy; readonly others?: Copy },
): readonly Copy[] {
  if (textOf(rule, 'RuleErrorAction') !== 'Defer') return [copy]
  return [deferred(matched, rule, `it names ${problem}`), ...(others === undefined ? [] : [others])]
}

function deferred(copy: Copy, rule: ExchangeObject, why: string): Copy {
  const reason = `451 4.7.0 Temporary server error. Rule "${textOf(rule, 'Name')}" can't be judged: ${why}`
  return { ...copy, isStopped: true, ending: { kind: 'defer', reason } }
}
