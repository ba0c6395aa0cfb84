// Signing in with Entra: off to its page, and back to ours with a session. (AZ-1, AZ-2, control-plane.md §2)
//
// Both are navigations of a browser, so whatever goes wrong ends on the page `/sign-in?failure=<code>&returnTo=<path>` (codes: sign-in-outcome.ts);
// only too many failures (429) and faults of ours are problems.
import { z } from 'zod'
import type { Log } from '../../common/log.ts'
import { withScope } from '../db/database.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Answer, Context } from '../http/route.ts'
import { KeyServiceUnavailable } from '../keys/key-provider.ts'
import { sessionCookie } from './authenticate.ts'
import { principalOf } from './caller.ts'
import { beginSignIn, finishSignIn } from './entra-sign-in.ts'
import type { SignInDeps } from './entra-sign-in.ts'
import type { FailureLimit } from './failure-limit.ts'
import { parseReturnTo } from './return-to.ts'
import { bindingCookie, bindingCookieText, newCookieSecret, sessionCookieText } from './session-cookie.ts'
import type { Sessions } from './session-lookup.ts'
import { startScope, startSession } from './session-start.ts'
import { FLOW_LIFE_MS } from './sign-in-flow.ts'
import { keepFlow, takeKeptFlow } from './sign-in-flow-store.ts'
import type { FlowDeps, KeptFlow } from './sign-in-flow-store.ts'
import { failed, FAILURES, judgeSignIn } from './sign-in-outcome.ts'
import type { SignInOutcome } from './sign-in-outcome.ts'
import type { SignInRecord } from './sign-in-record.ts'

export interface SignInRouteDeps extends FlowDeps {
  /** undefined: not set up. */
  readonly signIn: SignInDeps | undefined
  readonly sessions: Sessions
  readonly failures: FailureLimit
  readonly record: SignInRecord
  readonly log: Log
}

type Visit = Pick<Context<unknown, unknown, unknown>, 'request' | 'requestId' | 'sourceAddress' | 'now' | 'url'>

const FAILURE_PAGE = '/sign-in'
const HOME = '/'
const REDIRECT = { 302: { description: 'On to the next page.' } }

export function signInRoutes(deps: SignInRouteDeps): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/session/sign-in',
      id: 'signIn',
      summary: 'Begin to sign in: a browser goes here',
      description: 'On to Entra ID and, in the end, to `returnTo`; or to `/sign-in?failure=<code>`.',
      tag: 'session',
      access: 'public',
      query: z.strictObject({
        returnTo: z
          .string()
          .transform((text, context) => {
            const path = parseReturnTo(text)
            if (path === undefined) context.addIssue({ code: 'custom', message: 'a path of a page here' })
            return path ?? HOME
          })
          .default(HOME)
          .meta({ description: 'Path of the page to come back to.' }),
        fresh: z.literal('1').optional().meta({
          description:
            'Prove anew who you are, for dangerous acts. Whoever is signed in has to be the one who comes back.',
        }),
      }),
      responses: REDIRECT,
      handler: (context) => begin(context, context.query.returnTo, context.query.fresh === '1', deps),
    }),
    route({
      method: 'get',
      path: '/session/callback',
      id: 'finishSignIn',
      summary: 'Where Entra ID sends a browser back to',
      tag: 'session',
      access: 'public',
      query: z.looseObject({
        state: z.unknown().optional().meta({ description: 'As it was sent.' }),
        code: z.unknown().optional().meta({ description: 'Good once.' }),
        error: z.unknown().optional().meta({ description: 'In place of a code.' }),
      }),
      responses: REDIRECT,
      handler: (context) => finish(context, deps),
    }),
  ]
}

async function begin(visit: Visit, returnTo: string, isFresh: boolean, deps: SignInRouteDeps): Promise<Answer> {
  const { signIn, sessions } = deps
  if (signIn === undefined) return fail(visit, failed('not-configured'), returnTo, deps)
  const { cookie } = visit.request.headers
  const current = isFresh ? await sessions.find(sessionCookie(cookie) ?? '', visit.now) : undefined
  const { url, flow } = await beginSignIn({ isFresh }, signIn)
  const binding = bindingCookie(cookie) ?? newCookieSecret(signIn.random)
  // Who came by the one-time code can't come back as himself.
  const principal = current?.isBreakGlass === false ? current.principal : undefined
  await keepFlow({ flow, returnTo, principal }, binding, deps)
  return redirect(url, bindingCookieText(binding, FLOW_LIFE_MS))
}

async function finish(visit: Visit, deps: SignInRouteDeps): Promise<Answer> {
  const { signIn } = deps
  deps.failures.demand(visit.sourceAddress)
  if (signIn === undefined) return fail(visit, failed('not-configured'), HOME, deps)
  const query = new URLSearchParams(visit.url.split('?', 2)[1] ?? '')
  const { kept, outcome } = await concluded(visit, query, signIn, deps)
  if (outcome.kind === 'failed') return fail(visit, outcome, kept?.returnTo ?? HOME, deps)
  const { person, refreshSealed } = outcome
  const principal = principalOf(person.tenantId, person.objectId)
  const earlierId = sessionCookie(visit.request.headers.cookie)
  const { displayName, authenticatedAt, methods } = person
  const details = { method: 'entra', isFresh: kept?.flow.isFresh === true, methods }
  const { sessionId } = await withScope(deps.db, startScope(principal, earlierId), (tx) =>
    startSession(
      tx,
      { principal, displayName, authenticatedAt, refreshSealed, details },
      { ...visit, earlierId, random: signIn.random },
    ),
  )
  deps.record.started('entra')
  return redirect(kept?.returnTo ?? HOME, sessionCookieText(sessionId))
}

async function concluded(
  { request, now }: Visit,
  query: URLSearchParams,
  signIn: SignInDeps,
  deps: SignInRouteDeps,
): Promise<{ kept: KeptFlow | undefined; outcome: SignInOutcome }> {
  const binding = bindingCookie(request.headers.cookie)
  const states = query.getAll('state')
  let kept: KeptFlow | undefined
  try {
    if (binding !== undefined && states.length === 1) kept = await takeKeptFlow(states[0] ?? '', binding, deps)
    const outcome = judgeSignIn(await finishSignIn(kept?.flow, query, signIn))
    const isSomebodyElse =
      outcome.kind === 'signed-in' &&
      kept?.principal !== undefined &&
      kept.principal !== principalOf(outcome.person.tenantId, outcome.person.objectId)
    return { kept, outcome: isSomebodyElse ? failed('another-person') : outcome }
  } catch (error) {
    if (!(error instanceof KeyServiceUnavailable)) throw error
    deps.log.warn('sign_in.unavailable', { error, now })
    return { kept, outcome: failed('unavailable') }
  }
}

/** Tells it to all who must know, and the browser where to go. */
async function fail(
  { requestId, sourceAddress, now }: Visit,
  { failure, details, cause }: SignInOutcome & { kind: 'failed' },
  returnTo: string,
  { failures, record, log }: SignInRouteDeps,
): Promise<Answer> {
  const { result, isGuess } = FAILURES[failure]
  if (isGuess) failures.note(sourceAddress)
  if (failure === 'misconfigured') log.error('sign_in.misconfigured', { requestId, ...details })
  if (cause !== undefined) log.warn('sign_in.unavailable', { requestId, error: cause })
  await record.failed({ method: 'entra', result, reason: failure, details, requestId, sourceAddress, now })
  return redirect(`${FAILURE_PAGE}?${new URLSearchParams({ failure, returnTo }).toString()}`)
}

function redirect(Location: string, cookie?: string): Answer {
  return { status: 302, headers: { Location, ...(cookie === undefined ? {} : { 'Set-Cookie': cookie }) } }
}
