// Conditions and exceptions of mail flow rules. Those of the message hold for all its recipients, those of recipients for each by itself: that is what
// splits a message. A condition that isn't here is unknown, and its rule is an error and never a rule that matches more than it should.
import type { ExchangeObject, Recipient } from '../tenants/objects.ts'
import { addressesOf, decodeWords, serialise, valuesOf } from './header.ts'
import type { Message } from './header.ts'
import type { MailView, Origin } from './mail-view.ts'
import { partsOf } from './mime-parts.ts'
import { domainOf, flagOf, listOf, textOf, withoutPrefix } from './object-properties.ts'
import type { DeliverableRecipient } from './recipients.ts'
import { remoteDomainOf } from './remote-domains.ts'

/** What a rule looks at. */
export interface Judged {
  readonly view: MailView
  readonly origin: Origin
  /** MAIL FROM. */
  readonly sender: string
  readonly message: Message
}

type RecipientTest = (recipient: DeliverableRecipient) => boolean

/** A rule that can't be judged: it names what isn't there. */
export interface RuleProblem {
  readonly problem: string
}

type Condition = (judged: Judged, values: readonly string[], rule: RuleReader) => boolean | RecipientTest | RuleProblem

interface RuleReader {
  /** The property of the same side: of the conditions, or with `ExceptIf` before it. */
  readonly same: (name: string) => readonly string[]
  /** Where the rule looks for senders. */
  readonly senders: (judged: Judged) => readonly string[]
}

const CONDITIONS: Readonly<Record<string, Condition>> = {
  FromScope: (judged, [scope], { senders }) =>
    oneOfScopes(
      scope,
      senders(judged).some((each) => isInside(judged, each)),
    ),
  From: (judged, values, { senders }) => isAnyOf(judged.view, senders(judged), values),
  FromMemberOf: (judged, groups, { senders }) =>
    withMembers(judged.view, groups, (members) => {
      if (judged.view.behaviour.fromMemberOf === 'authenticated' && judged.origin !== 'submission') return false
      return senders(judged).some((each) => isMember(judged.view, each, members))
    }),
  FromAddressContainsWords: (judged, words, { senders }) => senders(judged).some((each) => containsWord(each, words)),
  SenderDomainIs: (judged, domains, { senders }) => senders(judged).some((each) => isInDomain(each, domains)),
  SubjectContainsWords: ({ message }, words) =>
    valuesOf(message, 'Subject').some((value) => containsWord(decodeWords(value), words)),
  HeaderContainsMessageHeader: ({ message }, names, { same }) => {
    const words = same('HeaderContainsWords')
    if (words.length === 0) return { problem: 'HeaderContainsMessageHeader without HeaderContainsWords' }
    return names.some((name) => valuesOf(message, name).some((value) => containsWord(value, words)))
  },
  HeaderContainsWords: (_judged, _words, { same }) =>
    same('HeaderContainsMessageHeader').length > 0 || {
      problem: 'HeaderContainsWords without HeaderContainsMessageHeader',
    },
  AnyOfToHeader: (judged, values) => isAnyOf(judged.view, addressesOf(judged.message, 'To'), values),
  AnyOfCcHeader: (judged, values) => isAnyOf(judged.view, addressesOf(judged.message, 'Cc'), values),
  AnyOfToCcHeader: (judged, values) => isAnyOf(judged.view, mentioned(judged.message), values),
  AnyOfToHeaderMemberOf: ({ view, message }, groups) => hasMember(view, addressesOf(message, 'To'), groups),
  AnyOfCcHeaderMemberOf: ({ view, message }, groups) => hasMember(view, addressesOf(message, 'Cc'), groups),
  AnyOfToCcHeaderMemberOf: ({ view, message }, groups) => hasMember(view, mentioned(message), groups),
  AttachmentExtensionMatchesWords: ({ message }, words) => {
    const wanted = new Set(words.map((word) => word.toLowerCase().replace(/^\./, '')))
    return partsOf(serialise(message)).some(({ fileName }) => wanted.has(extensionOf(fileName ?? '')))
  },
  SentToScope: (judged, [scope]) => {
    if (scope !== 'InOrganization' && scope !== 'NotInOrganization') return { problem: `scope ${scope}` }
    return (recipient) => isRecipientInside(judged, recipient) === (scope === 'InOrganization')
  },
  SentTo:
    ({ view }, values) =>
    (recipient) =>
      isAnyOf(view, [recipient.presented, recipient.original], values),
  SentToMemberOf: ({ view }, groups) =>
    withMembers(
      view,
      groups,
      (members) => (recipient: DeliverableRecipient) => isMemberObject(recipient.recipient, members),
    ),
  RecipientDomainIs: (_judged, domains) => (recipient) => isInDomain(recipient.presented, domains),
  RecipientAddressContainsWords: (_judged, words) => (recipient) => containsWord(recipient.presented, words),
}

/** Whether a property is a condition or exception that can be judged. */
export function isCondition(name: string): boolean {
  return Object.hasOwn(CONDITIONS, withoutExceptIf(name))
}

/** To which recipients the rule applies: every condition true and no exception. */
export function judgeConditions(
  rule: ExchangeObject,
  names: readonly string[],
  judged: Judged,
): RecipientTest | RuleProblem {
  const tests: RecipientTest[] = []
  for (const name of names) {
    const isException = name.startsWith('ExceptIf')
    const result = CONDITIONS[withoutExceptIf(name)]?.(judged, listOf(rule, name), readerOf(rule, isException)) ?? false
    if (typeof result === 'object') return result
    const test = typeof result === 'boolean' ? () => result : result
    // The words alone say nothing: their field's condition reads them.
    if (withoutExceptIf(name) !== 'HeaderContainsWords') tests.push(isException ? (each) => !test(each) : test)
  }
  return (recipient) => tests.every((test) => test(recipient))
}

function withoutExceptIf(name: string): string {
  return name.replace(/^ExceptIf/, '')
}

function readerOf(rule: ExchangeObject, isException: boolean): RuleReader {
  const location = textOf(rule, 'SenderAddressLocation')
  return {
    same: (name) => listOf(rule, isException ? `ExceptIf${name}` : name),
    senders: ({ message, sender }) => [
      ...(location === 'Envelope' ? [] : addressesOf(message, 'From')),
      ...((location === 'Envelope' || location === 'HeaderOrEnvelope') && sender !== '' ? [sender] : []),
    ],
  }
}

function oneOfScopes(scope: string | undefined, isIn: boolean): boolean | RuleProblem {
  if (scope === 'InOrganization') return isIn
  return scope === 'NotInOrganization' ? !isIn : { problem: `scope ${scope}` }
}

/** A sender is of the organisation on its own mail alone: anybody can write its addresses. */
function isInside({ view, origin }: Judged, sender: string): boolean {
  if (origin === 'incoming') return false
  return (
    view.book.isOwn(sender, view.nowMs) ||
    (origin === 'submission' && isObjectInside(view.book.find(sender, view.nowMs)))
  )
}

/** microsoft-365.md §15: by domain, and on authenticated mail by object too. */
function isRecipientInside({ view, origin }: Judged, { presented, recipient }: DeliverableRecipient): boolean {
  if (view.book.isOwn(presented, view.nowMs) || isInternalRemoteDomain(view, domainOf(presented))) return true
  return origin === 'submission' && isObjectInside(recipient)
}

/** Mail contacts aren't named among those that count. */
function isObjectInside(recipient: Recipient | undefined): boolean {
  return recipient !== undefined && recipient.recipientTypeDetails !== 'MailContact'
}

/** `InternalLegacy` makes one internal. */
function isInternalRemoteDomain({ book, nowMs }: MailView, domain: string): boolean {
  const fitting = remoteDomainOf(book, domain, nowMs)
  return (
    fitting !== undefined && (flagOf(fitting, 'IsInternal') || textOf(fitting, 'AllowedOOFType') === 'InternalLegacy')
  )
}

function mentioned(message: Message): readonly string[] {
  return [...addressesOf(message, 'To'), ...addressesOf(message, 'Cc')]
}

function withMembers<T>(
  view: MailView,
  groups: readonly string[],
  judge: (members: ReadonlySet<string>) => T,
): T | RuleProblem {
  const members = view.book.membersOf(groups, view.nowMs)
  return members === undefined ? { problem: 'a group that is not there' } : judge(members)
}

/** By primary address only: a mention by another address is none. */
function hasMember(view: MailView, addresses: readonly string[], groups: readonly string[]): boolean | RuleProblem {
  const { book, nowMs } = view
  const isPrimary = (address: string) => {
    const recipient = book.find(address, nowMs)
    return recipient !== undefined && book.primaryOf(recipient) === address.toLowerCase()
  }
  return withMembers(view, groups, (members) =>
    addresses.some((each) => isPrimary(each) && isMember(view, each, members)),
  )
}

function isMember(view: MailView, address: string, members: ReadonlySet<string>): boolean {
  return isMemberObject(view.book.find(address, view.nowMs), members)
}

function isMemberObject(recipient: Recipient | undefined, members: ReadonlySet<string>): boolean {
  return members.has(recipient?.externalDirectoryObjectId ?? '')
}

/** A setting may name a recipient by any of its names. */
function isAnyOf({ book, nowMs }: MailView, addresses: readonly string[], values: readonly string[]): boolean {
  const named = new Set(values.map((value) => book.named(value, nowMs)?.guid ?? withoutPrefix(value).toLowerCase()))
  return addresses.some((each) => named.has(book.find(each, nowMs)?.guid ?? '') || named.has(each.toLowerCase()))
}

function isInDomain(address: string, domains: readonly string[]): boolean {
  const domain = domainOf(address)
  return domains.some((each) => domain === each.toLowerCase() || domain.endsWith(`.${each.toLowerCase()}`))
}

function extensionOf(fileName: string): string {
  return fileName.slice(fileName.lastIndexOf('.') + 1).toLowerCase()
}

/** As whole words, whatever their case; a word may have spaces and signs in it. */
function containsWord(text: string, words: readonly string[]): boolean {
  const lower = text.toLowerCase()
  return words.some((word) => hasWord(lower, word.toLowerCase()))
}

function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0 && word !== ''; at = text.indexOf(word, at + 1)) {
    const end = at + word.length
    if (isEdge(text.charAt(at - 1), word.charAt(0)) && isEdge(text.charAt(end), word.at(-1) ?? '')) return true
  }
  return false
}

function isEdge(outside: string, inside: string): boolean {
  return !/[\p{L}\p{N}_]/u.test(inside) || !/[\p{L}\p{N}_]/u.test(outside)
}
