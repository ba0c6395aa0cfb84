// Get-Mailbox and its kin: recipients of a kind, one by its identity or all of them, page by page.
import type { Recipient } from '../tenants/objects.ts'
import { rowsOf } from './cmdlet.ts'
import type { Cmdlet, CmdletAnswer, CmdletCall, Rows } from './cmdlet.ts'
import { absentObject, ambiguousIdentity, unfitValue } from './exchange-error.ts'
import { parseFilter } from './filter.ts'
import type { Filter } from './filter.ts'
import { PropertyWriter } from './properties.ts'
import type { Properties } from './properties.ts'
import { MAILBOX_TYPES, RECIPIENT_TYPES } from './recipient-facts.ts'
import type { RecipientTypeDetails } from './recipient-facts.ts'
import {
  DYNAMIC_GROUP,
  GROUP,
  MAILBOX,
  MAIL_CONTACT,
  MAIL_USER,
  identityProperties,
  listedProperties,
  signInProperties,
} from './recipient-properties.ts'

/** What a cmdlet tells of one recipient. */
export type Describe = (call: CmdletCall, recipient: Recipient) => readonly Properties[]

interface RecipientCmdlet {
  readonly name: string
  readonly types: readonly RecipientTypeDetails[]
  readonly heeds: readonly string[]
  readonly describe: Describe
  /** Beside the type, by what was asked for. */
  readonly isMeant?: (call: CmdletCall, recipient: Recipient) => boolean
}

const GROUP_TYPES = ['MailUniversalDistributionGroup', 'MailUniversalSecurityGroup'] as const
const ALL_TYPES = Object.keys(RECIPIENT_TYPES) as RecipientTypeDetails[]

/** Exchange shows these many to who gives no ResultSize. */
export const DEFAULT_RESULT_SIZE = 1000

const described =
  (defaults: Properties, signsIn: boolean): Describe =>
  ({ tenant }, recipient) => [
    defaults,
    identityProperties(recipient, tenant),
    ...(signsIn ? [signInProperties(recipient, tenant)] : []),
    recipient.properties,
  ]

const describesGroup = described(GROUP, false)

/** Notes are told by Get-Group alone. */
export const describeGroup: Describe = (call, recipient) => {
  const { Notes: _, ...properties } = recipient.properties
  return describesGroup(call, { ...recipient, properties })
}

const NO_NOTES = { Notes: '' }

export const describeListed: Describe = ({ tenant }, recipient) => [listedProperties(recipient, tenant)]

const RECIPIENT_CMDLETS: readonly RecipientCmdlet[] = [
  {
    name: 'Get-Mailbox',
    types: MAILBOX_TYPES,
    heeds: ['Archive', 'GroupMailbox', 'RecipientTypeDetails'],
    describe: (call, recipient) => [
      ...described(MAILBOX, true)(call, recipient),
      {
        IsShared: recipient.recipientTypeDetails === 'SharedMailbox',
        IsResource: ['RoomMailbox', 'EquipmentMailbox'].includes(recipient.recipientTypeDetails),
      },
    ],
    isMeant: ({ parameters }, { properties }) =>
      !parameters.isOn('Archive') || !['None', undefined].includes(properties['ArchiveStatus'] as string | undefined),
  },
  { name: 'Get-MailUser', types: ['MailUser', 'GuestMailUser'], heeds: [], describe: described(MAIL_USER, true) },
  {
    name: 'Get-MailContact',
    types: ['MailContact'],
    heeds: ['RecipientTypeDetails'],
    describe: described(MAIL_CONTACT, false),
  },
  {
    name: 'Get-DistributionGroup',
    types: GROUP_TYPES,
    heeds: ['RecipientTypeDetails'],
    describe: describeGroup,
  },
  {
    name: 'Get-Group',
    types: GROUP_TYPES,
    heeds: ['RecipientTypeDetails'],
    describe: (call, recipient) => [NO_NOTES, ...describesGroup(call, recipient)],
  },
  {
    name: 'Get-DynamicDistributionGroup',
    types: ['DynamicDistributionGroup'],
    heeds: [],
    describe: described(DYNAMIC_GROUP, false),
  },
  {
    name: 'Get-Recipient',
    types: ALL_TYPES,
    heeds: ['RecipientType', 'RecipientTypeDetails'],
    describe: describeListed,
    isMeant: ({ parameters }, { recipientTypeDetails }) =>
      isAmong(parameters.list('RecipientType'), RECIPIENT_TYPES[recipientTypeDetails]),
  },
]

export const recipientCmdlets: readonly Cmdlet[] = RECIPIENT_CMDLETS.map((cmdlet) => ({
  name: cmdlet.name,
  isWrite: false,
  heeds: ['Identity', 'ResultSize', 'Filter', ...cmdlet.heeds],
  run: (call) => readRecipients(cmdlet, call),
}))

function readRecipients(cmdlet: RecipientCmdlet, call: CmdletCall): CmdletAnswer {
  const { parameters } = call
  const types = typesOf(cmdlet, call)
  const filter = filterOf(call)
  const isMeant = (recipient: Recipient): boolean =>
    types.has(recipient.recipientTypeDetails) &&
    call.isVisible(recipient.guid) &&
    (cmdlet.isMeant?.(call, recipient) ?? true) &&
    (filter === undefined || filter((name) => propertyOf(cmdlet, call, recipient, name)))
  const identity = parameters.text('Identity')
  return {
    rows:
      identity === undefined
        ? everyRecipient(call, isMeant, cmdlet.describe)
        : describedRows(call, [findRecipient(call, identity, isMeant)], cmdlet.describe),
    defaultSize: DEFAULT_RESULT_SIZE,
  }
}

function typesOf({ types, heeds }: RecipientCmdlet, { parameters }: CmdletCall): ReadonlySet<RecipientTypeDetails> {
  const all = parameters.isOn('GroupMailbox') ? (['GroupMailbox'] as const) : types
  const asked = heeds.includes('RecipientTypeDetails') ? parameters.list('RecipientTypeDetails') : undefined
  return new Set(all.filter((type) => isAmong(asked, type)))
}

function filterOf({ parameters }: CmdletCall): Filter | undefined {
  const text = parameters.text('Filter')
  if (text === undefined) return undefined
  const filter = parseFilter(text)
  if (filter === undefined) throw unfitValue('Filter', 'The filter could not be parsed.')
  return filter
}

function propertyOf({ describe }: RecipientCmdlet, call: CmdletCall, recipient: Recipient, name: string): unknown {
  const held = Object.keys(recipient.properties).find((each) => each.toLowerCase() === name)
  if (held !== undefined) return recipient.properties[held]
  for (const source of describe(call, recipient).toReversed()) {
    for (const each in source) if (each.toLowerCase() === name) return source[each]
  }
  return undefined
}

function isAmong(asked: readonly string[] | undefined, type: string): boolean {
  return asked === undefined || asked.some((each) => each.toLowerCase() === type.toLowerCase())
}

function everyRecipient(call: CmdletCall, isMeant: (recipient: Recipient) => boolean, describe: Describe): Rows {
  return function* (after) {
    const writer = new PropertyWriter(call.select, call.behaviour.sizes)
    for (const { recipient, cursor } of call.recipients.after(after)) {
      if (isMeant(recipient)) yield { cursor, read: () => writer.write(...describe(call, recipient)) }
    }
  }
}

/** Rows of recipients that are few and known. */
export function describedRows(call: CmdletCall, recipients: readonly Recipient[], describe: Describe): Rows {
  const writer = new PropertyWriter(call.select, call.behaviour.sizes)
  return rowsOf(recipients, (recipient) => writer.write(...describe(call, recipient)))
}

/** @throws ExchangeError when nobody, or more than one, goes by it */
export function findRecipient(
  { recipients, behaviour }: CmdletCall,
  identity: string,
  isMeant: (recipient: Recipient) => boolean,
): Recipient {
  const [found, other] = recipients.named(identity).filter((recipient) => isMeant(recipient))
  if (found === undefined) throw absentObject(identity, behaviour.absentStatus)
  if (other !== undefined) throw ambiguousIdentity(identity)
  return found
}
