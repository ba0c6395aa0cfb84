// Sign-in and sessions over real HTTP: the API on a real database with real keys, the simulated Entra, one clock for all, and browsers that keep
// cookies as browsers do, follow redirects, and pick an account on Entra's page.
import type { TestContext } from 'node:test'
import { apiKeyRoutes } from '../../../control-plane/access/api-key-routes.ts'
import { breakGlassRoutes } from '../../../control-plane/access/break-glass-routes.ts'
import { FailureLimit } from '../../../control-plane/access/failure-limit.ts'
import { installationAdministratorRoutes } from '../../../control-plane/access/installation-administrator-routes.ts'
import { meRoutes } from '../../../control-plane/access/me-routes.ts'
import { Sessions } from '../../../control-plane/access/session-lookup.ts'
import { sessionRoutes } from '../../../control-plane/access/session-routes.ts'
import { createSignInRecord } from '../../../control-plane/access/sign-in-record.ts'
import { signInRoutes } from '../../../control-plane/access/sign-in-routes.ts'
import type { SignInDeps } from '../../../control-plane/access/entra-sign-in.ts'
import { tokenSealer } from '../../../control-plane/access/token-sealer.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { ofInstallation } from '../../../control-plane/keys/key-owner.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { KeyServiceUnavailable } from '../../../control-plane/keys/key-provider.ts'
import { decryptFor, encryptFor } from '../../../control-plane/keys/project-keys.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { organisationRoutes } from '../../../control-plane/organisations/organisation-routes.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { Metrics } from '../../../common/metrics.ts'
import { sql } from 'kysely'
import { randomBytes } from 'node:crypto'
import { testApi } from '../../harness/api.ts'
import type { Reply, TestApi } from '../../harness/api.ts'
import type { TestDatabase } from '../../harness/postgres.ts'
import { ALICE, CONTOSO, REDIRECT_URI } from '../../harness/entra-seed.ts'
import { temporaryDirectory } from '../keys/key-scene.ts'
import { aSetting } from './a-sign-in.ts'
import type { Setting } from './a-sign-in.ts'

export const PUBLIC_URL = new URL(new URL(REDIRECT_URI).origin)
export const ALICE_PRINCIPAL = `${CONTOSO}/${ALICE.oid}`

export interface AuditLine {
  readonly action: string
  readonly actor: string
  readonly object: string
  readonly result: string
  readonly payload: Record<string, unknown>
}

export interface Scene extends Omit<Setting, 'deps'> {
  readonly api: TestApi
  readonly signInDeps: SignInDeps
  readonly sessions: Sessions
  readonly metrics: Metrics
  /** ms; what the failure limit goes by. */
  readonly monotonic: { now: number }
  /** Whether the key service answers. */
  readonly keys: { isAway: boolean }
  browser(user?: string): Browser
  /** A browser in which somebody has signed in; Alice unless said otherwise. */
  signedIn(user?: string): Promise<Browser>
  audit(organisation?: OrganisationId): Promise<AuditLine[]>
}

export async function aScene(
  t: TestContext,
  options: { isEvaluation?: boolean; hasEntra?: boolean } = {},
): Promise<Scene> {
  const { isEvaluation = true, hasEntra = true } = options
  let sessions: Sessions | undefined
  let uses: KeyUses | undefined
  // First of all: before the database goes.
  t.after(async () => {
    await sessions?.settled()
    await uses?.settle()
    cache.close()
  })
  const setting = await aSetting(t)
  const now = () => setting.clock.now
  const monotonic = { now: 0 }
  const keys = { isAway: false }
  const metrics = emptyMetrics()
  const failures = new FailureLimit(() => monotonic.now)
  const cache = new KeyCache(now)
  const provider = await openKeyDirectory(temporaryDirectory(t), now)
  let signInDeps: SignInDeps | undefined
  const api = await testApi(
    t,
    ({ database, log }) => {
      const { db } = database
      const clock = () => new Date(now())
      uses = new KeyUses({ db, log, now: clock })
      const sealer = keyServiceSealer({ db, provider, cache, uses, now: clock }, keys)
      signInDeps = { ...setting.deps, sealer: tokenSealer(db, sealer) }
      const signIn = hasEntra ? signInDeps : undefined
      sessions = new Sessions({ db, signIn, log })
      const record = createSignInRecord({ db, log, metrics })
      return [
        ...signInRoutes({ db, sealer, signIn, sessions, failures, record, log }),
        ...sessionRoutes({ signIn, publicUrl: PUBLIC_URL }),
        ...breakGlassRoutes({ db, failures, record, log, random: randomBytes, isEvaluation, publicUrl: PUBLIC_URL }),
        ...apiKeyRoutes(),
        ...meRoutes(),
        ...installationAdministratorRoutes(),
        ...organisationRoutes({ region: 'default' }),
      ]
    },
    {
      now,
      failures,
      findSession: (...asked) => set(sessions).find(...asked),
      app: { metrics: emptyMetrics(), publicUrl: PUBLIC_URL },
    },
  )
  const browser = (user?: string) => new Browser(api.url, setting.entra.url, user)
  return {
    ...setting,
    api,
    metrics,
    monotonic,
    keys,
    browser,
    sessions: set(sessions),
    signInDeps: set(signInDeps),
    async signedIn(user = ALICE.userPrincipalName) {
      const its = browser(user)
      const landed = await its.go('/api/v1/session/sign-in')
      if (landed.path !== '/') throw new Error(`not signed in: ${landed.path}`)
      return its
    },
    audit: (organisation = INSTALLATION) => auditOf(api.database, organisation),
  }
}

/** What the real one does, and an outage at will. */
function keyServiceSealer(deps: Parameters<typeof encryptFor>[3], keys: { isAway: boolean }): Sealer {
  const reachable = () => {
    if (keys.isAway) throw new KeyServiceUnavailable('away')
  }
  return {
    async seal(_tx, { organisation }, purpose, context, plain) {
      reachable()
      return encryptFor(ofInstallation(organisation), { purpose, context }, plain, deps)
    },
    async open(_tx, { organisation }, purpose, context, sealed) {
      reachable()
      return decryptFor(ofInstallation(organisation), { purpose, context }, sealed, deps)
    },
  }
}

async function auditOf(database: TestDatabase, organisation: OrganisationId): Promise<AuditLine[]> {
  const rows = await withScope(database.db, { organisation }, (tx) =>
    rowsOf<{ action: string; actor: string; object: string; result: string; payload: string }>(
      tx,
      sql`select action, actor, object, result, payload from audit_event
           where organisation_id = ${organisation} order by sequence`,
    ),
  )
  return rows.map(({ payload, ...row }) => ({ ...row, payload: JSON.parse(payload) as Record<string, unknown> }))
}

function set<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('unreachable: set while the API was made')
  return value
}

export interface Landed {
  readonly status: number
  /** Path and query. */
  readonly path: string
  readonly headers: Headers
  readonly text: string
}

/** The API is at one address, and known to Entra by another, as behind a proxy. */
export class Browser {
  /** On Entra's page he picks this account; undefined: he cancels. */
  user: string | undefined
  /** By origin and name; only what a browser would keep. */
  readonly cookies = new Map<string, Map<string, string>>()
  /** All Set-Cookie headers of the API so far. */
  readonly setCookies: string[] = []
  readonly #api: string
  readonly #entra: string

  constructor(api: string, entra: string, user: string | undefined) {
    this.#api = api
    this.#entra = entra
    this.user = user
  }

  get sessionId(): string | undefined {
    return this.cookies.get(this.#api)?.get('__Host-causeway')
  }

  /** Types an address, and goes wherever that leads. @param until  stops before an address that begins so */
  async go(target: string, until?: string): Promise<Landed> {
    let url = new URL(target, this.#api)
    for (let hops = 0; hops < 10; hops++) {
      const response = await this.#fetch(url, {})
      const text = await response.text()
      const location = response.headers.get('location')
      const isChooser = location === null && url.origin === this.#entra && text.includes('name="query"')
      const next = location ?? (isChooser ? await this.#choose(url, text) : undefined)
      if (next === undefined) {
        return { status: response.status, path: url.pathname + url.search, headers: response.headers, text }
      }
      const at = new URL(next, url)
      url = at.origin === PUBLIC_URL.origin ? new URL(at.pathname + at.search, this.#api) : at
      const isPage = url.origin === this.#api && !url.pathname.startsWith('/api/')
      if (isPage || (until !== undefined && url.pathname.startsWith(until))) {
        return { status: response.status, path: url.pathname + url.search, headers: response.headers, text }
      }
    }
    throw new Error('round in circles')
  }

  /** A script of our own page. */
  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string | undefined>> = {},
  ): Promise<Reply> {
    const sent: Record<string, string | undefined> = {
      Origin: PUBLIC_URL.origin,
      'Sec-Fetch-Site': 'same-origin',
      ...(method === 'GET' ? { Origin: undefined } : { 'X-CSRF-Token': await this.csrfToken() }),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    }
    const response = await this.#fetch(new URL(`/api/v1${path}`, this.#api), {
      method,
      headers: Object.fromEntries(
        Object.entries(sent).filter((entry): entry is [string, string] => entry[1] !== undefined),
      ),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }

  async csrfToken(): Promise<string> {
    const { body } = await this.call('GET', '/session')
    return String(body.csrfToken)
  }

  async #choose(page: URL, html: string): Promise<string> {
    const query = /name="query" value="([^"]*)"/.exec(html)?.[1] ?? ''
    const form = new URLSearchParams({
      action: 'authorize',
      query: query.replaceAll(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code))).replaceAll('&amp;', '&'),
      ...(this.user === undefined ? { deny: 'yes' } : { user: this.user, mfa: 'yes' }),
    })
    const tenant = page.pathname.split('/')[1] ?? ''
    const response = await this.#fetch(new URL(`/${tenant}/choose`, page), { method: 'POST', body: form })
    const location = response.headers.get('location')
    if (location === null) throw new Error(`Entra shows a page: ${await response.text()}`)
    return location
  }

  async #fetch(url: URL, init: RequestInit): Promise<Response> {
    const jar = this.cookies.get(url.origin) ?? new Map<string, string>()
    this.cookies.set(url.origin, jar)
    const headers = new Headers(init.headers)
    if (jar.size > 0) headers.set('Cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const text of response.headers.getSetCookie()) {
      if (url.origin === this.#api) this.setCookies.push(text)
      const [pair = '', ...attributes] = text.split(';').map((part) => part.trim())
      const [name = '', value = ''] = pair.split(/=(.*)/s)
      // What a browser demands of such a name (RFC 6265bis §4.1.3.2); loopback counts as secure.
      const isKept = !name.startsWith('__Host-') || (attributes.includes('Secure') && attributes.includes('Path=/'))
      if (attributes.includes('Max-Age=0')) jar.delete(name)
      else if (isKept && !attributes.some((attribute) => attribute.startsWith('Domain'))) jar.set(name, value)
    }
    return response
  }
}
