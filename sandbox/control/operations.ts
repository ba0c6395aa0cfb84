// The control API's operations: each reads its fields and calls SandboxControl. Whoever gets them wrong is told which field.
import { ControlFault, flag, oneOf, text, whole } from '../entra/control-routes.ts'
import type { Fields } from '../entra/control-routes.ts'
import type { ExchangeBehaviour } from '../exchange/behaviour.ts'
import { SIZE_CULTURES } from '../exchange/sizes.ts'
import type { Fault, FaultEffect } from '../faults/faults.ts'
import type { DirectoryObject, Recipient } from '../tenants/objects.ts'
import type { Links, SandboxControl } from './control.ts'
import { positive, record, texts } from './fields.ts'
import { PEOPLE_OPERATIONS } from './people-operations.ts'
import { MAIL_OPERATIONS } from './mail-operations.ts'

/** What came of it is the answer; undefined: `{}`. */
type Operation = (control: SandboxControl, fields: Fields) => unknown

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  ...MAIL_OPERATIONS,
  'add-fault': (control, fields) => control.addFault(fault(fields)),
  'clear-faults': (control) => control.clearFaults(),
  'advance-clock': (control, fields) => control.advanceClock(positive(fields, 'ms')),
  'reset-deltas': (control, fields) => control.resetDeltas(text(fields, 'tenant')),
  'change-object': (control, fields) =>
    control.changeObject(text(fields, 'tenant'), text(fields, 'id'), record(fields, 'properties'), links(fields)),
  'put-object': putObject,
  'remove-object': (control, fields) => control.removeObject(text(fields, 'tenant'), text(fields, 'id')),
  'conceal-reports': (control, fields) => control.concealReports(text(fields, 'tenant'), flag(fields, 'isConcealed')),
  'grant-consent': (control, fields) => control.grantConsent(text(fields, 'tenant'), text(fields, 'clientId')),
  'withdraw-consent': (control, fields) => control.withdrawConsent(text(fields, 'tenant'), text(fields, 'clientId')),
  'grant-exchange-role': (control, fields) =>
    control.grantExchangeRole(text(fields, 'tenant'), text(fields, 'clientId'), text(fields, 'role')),
  'withdraw-exchange-role': (control, fields) =>
    control.withdrawExchangeRole(text(fields, 'tenant'), text(fields, 'clientId'), text(fields, 'role')),
  'set-throttling': (control, fields) =>
    control.setThrottling(flag(fields, 'isOn') ? positive(fields, 'scale', 1) : undefined),
  'disorder-deltas': (control, fields) => control.disorderDeltas(flags(fields, DISORDERS)),
  'set-exchange-behaviour': (control, fields) => control.setExchangeBehaviour(exchangeBehaviour(fields)),
  writes: (control, fields) => ({ writes: control.writes(text(fields, 'tenant')) }),
  report: (control) => control.report(),
  state: (control, fields) => control.state(text(fields, 'tenant')),
  ...PEOPLE_OPERATIONS,
}

const RECIPIENT_TYPES = [
  'UserMailbox',
  'SharedMailbox',
  'RoomMailbox',
  'EquipmentMailbox',
  'MailUser',
  'GuestMailUser',
  'MailContact',
  'MailUniversalDistributionGroup',
  'MailUniversalSecurityGroup',
  'DynamicDistributionGroup',
  'GroupMailbox',
] as const satisfies readonly Recipient['recipientTypeDetails'][]

function putObject(control: SandboxControl, fields: Fields): void {
  const tenant = text(fields, 'tenant')
  const given = record(fields, 'object')
  const properties = record(given, 'properties')
  switch (oneOf(['user', 'group', 'orgContact', 'recipient', 'exchange-object'] as const, fields, 'kind')) {
    case 'recipient': {
      const entra = given['externalDirectoryObjectId']
      return control.putRecipient(tenant, {
        guid: text(given, 'guid'),
        recipientTypeDetails: oneOf(RECIPIENT_TYPES, given, 'recipientTypeDetails'),
        properties,
        ...(entra === undefined ? {} : { externalDirectoryObjectId: text(given, 'externalDirectoryObjectId') }),
      })
    }
    case 'exchange-object':
      return control.putExchangeObject(tenant, { guid: text(given, 'guid'), noun: text(given, 'noun'), properties })
    default:
      return control.putObject(tenant, directoryObject(given, fields))
  }
}

function directoryObject(given: Fields, fields: Fields): DirectoryObject {
  const { manager, members = [], owners = [] } = links(given)
  return {
    id: text(given, 'id'),
    kind: oneOf(['user', 'group', 'orgContact'] as const, fields, 'kind'),
    properties: record(given, 'properties'),
    members,
    owners,
    ...(manager === undefined || manager === null ? {} : { manager }),
  }
}

function links(fields: Fields): Links {
  const { manager } = fields
  return {
    ...(fields['members'] === undefined ? {} : { members: texts(fields, 'members') }),
    ...(fields['owners'] === undefined ? {} : { owners: texts(fields, 'owners') }),
    ...(manager === undefined ? {} : { manager: manager === null ? null : text(fields, 'manager') }),
  }
}

function fault(fields: Fields): Fault {
  const optional = <T>(name: string, read: (fields: Fields, name: string) => T) =>
    fields[name] === undefined ? {} : { [name]: read(fields, name) }
  return {
    ...optional('service', (from, name) => oneOf(['graph', 'exchange'] as const, from, name)),
    ...optional('tenantId', text),
    ...optional('operation', text),
    ...optional('isWrite', flag),
    ...optional('nth', (from, name) => whole(from[name], name)),
    ...optional('times', (from, name) => whole(from[name], name)),
    when: oneOf(['before', 'after'] as const, fields, 'when'),
    effect: effect(record(fields, 'effect')),
  }
}

function effect(fields: Fields): FaultEffect {
  const kind = oneOf(['status', 'reset', 'cut', 'slow', 'wrong-body', 'twice'] as const, fields, 'kind')
  switch (kind) {
    case 'status': {
      const status = whole(fields['status'], 'status')
      if (status < 200 || status > 599) throw new ControlFault('status has to be 200 to 599')
      return {
        kind,
        status,
        ...(fields['retryAfter'] === undefined ? {} : { retryAfter: text(fields, 'retryAfter') }),
        ...(fields['body'] === undefined ? {} : { body: fields['body'] }),
        ...(fields['headers'] === undefined ? {} : { headers: headers(fields) }),
      }
    }
    case 'slow':
      return { kind, ms: positive(fields, 'ms') }
    case 'wrong-body':
      return { kind, body: text(fields, 'body') }
    case 'reset':
    case 'cut':
    case 'twice':
      return { kind }
    default:
      return kind satisfies never
  }
}

const DISORDERS = ['duplicates', 'replays', 'shuffled'] as const

function exchangeBehaviour(fields: Fields): Partial<ExchangeBehaviour> {
  const { sizes, absentStatus, refusals, concurrency, warnings, ruleGroups } = fields
  if (absentStatus !== undefined && absentStatus !== 404 && absentStatus !== 500) {
    throw new ControlFault('absentStatus has to be 404 or 500')
  }
  return {
    ...flags(fields, ['batchErrorsWithoutId', 'gzip'] as const),
    ...(sizes === undefined ? {} : { sizes: oneOf(SIZE_CULTURES, fields, 'sizes') }),
    ...(absentStatus === undefined ? {} : { absentStatus }),
    ...(refusals === undefined
      ? {}
      : { refusals: oneOf(['described', 'nul-bytes', 'unauthorized'] as const, fields, 'refusals') }),
    ...(concurrency === undefined ? {} : { concurrency: positive(fields, 'concurrency') }),
    ...delays(fields),
    ...(ruleGroups === undefined
      ? {}
      : { ruleGroups: oneOf(['as-given', 'addresses'] as const, fields, 'ruleGroups') }),
    ...(warnings === undefined ? {} : { warnings: texts(fields, 'warnings') }),
  }
}

/** ms. Those that are given; one that isn't is 0. */
function delays(fields: Fields): Partial<ExchangeBehaviour> {
  const given = (['delayMs', 'visibleAfterMs', 'rulePropagationMs'] as const).filter(
    (name) => fields[name] !== undefined,
  )
  return Object.fromEntries(given.map((name) => [name, positive(fields, name)]))
}

/** Of these, those that are given. */
function flags<Name extends string>(fields: Fields, names: readonly Name[]): Partial<Record<Name, boolean>> {
  const given = names.filter((name) => fields[name] !== undefined)
  return Object.fromEntries(given.map((name) => [name, flag(fields, name)])) as Partial<Record<Name, boolean>>
}

function headers(fields: Fields): Record<string, string> {
  const given = record(fields, 'headers')
  return Object.fromEntries(Object.keys(given).map((name) => [name, text(given, name)]))
}
