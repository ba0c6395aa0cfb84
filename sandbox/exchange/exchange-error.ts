// What Exchange refuses, in the form in which InvokeCommand says it. Clients decide by the exception's type between the bars, not by status or text.
// (microsoft-365.md §14.1; envelopes of refused parameters as seen on the wire in 2026)
import { createHash } from 'node:crypto'

interface ErrorFacts {
  readonly status: number
  /** Of the envelope: `NotFound`, `BadRequest` … */
  readonly code: string
  /** Of the envelope: says nothing of what went wrong. */
  readonly message: 'Error executing cmdlet' | 'Invalid Operation'
  /** Of the exception, between the bars. */
  readonly type: string
  readonly text: string
  /** `Ex6F9304`; empty where Exchange gives none; absent: there are no details at all, and only the inner error tells. */
  readonly mark?: string
}

export class ExchangeError extends Error {
  override readonly name = 'ExchangeError'
  readonly facts: ErrorFacts

  constructor(facts: ErrorFacts) {
    super(`${facts.type}: ${facts.text}`)
    this.facts = facts
  }
}

const TASKS = 'Microsoft.Exchange.Configuration.Tasks'
const INVOCATION = 'Microsoft.Exchange.AdminApi.CommandInvocation'

const SERVER = 'SANDBOXDC001.SANDBOX.PROD.OUTLOOK.COM'

/** @param status  404, or the 500 of older samples */
export function absentObject(identity: string, status: 404 | 500): ExchangeError {
  const text = `The operation couldn't be performed because object '${identity}' couldn't be found on '${SERVER}'.`
  return absent(text, status, 'Ex6F9304')
}

/** Of cmdlets that open the mailbox itself. */
export function absentMailbox(identity: string, status: 404 | 500): ExchangeError {
  return absent(`The specified mailbox Identity:"${identity}" doesn't exist.`, status, 'Ex41BAF5')
}

function absent(text: string, status: 404 | 500, mark: string): ExchangeError {
  return new ExchangeError({
    status,
    code: status === 404 ? 'NotFound' : 'InternalServerError',
    message: 'Error executing cmdlet',
    type: `${TASKS}.ManagementObjectNotFoundException`,
    text,
    mark,
  })
}

export function ambiguousIdentity(identity: string): ExchangeError {
  return failed(
    `${TASKS}.ManagementObjectAmbiguousException`,
    `The operation couldn't be performed because '${identity}' matches multiple entries.`,
  )
}

export function alreadyExists(name: string): ExchangeError {
  return failed(
    'Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException',
    `The object '${name}' already exists. Please choose a different name.`,
  )
}

export function notAcceptedDomain(domain: string): ExchangeError {
  return failed(
    'Microsoft.Exchange.Configuration.ObjectModel.NotAcceptedDomainException',
    `You can't use the domain '${domain}' because it's not an accepted domain for your organization.`,
  )
}

export function dehydrated(): ExchangeError {
  return failed(
    `${TASKS}.InvalidOperationInDehydratedContextException`,
    'The command you tried to run isn’t currently allowed in your organization. To run this command, you first need to run the command: Enable-OrganizationCustomization.',
  )
}

/** What every new organisation needs once, asked for again. The type is from memory. */
export function alreadyCustomised(): ExchangeError {
  return failed(
    'System.InvalidOperationException',
    'This operation is not required. Organization is not in Dehydrated state.',
  )
}

export function addressTaken(address: string): ExchangeError {
  return failed(
    'Microsoft.Exchange.Data.Directory.ProxyAddressExistsException',
    `The proxy address "SMTP:${address}" is already being used by another recipient. Please choose another proxy address.`,
  )
}

/** Of who is no owner of the group, and does not ask to be let through. */
export function notManager(): ExchangeError {
  return failed(
    `${TASKS}.OperationRequiresGroupManagerException`,
    "You don't have sufficient permissions. This operation can only be performed by a manager of the group.",
  )
}

/** The namespace is from memory. */
export function alreadyMember(member: string, group: string): ExchangeError {
  return failed(
    'Microsoft.Exchange.Management.Tasks.MemberAlreadyExistsException',
    `The recipient "${member}" is already a member of the group "${group}".`,
  )
}

/** The namespace is from memory. */
export function notMember(member: string, group: string): ExchangeError {
  return failed(
    'Microsoft.Exchange.Management.Tasks.MemberNotFoundException',
    `The recipient "${member}" isn't a member of the group "${group}".`,
  )
}

/** What something else still names. The type is from memory. */
export function inUse(name: string, by: string): ExchangeError {
  return failed('System.InvalidOperationException', `You can't remove '${name}' because it's used by ${by}.`)
}

/** A value that a parameter takes by its type, but not by its length or range. */
export function invalidValue(property: string, why: string): ExchangeError {
  return failed(
    'Microsoft.Exchange.Data.DataValidationException',
    `The property value of ${property} is invalid: ${why}`,
  )
}

/** The type is from memory. */
export function limitReached(what: string, limit: number): ExchangeError {
  return failed('System.InvalidOperationException', `You can't create more than ${limit} ${what}.`)
}

function failed(type: string, text: string): ExchangeError {
  return new ExchangeError({
    status: 400,
    code: 'BadRequest',
    message: 'Error executing cmdlet',
    type,
    text,
    mark: `Ex${createHash('sha256').update(type).digest('hex').slice(0, 6).toUpperCase()}`,
  })
}

/** @param named  the parameters that are too many or too few */
export function unboundParameters(named: readonly string[]): ExchangeError {
  return new ExchangeError({
    status: 400,
    code: 'BadRequest',
    message: 'Invalid Operation',
    type: `${INVOCATION}.AmbiguousParameterSetException`,
    text: `Parameter set cannot be resolved using the specified named parameters. Invalid cmdlet parameters specified. ${named.join(', ')}`,
    mark: '',
  })
}

/** Answered without details: only the inner exception tells. */
export function unfitValue(parameter: string, why: string): ExchangeError {
  return new ExchangeError({
    status: 400,
    code: 'BadRequest',
    message: 'Invalid Operation',
    type: `${INVOCATION}.ParameterTransformationException`,
    text: `Cannot process argument transformation on parameter '${parameter}'. ${why}`,
  })
}

export function unknownCmdlet(name: string): ExchangeError {
  return new ExchangeError({
    status: 400,
    code: 'BadRequest',
    message: 'Invalid Operation',
    type: 'System.Management.Automation.CommandNotFoundException',
    text: `The term '${name}' is not recognized as the name of a cmdlet, function, script file, or operable program.`,
    mark: '',
  })
}

/** A request that is none: its path, body, headers, or a link that was not handed out for it. */
export function badRequest(text: string, status: 400 | 404 | 405 | 413 | 415 = 400): ExchangeError {
  return new ExchangeError({
    status,
    code: status === 404 ? 'NotFound' : status === 405 ? 'MethodNotAllowed' : 'BadRequest',
    message: 'Invalid Operation',
    type: 'Microsoft.OData.ODataException',
    text,
  })
}

/** The simulation's own limit. Not an answer of Exchange: nobody shall take it for one. */
export function notSimulated(what: string): ExchangeError {
  return new ExchangeError({
    status: 501,
    code: 'NotImplemented',
    message: 'Invalid Operation',
    type: 'Sandbox.NotSimulatedException',
    text: `The simulated Exchange knows no ${what}.`,
  })
}

/** Body of the answer. @param warnings  `@adminapi.warnings` */
export function errorBody({ facts }: ExchangeError, warnings: readonly string[]): Record<string, unknown> {
  const { code, message, type, text, mark } = facts
  const details =
    mark === undefined ? {} : { details: [{ code: 'Client', target: '', message: `${mark}|${type}|${text}` }] }
  return {
    error: {
      code,
      message,
      ...details,
      innererror: {
        message,
        type: 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException',
        stacktrace: '',
        internalexception: { message: text, type, stacktrace: '' },
      },
    },
    'adminapi.warnings@odata.type': '#Collection(String)',
    '@adminapi.warnings': warnings,
  }
}
