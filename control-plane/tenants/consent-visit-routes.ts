// The administrator's visit: opens the link, consents at Entra, proves by signing in that the tenant is his. Public: what counts is the link, the
// browser's cookie, and what Entra says. (EC-3, microsoft-365.md §2.3)
//
// What Entra's redirect says is believed in nothing but `error`: its `tenant` is compared, so that a mistake is told early, and proves nothing. The
// proof is the sign-in at the tenant's own endpoint; that the application can work there is seen afterwards (check-tenant.ts).
import { z } from 'zod'
import { readAppCredential } from '../access/app-credential.ts'
import { principalOf } from '../access/caller.ts'
import { beginSignIn, finishSignIn } from '../access/entra-sign-in.ts'
import type { SignInDeps, SignInResult, TokenSealer } from '../access/entra-sign-in.ts'
import type { FailureLimit } from '../access/failure-limit.ts'
import { forBrowser } from '../access/login-endpoint.ts'
import { newCookieSecret } from '../access/session-cookie.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { requestFindings } from '../findings/finding-run-store.ts'
import { API_BASE } from '../http/openapi.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Answer, Context } from '../http/route.ts'
import type { Connection } from '../microsoft/clients.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { NoCredential, openConnection } from './connection.ts'
import type { ConnectionDeps } from './connection.ts'
import { consentCookie, consentCookieText } from './consent-cookie.ts'
import { findConsentFlow, keepConsentFlow, STATE_LIFE_MS } from './consent-flow.ts'
import type { ConsentSubject } from './consent-flow.ts'
import { consentPage, statusOf } from './consent-page.ts'
import type { Outcome } from './consent-page.ts'
import { setProved, setRefused } from './consent-store.ts'
import type { ConsentProblem } from './consent.ts'
import type { LoginClouds } from './login-clouds.ts'
import { claimTenant, findTenant } from './tenant-store.ts'

export interface ConsentVisitDeps extends ConnectionDeps {
  readonly clouds: LoginClouds
  readonly publicUrl: URL
  readonly failures: FailureLimit
  readonly random: (bytes: number) => Buffer
  /** ms since the epoch */
  readonly now: () => number
  readonly wait: (ms: number) => Promise<unknown>
}

type Visit = Pick<Context<unknown, unknown, unknown>, 'request' | 'requestId' | 'sourceAddress' | 'now' | 'url'>

export const CONSENT_PATHS = {
  start: `${API_BASE}/consent/start`,
  callback: `${API_BASE}/consent/callback`,
  signedIn: `${API_BASE}/consent/signed-in`,
} as const

const PAGES = {
  200: { description: 'How the visit ended, as a page.', contentType: 'text/html' },
  302: { description: 'On to Entra ID.' },
  400: { description: 'Why the visit ended, as a page.', contentType: 'text/html' },
  503: { description: 'Microsoft could not be asked, as a page.', contentType: 'text/html' },
}
const ANYTHING = z.unknown().optional()

export function consentVisitRoutes(deps: ConsentVisitDeps): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/consent/start',
      id: 'startConsent',
      summary: 'Begin to consent: the browser of an administrator of the tenant goes here',
      tag: 'tenants',
      access: 'public',
      query: z.looseObject({ link: ANYTHING.meta({ description: 'Secret of the link.' }) }),
      responses: PAGES,
      handler: (visit) => start(visit, deps),
    }),
    route({
      method: 'get',
      path: '/consent/callback',
      id: 'finishConsent',
      summary: 'Where Entra ID sends the browser after the consent',
      tag: 'tenants',
      access: 'public',
      query: z.looseObject({
        state: ANYTHING.meta({ description: 'As it was sent.' }),
        tenant: ANYTHING.meta({ description: 'Anybody could have written it: compared, never believed.' }),
        admin_consent: ANYTHING,
        error: ANYTHING.meta({ description: 'Looked at first: a refusal claims consent too.' }),
      }),
      responses: PAGES,
      handler: (visit) => consented(visit, deps),
    }),
    route({
      method: 'get',
      path: '/consent/signed-in',
      id: 'finishConsentSignIn',
      summary: 'Where Entra ID sends the browser after the sign-in that proves the consent',
      tag: 'tenants',
      access: 'public',
      query: z.looseObject({ state: ANYTHING, code: ANYTHING, error: ANYTHING }),
      responses: PAGES,
      handler: (visit) => signedIn(visit, deps),
    }),
  ]
}

async function start(visit: Visit, deps: ConsentVisitDeps): Promise<Answer> {
  deps.failures.demand(visit.sourceAddress)
  const link = only(queryOf(visit), 'link')
  const flow = link === undefined ? undefined : await findConsentFlow('link', [link], visit.now, deps)
  if (flow === undefined) return guessed(visit, deps)
  const connection = await connectionOf(flow, deps)
  if (connection === undefined) return guessed(visit, deps)
  const binding = newCookieSecret(deps.random)
  const state = newCookieSecret(deps.random)
  const expiresAt = new Date(visit.now + STATE_LIFE_MS)
  await keepConsentFlow({ ...flow, step: 'consent' }, [binding, state], expiresAt, deps)
  const { endpoint } = deps.clouds.of(connection.cloud)
  const url = new URL(`${endpoint.origin}/${connection.entraTenantId}/v2.0/adminconsent`)
  url.search = new URLSearchParams({
    client_id: connection.clientId,
    scope: 'https://graph.microsoft.com/.default', // all that is registered, Exchange's too
    redirect_uri: new URL(CONSENT_PATHS.callback, deps.publicUrl).href,
    state,
  }).toString()
  return redirect(forBrowser(endpoint, url.href), consentCookieText(binding, 2 * STATE_LIFE_MS))
}

async function consented(visit: Visit, deps: ConsentVisitDeps): Promise<Answer> {
  const flow = await takeFlow('consent', visit, deps)
  if (flow === undefined) return guessed(visit, deps)
  const query = queryOf(visit)
  if (query.has('error')) return refuse(visit, flow, 'declined', 'DECLINED', deps)
  const isSame = only(query, 'tenant')?.toLowerCase() === flow.entraTenantId
  if (only(query, 'admin_consent')?.toLowerCase() !== 'true' || !isSame)
    return refuse(visit, flow, 'wrong-tenant', 'WRONG_TENANT', deps)
  const connection = await connectionOf(flow, deps)
  if (connection === undefined) return guessed(visit, deps)
  const binding = newCookieSecret(deps.random)
  const { url, flow: signIn } = await beginSignIn({ isFresh: true }, signInOf(connection, deps))
  const kept = { ...flow, step: 'sign-in', flow: signIn } as const
  await keepConsentFlow(kept, [binding, signIn.state], new Date(signIn.expiresAt), deps)
  return redirect(url, consentCookieText(binding, STATE_LIFE_MS))
}

async function signedIn(visit: Visit, deps: ConsentVisitDeps): Promise<Answer> {
  const flow = await takeFlow('sign-in', visit, deps)
  if (flow === undefined) return guessed(visit, deps)
  const connection = await connectionOf(flow, deps)
  if (connection === undefined) return guessed(visit, deps)
  const result = await finishOnceSpread(() => finishSignIn(flow.flow, queryOf(visit), signInOf(connection, deps)), deps)
  if (result.kind === 'service-unavailable') return pageAnswer('unavailable')
  if (result.kind !== 'signed-in') return refuse(visit, flow, ...refusalOf(result), deps)
  const principal = principalOf(result.person.tenantId, result.person.objectId)
  const isOurs = await withScope(deps.db, { organisation: flow.organisation }, (tx) =>
    prove(tx, visit, flow, principal),
  )
  return isOurs ? pageAnswer('checking') : refuse(visit, flow, 'taken', 'TENANT_TAKEN', deps)
}

/** Between attempts; a browser waits for all of them. */
const SPREADING_WAITS_MS = [1_000, 2_000, 4_000, 8_000]
/** The tenant does not know the application: for some seconds after the consent that is no refusal. (microsoft-365.md §2.1, §2.3) */
const UNKNOWN_APP = 700016

async function finishOnceSpread(
  finish: () => Promise<SignInResult>,
  { wait }: ConsentVisitDeps,
): Promise<SignInResult> {
  let result = await finish()
  for (const ms of SPREADING_WAITS_MS) {
    if (result.kind !== 'misconfigured' || result.entraCode !== UNKNOWN_APP) break
    // Such a refusal is of the application, before its code was looked at: the code is still good.
    await wait(ms)
    result = await finish()
  }
  return result
}

/** From here on the tenant is the organisation's (EC-3). @returns false: it is another's */
async function prove(tx: Tx, visit: Visit, flow: ConsentSubject, principal: string): Promise<boolean> {
  const { organisation, project, tenant } = flow
  await lockOrganisation(tx, organisation)
  if (!(await claimTenant(tx, organisation, flow.entraTenantId))) return false
  const place = { organisation, project }
  await setProved(tx, place, tenant, principal, new Date(visit.now), flow.choices)
  await requestJob(tx, place, 'tenant.check', tenant)
  await publishEvent(tx, place, 'tenant.checking', { tenant })
  await audit(tx, visit, flow, { actor: `person:${principal}`, action: 'tenant.consented', result: 'done' })
  return true
}

async function refuse(
  visit: Visit,
  flow: ConsentSubject,
  outcome: Outcome,
  problem: ConsentProblem,
  deps: ConsentVisitDeps,
): Promise<Answer> {
  const { organisation, project, tenant } = flow
  await withScope(deps.db, { organisation }, async (tx) => {
    await setRefused(tx, { organisation, project }, tenant, problem)
    await publishEvent(tx, { organisation, project }, 'tenant.refused', { tenant, problem })
    await requestFindings(tx, { organisation, project })
    await audit(
      tx,
      visit,
      flow,
      { actor: 'anonymous', action: 'tenant.consent_refused', result: 'denied' },
      { problem },
    )
  })
  return pageAnswer(outcome)
}

const audit = (
  tx: Tx,
  { requestId, sourceAddress, now }: Visit,
  { organisation, project, tenant, askedBy }: ConsentSubject,
  entry: { readonly actor: string; readonly action: string; readonly result: 'done' | 'denied' },
  details: Readonly<Record<string, string>> = {},
) =>
  appendAudit(
    tx,
    organisation,
    { ...entry, project, object: tenant, requestId, payload: { ...details, askedBy, sourceAddress } },
    now,
  )

function refusalOf(result: SignInResult): [Outcome, ConsentProblem] {
  return result.kind === 'bad-token' && result.fault === 'tenant'
    ? ['wrong-tenant', 'WRONG_TENANT']
    : ['not-signed-in', 'SIGN_IN_FAILED']
}

async function takeFlow<S extends 'consent' | 'sign-in'>(step: S, visit: Visit, deps: ConsentVisitDeps) {
  deps.failures.demand(visit.sourceAddress)
  const binding = consentCookie(visit.request.headers.cookie)
  const state = only(queryOf(visit), 'state')
  if (binding === undefined || state === undefined) return undefined
  return findConsentFlow(step, [binding, state], visit.now, deps)
}

/** undefined: the tenant is gone, or was registered anew since. */
async function connectionOf(flow: ConsentSubject, deps: ConsentVisitDeps): Promise<Connection | undefined> {
  const { organisation, project } = flow
  const tenant = await withScope(deps.db, { organisation }, (tx) =>
    findTenant(tx, { organisation, project }, flow.tenant),
  )
  if (tenant?.entraTenantId !== flow.entraTenantId) return undefined
  try {
    const connection = await openConnection(deps, { organisation, project }, tenant)
    return connection.clientId === flow.clientId ? connection : undefined
  } catch (error) {
    if (error instanceof NoCredential) return undefined
    throw error
  }
}

/** Only people of this very tenant, at its own endpoint; nothing of their tokens is kept. */
function signInOf(connection: Connection, { clouds, publicUrl, random, now }: ConsentVisitDeps): SignInDeps {
  return {
    ...clouds.of(connection.cloud),
    app: {
      clientId: connection.clientId,
      redirectUri: new URL(CONSENT_PATHS.signedIn, publicUrl).href,
      tenant: connection.entraTenantId,
      credential: readAppCredential(connection),
    },
    maySignIn: (tenantId) => tenantId === connection.entraTenantId,
    sealer: KEEPS_NOTHING,
    now,
    random,
  }
}

const KEEPS_NOTHING: TokenSealer = { seal: () => new Uint8Array(), unseal: () => undefined }

function guessed({ sourceAddress }: Visit, { failures }: ConsentVisitDeps): Answer {
  failures.note(sourceAddress)
  return pageAnswer('unknown-link')
}

const queryOf = ({ url }: Visit): URLSearchParams => new URLSearchParams(url.split('?', 2)[1] ?? '')

/** A parameter that is there twice is not there. */
function only(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  return values.length === 1 && values[0] !== '' ? values[0] : undefined
}

function pageAnswer(outcome: Outcome): Answer {
  return {
    status: statusOf(outcome),
    headers: { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' },
    stream: (response) =>
      new Promise((done) => {
        response.end(consentPage(outcome), done)
      }),
  }
}

function redirect(Location: string, cookie: string): Answer {
  return { status: 302, headers: { Location, 'Set-Cookie': cookie, 'Cache-Control': 'no-store' } }
}
