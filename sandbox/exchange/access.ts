// Who may run which cmdlet. The token's role opens the door; what is behind it, the tenant's administrator gives by Exchange's own roles.
// (microsoft-365.md §2.4)
import { rolesFor } from '../contract/cmdlet-call.ts'
import type { AppCaller, SandboxServices } from '../services.ts'
import type { ExchangeBehaviour } from './behaviour.ts'
import { jsonAnswer, plainError } from './http-answer.ts'
import type { HttpAnswer } from './http-answer.ts'

export const EXCHANGE_AUDIENCE = 'https://outlook.office365.com'
export const EXCHANGE_APP_ROLE = 'Exchange.ManageAsApp'

/** Directory roles and role groups that hold every role. */
const HOLDS_ALL: ReadonlySet<string> = new Set([
  'Exchange Administrator',
  'Global Administrator',
  'Organization Management',
])
/** Those that hold every role for reading. */
const HOLDS_ALL_READS: ReadonlySet<string> = new Set(['Global Reader', 'View-Only Organization Management'])

/** undefined: go on. */
export function refusalByRoles(
  services: SandboxServices,
  behaviour: ExchangeBehaviour,
  caller: AppCaller,
  cmdlet: { readonly name: string; readonly isWrite: boolean },
): HttpAnswer | undefined {
  const held = services.exchangeRoles(caller.tenantId, caller.clientId)
  if (held.length === 0) {
    return refuse(
      behaviour,
      `The role assigned to application ${caller.clientId} isn't supported in this scenario. Please check online documentation for assigning correct Directory Roles to Azure AD Application for EXO App-Only Authentication.`,
    )
  }
  const exposing = new Set(rolesFor(services.contracts, cmdlet.name))
  const isExposed = held.some(
    (role) => HOLDS_ALL.has(role) || (!cmdlet.isWrite && HOLDS_ALL_READS.has(role)) || exposing.has(role),
  )
  return isExposed ? undefined : refuse(behaviour, `User is not allowed to call ${cmdlet.name}`)
}

/** A token that is good, but not for here. */
export function refuse({ refusals }: ExchangeBehaviour, message: string): HttpAnswer {
  // Seen on the wire in 2026 where a role was missing: 403, and a body of NUL bytes.
  if (refusals === 'nul-bytes') {
    return { status: 403, headers: { 'content-type': 'application/json' }, body: new Uint8Array(1024) }
  }
  const status = refusals === 'unauthorized' ? 401 : 403
  const type = 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException'
  return jsonAnswer(status, {
    error: { code: status === 401 ? 'Unauthorized' : 'Forbidden', message, innererror: { message, type } },
  })
}

/** No token, or none that counts. */
export function unauthenticated(): HttpAnswer {
  const challenge = `Bearer client_id="00000002-0000-0ff1-ce00-000000000000", error="invalid_token"`
  return plainError(401, 'The access token is missing, expired, or for another audience.', {
    'www-authenticate': challenge,
  })
}
