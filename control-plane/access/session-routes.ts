// The session one has, and its end: one's own, everywhere, or somebody else's by an installation administrator. (AZ-3, WS-2)
import { z } from 'zod'
import { setScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { refuseOtherSites } from '../http/cross-site.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { guid, time } from '../http/values.ts'
import { INSTALLATION } from '../ids.ts'
import { sessionCookie } from './authenticate.ts'
import { principalOf } from './caller.ts'
import type { Caller, SessionCaller } from './caller.ts'
import { signOutUrl } from './entra-sign-in.ts'
import type { SignInDeps } from './entra-sign-in.ts'
import { idleEnd } from './session.ts'
import { csrfTokenOf, NO_SESSION_COOKIE_TEXT } from './session-cookie.ts'
import { deleteSession, deleteSessionsOf, findSession } from './session-store.ts'

export interface SessionRouteDeps {
  readonly signIn: Pick<SignInDeps, 'endpoint' | 'app'> | undefined
  readonly publicUrl: URL
}

const sessionSchema = z
  .strictObject({
    displayName: z.string(),
    isBreakGlass: z.boolean(),
    authenticatedAt: time.meta({ description: 'Dangerous acts need it to be less than 5 minutes ago.' }),
    idleUntil: time.meta({ description: 'When it ends without another request.' }),
    expiresAt: time.meta({ description: 'When it ends in any case.' }),
    csrfToken: z.string().meta({ description: 'For the header X-CSRF-Token of every change.' }),
  })
  .meta({ id: 'Session', description: "A browser's session." })

export function sessionRoutes(deps: SessionRouteDeps): AnyRoute[] {
  return [readRoute(deps), endRoute(deps), revokeRoute]
}

/**
 * Hands out the CSRF token: to scripts of our own pages, since no other site's can read the answer (no CORS, Cross-Origin-Resource-Policy
 * same-origin), and those that say they are another site's don't get it in the first place.
 */
const readRoute = ({ publicUrl }: SessionRouteDeps) =>
  route({
    method: 'get',
    path: '/session',
    id: 'readSession',
    summary: 'Read your session, with the token that changes need',
    tag: 'session',
    access: 'signed-in',
    responses: { 200: { description: 'Your session', schema: sessionSchema } },
    problems: ['cross-site', 'not-found'],
    handler: ({ read, caller, request }) =>
      read(async (tx) => {
        const { sessionHash, displayName, isBreakGlass, authenticatedAt } = sessionOf(caller)
        if (request.headers['sec-fetch-site'] !== 'none') refuseOtherSites(request.headers, publicUrl)
        await setScope(tx, { credential: sessionHash })
        const session = await findSession(tx, sessionHash)
        if (session === undefined) throw notFound()
        return {
          status: 200,
          body: {
            displayName,
            isBreakGlass,
            authenticatedAt: isoTime(authenticatedAt),
            idleUntil: isoTime(idleEnd(session)),
            expiresAt: isoTime(session.expiresAt),
            csrfToken: csrfTokenOf(sessionCookie(request.headers.cookie) ?? ''),
          },
        }
      }),
  })

const endRoute = ({ signIn, publicUrl }: SessionRouteDeps) =>
  route({
    method: 'delete',
    path: '/session',
    id: 'signOut',
    summary: 'Sign out',
    tag: 'session',
    access: 'signed-in',
    query: z.strictObject({
      everywhere: z
        .enum(['true', 'false'])
        .default('false')
        .meta({ description: 'All your sessions, in every browser.' }),
    }),
    responses: {
      200: {
        description: 'Signed out here',
        schema: z.strictObject({
          ended: z.int().meta({ description: 'Sessions.' }),
          providerSignOut: z.url().optional().meta({ description: 'Where the browser signs out at Entra ID too.' }),
        }),
      },
    },
    problems: ['not-found'],
    handler: ({ change, caller, query }) => {
      const { principal, sessionHash, isBreakGlass } = sessionOf(caller)
      const isEverywhere = query.everywhere === 'true'
      return change('session.ended', async (tx) => {
        const ended = await inScope(tx, { principal, credential: sessionHash }, async () =>
          isEverywhere ? deleteSessionsOf(tx, principal) : Number(await deleteSession(tx, sessionHash)),
        )
        const providerSignOut =
          signIn === undefined || isBreakGlass ? {} : { providerSignOut: signOutUrl(publicUrl.href, signIn) }
        return {
          answer: {
            status: 200,
            body: { ended, ...providerSignOut },
            headers: { 'Set-Cookie': NO_SESSION_COOKIE_TEXT },
          },
          object: principal,
          details: { isEverywhere, ended },
        }
      })
    },
  })

const revokeRoute = route({
  method: 'delete',
  path: '/installation/sessions/{tenant}/{object}',
  id: 'revokeSessions',
  summary: "End all of a person's sessions",
  description: 'API keys are revoked in the organizations that they are of.',
  tag: 'installation',
  access: 'installation.manage',
  params: z.strictObject({ tenant: guid, object: guid }),
  responses: {
    200: { description: 'Ended', schema: z.strictObject({ ended: z.int().meta({ description: 'Sessions.' }) }) },
  },
  handler: ({ change, params }) => {
    const principal = principalOf(params.tenant, params.object)
    return change('session.revoked', async (tx) => {
      const ended = await inScope(tx, { principal }, () => deleteSessionsOf(tx, principal))
      return { answer: { status: 200, body: { ended } }, object: principal, details: { ended } }
    })
  },
})

/** Back to the installation's scope afterwards, whose audit trail tells of it. */
async function inScope<T>(
  tx: Tx,
  scope: { principal: string; credential?: string },
  work: () => Promise<T>,
): Promise<T> {
  await setScope(tx, scope)
  const result = await work()
  await setScope(tx, { organisation: INSTALLATION })
  return result
}

/** @throws Problem 404: who comes with an API key has no session */
function sessionOf(caller: Caller | undefined): SessionCaller {
  if (caller?.kind !== 'session') throw notFound()
  return caller
}

const isoTime = (ms: number): string => new Date(ms).toISOString()
