// Signing in by the one-time code (AZ-1), and what an evaluation needs on top. The session holds `installation.manage` and nothing else: it founds
// organisations and appoints administrators, the first of whom ends it. It is no member anywhere and sees no organisation's data.
import { z } from 'zod'
import type { Log } from '../../common/log.ts'
import { setScope, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { refuseOtherSites } from '../http/cross-site.ts'
import { Denied } from '../http/authorise.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { time } from '../http/values.ts'
import { INSTALLATION, newId, parseId } from '../ids.ts'
import { newApiKey } from './api-key.ts'
import { apiKeyCreatedSchema, shapeCreatedKey } from './api-key-shape.ts'
import type { ApiKey } from './api-key-shape.ts'
import { hasHadApiKey, insertApiKey } from './api-key-store.ts'
import { sessionCookie } from './authenticate.ts'
import { BREAK_GLASS_NAME, opensBreakGlass } from './break-glass.ts'
import { lockBreakGlass, useBreakGlassCode } from './break-glass-store.ts'
import type { FailureLimit } from './failure-limit.ts'
import { ORGANISATION_PERMISSIONS } from './permissions.ts'
import type { Permission } from './permissions.ts'
import { BREAK_GLASS_PRINCIPAL } from './session.ts'
import { sessionCookieText } from './session-cookie.ts'
import { startScope, startSession } from './session-start.ts'
import type { Started } from './session-start.ts'
import type { SignInRecord } from './sign-in-record.ts'
import { findOrganisation, lockOrganisation } from '../organisations/organisation-store.ts'

export interface BreakGlassRouteDeps {
  readonly db: Db
  readonly failures: FailureLimit
  readonly record: SignInRecord
  readonly log: Log
  /** As `crypto.randomBytes`. */
  readonly random: (bytes: number) => Buffer
  readonly isEvaluation: boolean
  readonly publicUrl: URL
}

export function breakGlassRoutes(deps: BreakGlassRouteDeps): AnyRoute[] {
  return [signInRoute(deps), ...(deps.isEvaluation ? [evaluationKeyRoute] : [])]
}

const signInRoute = (deps: BreakGlassRouteDeps) =>
  route({
    method: 'post',
    path: '/session/break-glass',
    id: 'breakGlass',
    summary: 'Sign in by the one-time code that the server printed',
    description:
      'While there is no installation administrator, or after `causeway break-glass` on the server. The session lasts an hour at most, and ends when an installation administrator is appointed.',
    tag: 'session',
    access: 'public',
    body: z.strictObject({ code: z.string().max(100) }),
    // Nobody is signed in who could repeat it; what it starts, and what it refuses, is told in the audit trail all the same.
    changesNothing: true,
    responses: {
      201: {
        description: 'Signed in: the cookie is set',
        schema: z
          .strictObject({
            csrfToken: z.string().meta({ description: 'For the header X-CSRF-Token of every change.' }),
            expiresAt: time,
          })
          .meta({ id: 'BreakGlassSession' }),
      },
    },
    problems: ['sign-in-failed', 'cross-site'],
    handler: async (context) => {
      const { body, request, requestId, sourceAddress, now } = context
      refuseOtherSites(request.headers, deps.publicUrl)
      deps.failures.demand(sourceAddress, BREAK_GLASS_PRINCIPAL)
      const started = await openSession(context, body.code, deps)
      if (started === undefined) {
        deps.failures.note(sourceAddress, BREAK_GLASS_PRINCIPAL)
        const why = { method: 'break-glass', result: 'refused', reason: 'code' } as const
        await deps.record.failed({ ...why, requestId, sourceAddress, now })
        throw new Problem('sign-in-failed')
      }
      deps.record.started('break-glass')
      // Wakes somebody: nobody signs in like this in the course of things.
      deps.log.error('break_glass.used', { requestId })
      const { csrfToken, sessionId, session } = started
      return {
        status: 201,
        body: { csrfToken, expiresAt: new Date(session.expiresAt).toISOString() },
        headers: { 'Set-Cookie': sessionCookieText(sessionId) },
      }
    },
  })

function openSession(
  { request, requestId, sourceAddress, now }: Context<unknown, unknown, unknown>,
  code: string,
  { db, random }: BreakGlassRouteDeps,
): Promise<Started | undefined> {
  const earlierId = sessionCookie(request.headers.cookie)
  const scope = { ...startScope(BREAK_GLASS_PRINCIPAL, earlierId), purpose: 'administration' } as const
  return withScope(db, scope, async (tx) => {
    if (!opensBreakGlass(await lockBreakGlass(tx), code, now)) return undefined
    await useBreakGlassCode(tx, new Date(now))
    const newcomer = {
      principal: BREAK_GLASS_PRINCIPAL,
      displayName: BREAK_GLASS_NAME,
      authenticatedAt: now,
      refreshSealed: undefined,
      details: { method: 'break-glass' },
    }
    return startSession(tx, newcomer, { earlierId, requestId, sourceAddress, now, random })
  })
}

const EVALUATION_KEY_LIFE_MS = 7 * 86_400_000
const FOUNDED_WITHIN_MS = 3_600_000
/** What gives others, or itself, more than it has. */
const NOT_FOR_EVALUATION: readonly Permission[] = ['member.manage', 'role.manage', 'secret.manage', 'support.grant']

/**
 * So that an evaluation can go from nothing to a first request with nothing but curl: one service key for an organisation just founded that never had
 * any. There is no such route in production, where the organisation's administrator signs in and makes his own.
 */
const evaluationKeyRoute = route({
  method: 'post',
  path: '/organizations/{organization}/evaluation-key',
  id: 'createEvaluationKey',
  summary: "Make a new organization's first API key (evaluation only, by the one-time code only)",
  tag: 'access',
  access: 'installation.manage',
  params: z.strictObject({ organization: z.string() }),
  responses: { 201: { description: 'Made', schema: apiKeyCreatedSchema } },
  problems: ['conflict'],
  handler: ({ change, caller, params, now }) => {
    if (caller?.kind !== 'session' || !caller.isBreakGlass) throw new Denied(INSTALLATION, 'installation.manage')
    return change('api-key.created', async (tx) => {
      const organisation = parseId('organisation', params.organization)
      if (organisation === undefined) throw notFound()
      await setScope(tx, { organisation })
      await lockOrganisation(tx, organisation)
      const found = await findOrganisation(tx, organisation)
      if (found === undefined) throw notFound()
      if (now - found.createdAt.getTime() > FOUNDED_WITHIN_MS || (await hasHadApiKey(tx, organisation)))
        throw new Problem('conflict', {
          detail: 'It is for organizations founded within the last hour that never had an API key.',
        })
      const { text, prefix, hash } = newApiKey()
      const key: ApiKey = {
        id: newId('api-key'),
        name: 'Evaluation',
        prefix,
        principal: BREAK_GLASS_PRINCIPAL,
        isService: true,
        permissions: ORGANISATION_PERMISSIONS.filter((permission) => !NOT_FOR_EVALUATION.includes(permission)),
        project: undefined,
        allowsDangerous: false,
        lastUsedAt: undefined,
        revokedAt: undefined,
        createdAt: new Date(now),
        expiresAt: new Date(now + EVALUATION_KEY_LIFE_MS),
      }
      await insertApiKey(tx, organisation, key, hash, undefined)
      // Told in the installation's trail, as the founding was.
      await setScope(tx, { organisation: INSTALLATION })
      return {
        answer: { status: 201, body: shapeCreatedKey(key, text, now) },
        object: key.id,
        details: { organization: organisation },
      }
    })
  },
})
