// What an answer of Exchange's admin API that is none of 2xx means: by the exception's type, which stands between bars in a detail's message; statuses
// are unreliable (an absent object was 500 in old samples, 404 now), messages are never read. (microsoft-365.md §14.1, seen in public code) Pure.
import { listMember, member, textMember } from '../microsoft/json-answer.ts'
import type { Judged, MicrosoftErrorCode } from '../microsoft/microsoft-error.ts'

/** By the last part of the type's name, lower case. */
const BY_TYPE: Readonly<Record<string, MicrosoftErrorCode>> = {
  managementobjectnotfoundexception: 'NOT_FOUND',
  adnosuchobjectexception: 'NOT_FOUND',
  mailboxnotfoundexception: 'NOT_FOUND',
  membernotfoundexception: 'NOT_FOUND',
  adobjectalreadyexistsexception: 'CONFLICT',
  proxyaddressexistsexception: 'CONFLICT',
  memberalreadyexistsexception: 'CONFLICT',
  // A cmdlet that no role of ours holds does not exist for us.
  commandnotfoundexception: 'RBAC_MISSING',
  cmdletaccessdeniedexception: 'RBAC_MISSING',
  unauthorizedaccessexception: 'RBAC_MISSING',
  accessdeniedexception: 'RBAC_MISSING',
  overbudgetexception: 'THROTTLED',
  throttlingexception: 'THROTTLED',
  tenantoverbudgetexception: 'THROTTLED',
  transientexception: 'TRANSIENT',
  adtransientexception: 'TRANSIENT',
  suitabilitydirectoryexception: 'TRANSIENT',
}

const BY_STATUS: Readonly<Record<number, MicrosoftErrorCode>> = {
  401: 'AUTH_TOKEN',
  403: 'RBAC_MISSING',
  404: 'NOT_FOUND',
  408: 'TRANSIENT',
  409: 'CONFLICT',
  429: 'THROTTLED',
  500: 'TRANSIENT',
  502: 'TRANSIENT',
  503: 'THROTTLED',
  504: 'TRANSIENT',
  509: 'THROTTLED',
}
const UNAUTHORISED = 401
/** Of the door itself: says nothing of what went wrong behind it. */
const TRANSPORT = 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException'
const MAX_DETAILS = 20
const MAX_DEPTH = 10
const TYPE = /^[A-Za-z_][\w`+]*(?:\.[A-Za-z_][\w`+]*)+$/
const MAX_TYPE_LENGTH = 200

/** @param body  parsed; undefined when it was no JSON */
export function judgeExchangeError(status: number, body: unknown): Judged {
  const error = member(body, 'error')
  const details = listMember(error, 'details').slice(0, MAX_DETAILS)
  const inner = innerTypes(error)
  const types = [...details.map(typeBetweenBars), ...inner].filter((type) => type !== undefined && type !== TRANSPORT)
  const known = types.find((type) => type !== undefined && Object.hasOwn(BY_TYPE, lastPart(type)))
  const serviceCode = lastWord(known ?? types[0]) ?? codeOf(error)
  const byType = known === undefined ? undefined : BY_TYPE[lastPart(known)]
  if (byType !== undefined) return { code: byType, serviceCode }
  // It blames the call, and says by what exception: that is an answer, though its status may be 500.
  const isClientFault = details.some(
    (detail) => textMember(detail, 'code') === 'Client' && typeBetweenBars(detail) !== undefined,
  )
  // The service behind the gateway took the token, and refuses the application.
  if (status === UNAUTHORISED && inner.includes(TRANSPORT)) return { code: 'RBAC_MISSING', serviceCode }
  const byStatus = BY_STATUS[status] ?? 'UNEXPECTED'
  return { code: isClientFault && byStatus === 'TRANSIENT' ? 'UNEXPECTED' : byStatus, serviceCode }
}

/** `Ex6F9304|Microsoft.….ManagementObjectNotFoundException|text`: the second part. */
function typeBetweenBars(detail: unknown): string | undefined {
  return typeName(textMember(detail, 'message')?.split('|', 3)[1])
}

/** Of innererror and what is inside it, the innermost first: the outer ones are the transport's own. */
function innerTypes(error: unknown): (string | undefined)[] {
  const types: (string | undefined)[] = []
  let level = member(error, 'innererror')
  for (let depth = 0; depth < MAX_DEPTH && level !== undefined; depth++) {
    types.unshift(typeName(textMember(level, 'type')))
    level = member(level, 'internalexception')
  }
  return types
}

function typeName(text: string | undefined): string | undefined {
  const trimmed = text?.trim()
  return trimmed !== undefined && trimmed.length <= MAX_TYPE_LENGTH && TYPE.test(trimmed) ? trimmed : undefined
}

const lastWord = (type: string | undefined): string | undefined => type?.slice(type.lastIndexOf('.') + 1)
const lastPart = (type: string): string => (lastWord(type) ?? '').toLowerCase()

function codeOf(error: unknown): string | undefined {
  const code = textMember(error, 'code')
  return code !== undefined && /^[\w.-]{1,100}$/.test(code) ? code : undefined
}
