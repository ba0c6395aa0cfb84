// Runs the image of the control plane: `db migrate` as the schema's owner, then api and worker as the service role, a sign-in and a change through them,
// Postgres away and back, SIGTERM. One line a check, exit code 0 only when all held. deploy/try-images.sh builds the image and calls this.
// (SC-1, SC-3, SF-3, OP-1, OP-3, TI-2, KM-1)
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts } from '../harness/ports.ts'
import { eventually } from '../harness/wait.ts'
import type { Container, Engine, Mount } from './container.ts'
import { check, checkConfined, ended, startReady, stop, tryImage, unless } from './image-checks.ts'
import type { Trial } from './image-checks.ts'
import { API_IMAGE } from './image-kinds.ts'
import { startPasswordPostgres } from '../harness/password-postgres.ts'
import type { PasswordPostgres } from '../harness/password-postgres.ts'

const PUBLIC_URL = 'https://causeway.example'
const STATE = '/var/lib/causeway'

interface World {
  readonly engine: Engine
  readonly postgres: PasswordPostgres
  readonly etc: Mount
  readonly volumes: readonly Mount[]
  /** Of the API, and of metrics and health of both processes. */
  readonly urls: { readonly api: string; readonly apiAdmin: string; readonly workerAdmin: string }
  readonly apiEnv: Readonly<Record<string, string>>
  readonly workerEnv: Readonly<Record<string, string>>
}

async function makeWorld({ engine, work, cleanUp }: Trial): Promise<World> {
  const postgres = await startPasswordPostgres()
  cleanUp.defer(() => postgres.close())
  const etc = join(work, 'etc')
  await mkdir(etc)
  const files = { 'migration-database-url': postgres.ownerUrl, 'database-url': postgres.serviceUrl }
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(etc, name), `${text}\n`)
    // The image's user reads them through a mount, whatever our umask says.
    await chmod(join(etc, name), 0o644)
  }
  await chmod(etc, 0o755)
  const [port = 0, apiAdminPort = 0, workerAdminPort = 0] = await freePorts(3)
  const urlOf = (of: number) => `http://127.0.0.1:${of}`
  // All three are in the host's network here: loopback alone.
  const envOf = (adminPort: number) => ({
    PUBLIC_URL,
    DATABASE_URL_FILE: '/etc/causeway/database-url',
    AUDIT_EXPORT_DIRECTORY: `${STATE}/audit`,
    LISTEN_ADDRESS: '127.0.0.1',
    METRICS_PORT: String(adminPort),
    CAUSEWAY_HEALTH_URL: `${urlOf(adminPort)}/healthz`,
  })
  return {
    engine,
    postgres,
    etc: { source: etc, target: '/etc/causeway', isReadOnly: true },
    volumes: [
      { source: await engine.makeVolume('keys'), target: `${STATE}/keys`, isReadOnly: false },
      { source: await engine.makeVolume('audit'), target: `${STATE}/audit`, isReadOnly: false },
    ],
    urls: { api: urlOf(port), apiAdmin: urlOf(apiAdminPort), workerAdmin: urlOf(workerAdminPort) },
    apiEnv: { ...envOf(apiAdminPort), PORT: String(port) },
    workerEnv: envOf(workerAdminPort),
  }
}

/** Before any process: nothing runs on an older schema, the owner makes it, and doing it again does nothing. */
async function checkMigration({ engine, postgres, etc, volumes, apiEnv }: World): Promise<void> {
  const migrate = async (name: string) => {
    const env = { MIGRATION_DATABASE_URL_FILE: '/etc/causeway/migration-database-url' }
    const container = engine.run(name, { args: ['db', 'migrate'], mounts: [etc], env })
    return { exit: await ended(container), output: container.output() }
  }
  const early = engine.run('early', {
    mounts: [etc, ...volumes],
    env: { ...apiEnv, DATABASE_URL_FILE: '/etc/causeway/migration-database-url' },
  })
  const refused = await ended(early)
  check(
    'before `db migrate` the api does not start, and says what to do',
    unless(refused === 2 && early.output().includes('run `causeway db migrate` first'), early.output()),
  )
  const first = await migrate('migrate')
  check(
    '`db migrate` makes the schema, as an owner that is no superuser (TI-2)',
    unless(first.exit === 0 && first.output.includes('0001-organisations'), `${first.exit} ${first.output}`),
  )
  const again = await migrate('migrate-again')
  check(
    '`db migrate` again does nothing',
    unless(again.exit === 0 && again.output.trim() === 'the database is up to date', `${again.exit} ${again.output}`),
  )
  await postgres.createService()
}

async function checkRunning(world: World): Promise<void> {
  const { engine, etc, volumes, urls, apiEnv, workerEnv } = world
  const mounts = [etc, ...volumes]
  const api = await startReady(engine, 'api', { mounts, env: apiEnv }, urls.apiAdmin)
  check('the api is ready with a read-only root and no capabilities (SC-3, OP-1)', undefined)
  const worker = await startReady(engine, 'worker', { args: ['worker'], mounts, env: workerEnv }, urls.workerAdmin)
  check('so is the worker, from the same image', undefined)
  const writable = volumes.map(({ target }) => target)
  for (const [container, env] of [
    [api, apiEnv],
    [worker, workerEnv],
  ] as const) {
    await checkConfined(container, engine, writable, env)
  }
  await checkAnswers(world)
  // An engine's exec begins in the image's own folder; this one begins at the root.
  const inPlace = { ...apiEnv, KEY_DIRECTORY: `${STATE}/keys` }
  const examined = await api.exec(['/opt/causeway/bin/causeway', 'doctor', '--json'], inPlace)
  check('`doctor` finds no fault in how it is installed (OP-5)', unless(examined.status === 0, examined.output))
  const session = await checkChange(world, api)
  await checkPostgresAway(world, api, session)

  const log = api.output() + worker.output()
  const code = oneTimeCode(api) ?? 'none'
  check(
    'the one-time code is on the console, and in no line of the log (KM-5)',
    unless(!jsonLines(log).some((line) => line.includes(code)), 'it is'),
  )
  const { password } = new URL(world.postgres.serviceUrl)
  check('no password in the log (KM-5)', log.includes(password) && log)
  for (const [name, container] of Object.entries({ api, worker })) {
    const exit = await stop(container)
    check(`SIGTERM: the ${name} exits 0 within 30 s (DU-6)`, unless(exit === 0, `${exit}:\n${container.output()}`))
  }

  const second = await startReady(engine, 'second', { mounts, env: apiEnv }, urls.apiAdmin)
  check('the next container on the same volumes is ready', undefined)
  check('SIGTERM: it exits 0', unless((await stop(second)) === 0, second.output()))
  const forgetful = engine.run('forgetful', { mounts: [etc], env: apiEnv })
  const refused = await ended(forgetful)
  check(
    'without its key volume it refuses to start, instead of making keys that go with it',
    unless(refused > 0 && forgetful.output().includes('the key directory'), `${refused}:\n${forgetful.output()}`),
  )
}

async function checkAnswers({ urls }: World): Promise<void> {
  for (const path of ['/healthz', '/readyz']) {
    const answers = [urls.api, urls.apiAdmin, urls.workerAdmin].map(async (url) => (await fetch(url + path)).status)
    const statuses = await Promise.all(answers)
    check(
      `${path} answers: of the API, of its health port, of the worker`,
      unless(
        statuses.every((each) => each === 200),
        statuses.join(' '),
      ),
    )
  }
  const described = await fetch(`${urls.api}/api/v1/openapi.json`)
  const { openapi = '', paths = {} } = (await described.json()) as { openapi?: string; paths?: object }
  check(
    `/api/v1/openapi.json describes ${Object.keys(paths).length} paths`,
    unless(openapi.startsWith('3.1') && Object.keys(paths).length > 50, `${described.status} ${openapi}`),
  )
  const metrics = await (await fetch(`${urls.apiAdmin}/metrics`)).text()
  check(
    '/metrics counts what was asked',
    unless(metrics.includes('causeway_api_requests_total{'), metrics.slice(0, 500)),
  )
}

/**
 * The first run, as docs/sign-in.md has it: the code from the console opens a session, and that founds an organisation.
 * @returns what makes a request one of that session
 */
async function checkChange({ urls }: World, api: Container): Promise<Record<string, string>> {
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${urls.api}/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: PUBLIC_URL, ...headers },
      body: JSON.stringify(body),
    })
  const opened = await post('/session/break-glass', { code: oneTimeCode(api) })
  const text = await opened.text()
  check('the one-time code on its console opens a session (AZ-1)', unless(opened.ok, `${opened.status} ${text}`))
  if (!opened.ok) return {}
  const { csrfToken } = JSON.parse(text) as { csrfToken: string }
  const cookies = opened.headers.getSetCookie().map((each) => each.split(';', 1)[0] ?? '')
  const session = { cookie: cookies.join('; '), 'x-csrf-token': csrfToken }
  const id = '00000000-0000-4000-8000-000000000001'
  const founded = await post(
    '/organizations',
    { name: 'Contoso', administrator: { tenantId: id, objectId: id } },
    session,
  )
  check(
    'an organisation is founded, as the service role (TI-2)',
    unless(founded.status === 201, `${founded.status} ${await founded.text()}`),
  )
  return session
}

/** OP-3: Postgres away is seen and survived; nobody is restarted for it. */
async function checkPostgresAway(
  { engine, postgres, urls, apiEnv }: World,
  api: Container,
  session: Record<string, string>,
): Promise<void> {
  const admins = [urls.apiAdmin, urls.workerAdmin]
  const becomes = (status: number) =>
    eventually(`/readyz ${status} of both`, async () => {
      const statuses = await Promise.all(admins.map(async (url) => (await fetch(`${url}/readyz`)).status))
      return statuses.every((each) => each === status) ? true : undefined
    })
  await postgres.shut()
  await becomes(503)
  check('Postgres away: both stay alive and are not ready (OP-3)', undefined)
  const refused = await fetch(`${urls.api}/api/v1/organizations`, { headers: session })
  check('Postgres away: the API answers 503 (OP-3)', unless(refused.status === 503, String(refused.status)))
  const [, ...health] = engine.config.Healthcheck?.Test ?? []
  const { status, output } = await api.exec(health, apiEnv)
  check('Postgres away: its health check still says healthy', unless(status === 0, output))
  await postgres.open()
  await becomes(200)
  check('Postgres back: both are ready again, without a restart (OP-3)', undefined)
  const answered = await fetch(`${urls.api}/api/v1/organizations`, { headers: session })
  check('Postgres back: the same session reads on', unless(answered.status === 200, String(answered.status)))
}

function oneTimeCode(api: Container): string | undefined {
  return /One-time code[^\n]*\n\n +(\S+)\n/.exec(api.output())?.[1]
}

const jsonLines = (log: string): string[] => log.split('\n').filter((line) => line.startsWith('{'))

await tryImage(API_IMAGE, async (trial) => {
  const world = await makeWorld(trial)
  await checkMigration(world)
  await checkRunning(world)
})
