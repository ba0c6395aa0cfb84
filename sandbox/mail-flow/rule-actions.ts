// Actions of mail flow rules on one copy of a message. What a copy's end is, the first action to say so decides.
import type { ExchangeObject } from '../tenants/objects.ts'
import { withDisclaimer, wrapped } from './disclaimer.ts'
import { prependSubject, removeField, setField } from './header.ts'
import type { Message } from './header.ts'
import { stampRouting } from './loops.ts'
import type { MailView } from './mail-view.ts'
import { flagOf, textOf } from './object-properties.ts'
import type { RuleProblem } from './rule-conditions.ts'

export type Ending =
  | { readonly kind: 'reject'; readonly reply: string }
  | { readonly kind: 'drop'; readonly rule: string }
  | { readonly kind: 'defer'; readonly reason: string }

export interface Acted {
  readonly message: Message
  readonly connector: ExchangeObject | undefined
  readonly ending: Ending | undefined
}

const ACTIONS: ReadonlySet<string> = new Set([
  'SetHeaderName',
  'SetHeaderValue',
  'RemoveHeader',
  'PrependSubject',
  'ApplyHtmlDisclaimerText',
  'ApplyHtmlDisclaimerLocation',
  'ApplyHtmlDisclaimerFallbackAction',
  'RouteMessageOutboundConnector',
  'RejectMessageReasonText',
  'RejectMessageEnhancedStatusCode',
  'DeleteMessage',
  'StopRuleProcessing',
])

export function isAction(name: string): boolean {
  return ACTIONS.has(name)
}

export function act(view: MailView, rule: ExchangeObject, before: Acted): Acted | RuleProblem {
  const edited = disclaimed(rule, edit(rule, before.message))
  if ('reply' in edited) return ended(before, { kind: 'reject', reply: edited.reply })
  const routed = route(view, rule, { ...before, message: edited })
  return 'problem' in routed || routed.ending !== undefined ? routed : { ...routed, ending: endingOf(rule) }
}

function edit(rule: ExchangeObject, message: Message): Message {
  const [set, remove, subject] = [
    textOf(rule, 'SetHeaderName'),
    textOf(rule, 'RemoveHeader'),
    textOf(rule, 'PrependSubject'),
  ]
  const withField = set === '' ? message : setField(message, set, textOf(rule, 'SetHeaderValue'))
  const without = remove === '' ? withField : removeField(withField, remove)
  return subject === '' ? without : prependSubject(without, subject)
}

function disclaimed(rule: ExchangeObject, message: Message): Message | { readonly reply: string } {
  const html = textOf(rule, 'ApplyHtmlDisclaimerText')
  if (html === '') return message
  const place = textOf(rule, 'ApplyHtmlDisclaimerLocation') === 'Prepend' ? 'Prepend' : 'Append'
  const written = withDisclaimer(message, html, place)
  if (written !== undefined) return written
  switch (textOf(rule, 'ApplyHtmlDisclaimerFallbackAction')) {
    case 'Ignore':
      return message
    case 'Reject':
      return { reply: rejection('', '') }
    default:
      return wrapped(message, html)
  }
}

/** Only connectors that are there, on and meant for rules take mail from one. */
function route(view: MailView, rule: ExchangeObject, before: Acted): Acted | RuleProblem {
  const name = textOf(rule, 'RouteMessageOutboundConnector')
  if (name === '') return before
  const connector = view.book
    .settings('OutboundConnector', view.nowMs)
    .find((each) => [textOf(each, 'Name'), textOf(each, 'Identity'), each.guid].some((own) => isSame(own, name)))
  if (connector === undefined) return { problem: 'an outbound connector that is not there' }
  if (!flagOf(connector, 'Enabled') || !flagOf(connector, 'IsTransportRuleScoped'))
    return { problem: 'an outbound connector that is off or not for rules' }
  const message = stampRouting(view, before.message)
  return 'reply' in message
    ? ended(before, { kind: 'reject', reply: message.reply })
    : { ...before, message, connector }
}

function endingOf(rule: ExchangeObject): Ending | undefined {
  const [code, text] = [textOf(rule, 'RejectMessageEnhancedStatusCode'), textOf(rule, 'RejectMessageReasonText')]
  if (code !== '' || text !== '') return { kind: 'reject', reply: rejection(code, text) }
  return flagOf(rule, 'DeleteMessage') ? { kind: 'drop', rule: textOf(rule, 'Name') } : undefined
}

function rejection(code: string, text: string): string {
  const why = text === '' ? 'the message was rejected by organization policy' : text
  return `550 ${code === '' ? '5.7.1' : code} TRANSPORT.RULES.RejectMessage; ${why}`
}

function ended(before: Acted, ending: Ending): Acted {
  return { ...before, ending }
}

function isSame(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
