// The authorization endpoint: shows who may sign in, and once somebody has decided, sends a code or a refusal to the application.
import { errorDescription, EntraError } from './entra-error.ts'
import type { BrowserSession, EntraState } from './entra-state.ts'
import { accountChooser } from './account-chooser.ts'
import { readAuthorizeRequest, readReplyAddress, tenantOfPath } from './authorize-request.ts'
import type { AuthorizeRequest } from './authorize-request.ts'
import type { Person } from './directory.ts'
import { page, replyTo } from './reply.ts'
import type { Answer, ReplyAddress } from './reply.ts'

/** What somebody at the browser, or a test in his place, decides. */
export type Decision =
  | {
      readonly kind: 'approve'
      /** User principal name. */
      readonly user: string
      /** With a second factor: `amr` holds `mfa`. */
      readonly hasMfa: boolean
      /** When the person gave the password; default now. ms since the epoch. */
      readonly authenticatedAtMs?: number
    }
  | { readonly kind: 'deny' }

export interface Asked {
  /** As in the path. */
  readonly tenant: string
  readonly query: URLSearchParams
}

/** First sight of a request: a code at once when the browser is signed in already, else the people to choose from. */
export function beginAuthorize(state: EntraState, asked: Asked, session: BrowserSession | undefined): Answer {
  return answered(state, asked, (request) => {
    const usable = session !== undefined && mayContinue(request, session) ? session : undefined
    if (usable !== undefined && !['login', 'select_account'].some((prompt) => request.prompts.includes(prompt))) {
      return sendCode(state, request, usable)
    }
    if (request.prompts.includes('none')) throw new EntraError(50058)
    const people = (request.tenant === undefined ? state.directory.tenants : [request.tenant])
      .flatMap((tenant) => [...tenant.people.values()])
      .toSorted((a, b) => Number(isHinted(request, b)) - Number(isHinted(request, a)))
    return accountChooser({ title: `Sign in to ${request.app.name}`, people, action: 'authorize', asked })
  })
}

/** @returns the answer, and the session the browser has from now on */
export function decideAuthorize(
  state: EntraState,
  asked: Asked,
  decision: Decision,
): { answer: Answer; session?: BrowserSession } {
  let session: BrowserSession | undefined
  const answer = answered(state, asked, (request) => {
    if (decision.kind === 'deny') throw new EntraError(65004)
    const person = signIn(state, decision.user)
    session = {
      person,
      generation: person.sessionGeneration,
      authenticatedAtMs: decision.authenticatedAtMs ?? state.nowMs(),
      methods: decision.hasMfa ? ['pwd', 'mfa'] : ['pwd'],
    }
    return sendCode(state, request, session)
  })
  return session === undefined ? { answer } : { answer, session }
}

/** @throws EntraError 50034, 50057 */
export function signIn(state: EntraState, userPrincipalName: string): Person {
  const person = state.directory.personByName(userPrincipalName)
  if (!person.isEnabled) throw new EntraError(50057)
  return person
}

/** Wrong address or wrong person: told on a page. Everything else is told to the application. */
export function refused(state: EntraState, error: EntraError, reply: ReplyAddress | undefined): Answer {
  const trace = { at: new Date(state.nowMs()), traceId: state.guid(), correlationId: state.guid() }
  const description = errorDescription(error, trace)
  const isForPerson = error.code === 50034 || error.code === 50057
  if (reply === undefined || isForPerson) return page(error.status, 'Sign-in failed', `<p>${description}</p>`)
  return replyTo(reply, { error: error.error, error_description: description })
}

function answered(state: EntraState, { tenant, query }: Asked, answer: (request: AuthorizeRequest) => Answer): Answer {
  let reply: ReplyAddress | undefined
  try {
    const path = tenantOfPath(state, tenant)
    const address = readReplyAddress(state, query)
    reply = address.reply
    return answer(readAuthorizeRequest(path, query, address))
  } catch (error) {
    if (error instanceof EntraError) return refused(state, error, reply)
    throw error
  }
}

function sendCode(state: EntraState, request: AuthorizeRequest, session: BrowserSession): Answer {
  const { app, tenant, reply, nonce, challenge, scopes } = request
  const { person, authenticatedAtMs, methods } = session
  if (tenant !== undefined && tenant.id !== person.tenantId) throw new EntraError(50020)
  state.directory.admitUserOf(person.tenantId, app)
  const signedIn = { person, clientId: app.clientId, nonce, authenticatedAtMs, methods }
  const code = state.grants.issueCode({ signedIn, scopes, redirectUri: reply.redirectUri, challenge })
  return replyTo(reply, { code, session_state: state.guid() })
}

function mayContinue(request: AuthorizeRequest, { person, generation }: BrowserSession): boolean {
  return (
    person.isEnabled &&
    person.sessionGeneration === generation &&
    (request.tenant === undefined || request.tenant.id === person.tenantId) &&
    (request.loginHint === undefined || isHinted(request, person))
  )
}

function isHinted({ loginHint }: AuthorizeRequest, person: Person): boolean {
  return loginHint?.toLowerCase() === person.userPrincipalName.toLowerCase()
}
