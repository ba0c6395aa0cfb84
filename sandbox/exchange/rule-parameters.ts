// What mail flow rules say here, by the parameters that say it: those conditions and actions that the simulated mail flow judges, and no others. And
// what Exchange demands of them together. (coexistence.md §2.1 rows 9–12)
import { invalidValue } from './exchange-error.ts'
import type { Properties } from './properties.ts'
import { wordsOf } from './write-settings.ts'

const CONDITIONS = wordsOf(`AnyOfCcHeader AnyOfCcHeaderMemberOf AnyOfToCcHeader AnyOfToCcHeaderMemberOf AnyOfToHeader
  AnyOfToHeaderMemberOf AttachmentExtensionMatchesWords From FromAddressContainsWords FromMemberOf FromScope
  HeaderContainsMessageHeader HeaderContainsWords RecipientAddressContainsWords RecipientDomainIs SenderDomainIs SentTo
  SentToMemberOf SentToScope SubjectContainsWords`)
const ACTIONS =
  wordsOf(`ApplyHtmlDisclaimerFallbackAction ApplyHtmlDisclaimerLocation ApplyHtmlDisclaimerText DeleteMessage
  PrependSubject RejectMessageEnhancedStatusCode RejectMessageReasonText RemoveHeader RouteMessageOutboundConnector
  SetHeaderName SetHeaderValue`)

export const RULE_PARAMETERS: readonly string[] = [
  ...CONDITIONS,
  ...CONDITIONS.map((condition) => `ExceptIf${condition}`),
  ...ACTIONS,
  ...wordsOf(`ActivationDate Comments ExpiryDate Mode RuleErrorAction SenderAddressLocation SetAuditSeverity
    StopRuleProcessing`),
]

/** Each says nothing without the other. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['HeaderContainsMessageHeader', 'HeaderContainsWords'],
  ['ExceptIfHeaderContainsMessageHeader', 'ExceptIfHeaderContainsWords'],
  ['SetHeaderName', 'SetHeaderValue'],
]

/** @throws ExchangeError when the rule as a whole can't be */
export function checkRule(rule: Properties): void {
  for (const [one, other] of PAIRS) {
    if (isSaid(rule[one]) !== isSaid(rule[other]))
      throw invalidValue(isSaid(rule[one]) ? other : one, `${one} and ${other} have to be used together.`)
  }
  if (!ACTIONS.some((action) => isSaid(rule[action]))) throw invalidValue('Actions', 'a rule has at least one action.')
}

function isSaid(value: unknown): boolean {
  return ![null, undefined, '', false].includes(value as null) && !(Array.isArray(value) && value.length === 0)
}
