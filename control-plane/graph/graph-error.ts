// What an answer of Graph that is none of 2xx means: by status and code, never by message (microsoft-365.md §3). Codes nest, `innerError` in
// `innererror`; the most specific one that we know decides. Pure.
import { listMember, member, textMember } from '../microsoft/json-answer.ts'
import type { Judged, MicrosoftErrorCode } from '../microsoft/microsoft-error.ts'

/** Lower case. A code stands here when it says more than the status does, or when statuses have been seen to differ. */
const BY_CODE: Readonly<Record<string, MicrosoftErrorCode>> = {
  invalidauthenticationtoken: 'AUTH_TOKEN',
  unauthenticated: 'AUTH_TOKEN',
  authorization_requestdenied: 'CONSENT_MISSING',
  accessdenied: 'CONSENT_MISSING',
  erroraccessdenied: 'CONSENT_MISSING',
  request_resourcenotfound: 'NOT_FOUND',
  resourcenotfound: 'NOT_FOUND',
  itemnotfound: 'NOT_FOUND',
  erroritemnotfound: 'NOT_FOUND',
  mailboxnotenabledforrestapi: 'NOT_FOUND',
  mailboxnotsupportedforrestapi: 'NOT_FOUND',
  namealreadyexists: 'CONFLICT',
  errorfolderexists: 'CONFLICT',
  objectconflict: 'CONFLICT', // in details, of a name that is taken; unverified
  resourcemodified: 'CONFLICT',
  entitytagdoesnotmatch: 'CONFLICT',
  syncstatenotfound: 'DELTA_RESET',
  resyncrequired: 'DELTA_RESET',
  resyncapplydifferences: 'DELTA_RESET',
  resyncuploaddifferences: 'DELTA_RESET',
  // A page that was asked for too late: seen in public code, with status 400.
  directory_expiredpagetoken: 'DELTA_RESET',
  applicationthrottled: 'THROTTLED',
  activitylimitreached: 'THROTTLED',
  throttledrequest: 'THROTTLED',
}

const BY_STATUS: Readonly<Record<number, MicrosoftErrorCode>> = {
  401: 'AUTH_TOKEN',
  403: 'CONSENT_MISSING',
  404: 'NOT_FOUND',
  408: 'TRANSIENT',
  409: 'CONFLICT',
  410: 'DELTA_RESET',
  412: 'CONFLICT',
  423: 'CONFLICT',
  // Of a batch: what it depended on failed, it was not run.
  424: 'TRANSIENT',
  429: 'THROTTLED',
  500: 'TRANSIENT',
  502: 'TRANSIENT',
  503: 'THROTTLED',
  504: 'TRANSIENT',
  509: 'THROTTLED',
}
const SERVER_ERROR = 500
const FORBIDDEN = 403
const MAX_DEPTH = 10
const MAX_CODE_LENGTH = 100

/** @param body  parsed; undefined when it was no JSON */
export function judgeGraphError(status: number, body: unknown): Judged {
  const codes = codesOf(member(body, 'error'))
  const known = codes.findLast((code) => Object.hasOwn(BY_CODE, code.toLowerCase()))
  const byCode = known === undefined ? undefined : BY_CODE[known.toLowerCase()]
  const byStatus = BY_STATUS[status] ?? 'UNEXPECTED'
  const serviceCode = (known ?? codes[0])?.slice(0, MAX_CODE_LENGTH)
  // Statuses that say how to go on are believed whatever the code: `UnknownError` with 429, accessDenied with 503.
  if (byStatus === 'THROTTLED' || status >= SERVER_ERROR) return { code: byStatus, serviceCode }
  // A limit of the directory is no missing consent: nobody has to agree to anything.
  if (status === FORBIDDEN && byCode === undefined && isQuota(codes)) return { code: 'UNEXPECTED', serviceCode }
  return { code: byCode ?? byStatus, serviceCode }
}

const isQuota = (codes: readonly string[]): boolean => codes.some((code) => /quota/i.test(code))

/** From the outside in: each level's code, then those of its details. */
function codesOf(error: unknown): string[] {
  const codes: string[] = []
  let level = error
  for (let depth = 0; depth < MAX_DEPTH && typeof level === 'object' && level !== null; depth++) {
    for (const each of [level, ...listMember(level, 'details').slice(0, MAX_DEPTH)]) {
      const code = textMember(each, 'code')
      if (code !== undefined && /^[\w.:-]+$/.test(code)) codes.push(code)
    }
    level = member(level, 'innerError')
  }
  return codes
}
