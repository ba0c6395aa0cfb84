// Sets an evaluation up through the REST API, as an administrator with curl would: an organisation, a project, and an enrolment code for its relay;
// all else is left to the tour. Done once; what it made is kept in files that only their owner reads.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { ADELE, CONTOSO, FABRIKAM } from '../../sandbox/tenants/seed.ts'
import type { Places, Ports } from './places.ts'
import { CONNECT_APP } from './sandbox.ts'

export interface Evaluation {
  readonly organization: string
  readonly project: string
  /** API key of the organisation. */
  readonly key: string
}

export interface SetUp extends Evaluation {
  /** For the relay's first start. */
  readonly enrolmentCode: string
}

/** Whether the tour has held once. */
export function hasToured({ toured }: Places): boolean {
  return existsSync(toured)
}

export function noteToured({ toured }: Places): void {
  writeFileSync(toured, `${new Date().toISOString()}\n`, { mode: 0o600 })
}

/** undefined: nothing was set up yet. */
export function loadEvaluation({ state }: Places): Evaluation | undefined {
  return existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')) as Evaluation) : undefined
}

/** @param code  one-time code of the first run */
export async function setUpEvaluation(code: string, ports: Ports): Promise<SetUp> {
  const api = `http://127.0.0.1:${ports.api}`
  const first = await call(api, 'POST', '/session/break-glass', { code })
  const session = {
    Cookie: (first.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? '',
    Origin: api,
    'X-CSRF-Token': String(first.body['csrfToken']),
  }
  const administrator = { tenantId: CONTOSO, objectId: ADELE.oid, displayName: ADELE.name }
  const organization = idOf(
    await call(api, 'POST', '/organizations', { name: 'Contoso and Fabrikam', administrator }, session),
  )
  const made = await call(api, 'POST', `/organizations/${organization}/evaluation-key`, undefined, session)
  const key = String(made.body['secret'])
  const bearer = { Authorization: `Bearer ${key}` }
  const project = idOf(await call(api, 'POST', `/organizations/${organization}/projects`, { name: 'Merger' }, bearer))
  const enrolment = await call(api, 'POST', `/projects/${project}/relay-enrolments`, { name: 'evaluation' }, bearer)
  return { organization, project, key, enrolmentCode: String(enrolment.body['code']) }
}

/** Once all of it is there: before, the next start takes it for a part. */
export function keepEvaluation({ organization, project, key }: Evaluation, places: Places, ports: Ports): void {
  const evaluation: Evaluation = { organization, project, key }
  const environment = environmentText(`http://127.0.0.1:${ports.api}`, ports, evaluation)
  writeFileSync(places.environment, environment, { mode: 0o600 })
  writeFileSync(places.state, JSON.stringify(evaluation, null, 2), { mode: 0o600 })
}

function environmentText(api: string, ports: Ports, { organization, project, key }: Evaluation): string {
  const values = {
    CAUSEWAY: api,
    API: `${api}/api/v1`,
    KEY: key,
    ORGANIZATION: organization,
    PROJECT: project,
    CONTOSO,
    FABRIKAM,
    CONNECT_APP,
    MAILBOX_PORT: String(ports.internet),
    RELAY_PORT: String(ports.relay),
    ENTRA: `http://127.0.0.1:${ports.entra}`,
    SANDBOX: `http://127.0.0.1:${ports.sandboxControl}`,
  }
  return Object.entries(values)
    .map(([name, value]) => `export ${name}=${value}\n`)
    .join('')
}

interface Reply {
  readonly headers: Headers
  readonly body: Readonly<Record<string, unknown>>
}

const idOf = ({ body }: Reply): string => String(body['id'])

async function call(
  api: string,
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const response = await fetch(`${api}/api/v1${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${text}`)
  return { headers: response.headers, body: JSON.parse(text) as Record<string, unknown> }
}
