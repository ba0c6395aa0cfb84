// `sandbox`: the simulated Microsoft 365 by itself, until it is told to stop.
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeSelfSigned } from '../common/self-signed.ts'
import { untilSignal } from '../common/until-signal.ts'
import { loadContracts } from '../sandbox/contract/contracts.ts'
import { permissionsOf } from '../sandbox/contract/permission-sets.ts'
import { CONTOSO, FABRIKAM } from '../sandbox/tenants/constants.ts'
import { generateTenant } from '../sandbox/tenants/generate.ts'
import type { TenantData } from '../sandbox/tenants/objects.ts'
import { seedTenants } from '../sandbox/tenants/seed.ts'
import { startSandbox } from '../sandbox/sandbox.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { DONE, parseOptions, print, UsageError } from './command.ts'
import type { Command } from './command.ts'

const CONTRACTS = resolve(import.meta.dirname, '../tests/contracts')
const APP = '33333333-0000-4000-8000-0000000000a0'
const DAYS = 3650
const MAX_PEOPLE = 1_000_000

export const sandbox: Command = {
  help: `Usage: causeway sandbox [--data DIR] [--seed N] [--people N] [--port N]

Runs a simulated Microsoft 365 with two tenants (Contoso, the source, and Fabrikam, the target) in the foreground: Entra ID, Microsoft Graph, the
admin API of Exchange Online, and an API that controls them (sandbox/README.md). For trying and testing: on loopback addresses only, and everybody
who reaches it may be anybody in it. Prints where each is found, and which application is registered. Runs from a checkout only.

  --data DIR   keeps the tenants, the consents and the application's certificate in DIR; default: they end with the process
  --seed N     other ids, sizes and telephone numbers; default 1
  --port N     listens on the four ports from N on; default: whichever are free
  --people N   plain people in this number for each tenant, in place of the sixty that show every kind of object

SIGTERM or SIGINT ends it.`,

  async run(args) {
    const options = {
      data: { type: 'string' },
      seed: { type: 'string' },
      people: { type: 'string' },
      port: { type: 'string' },
    } as const
    const { values, positionals } = parseOptions(args, options)
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const seed = wholeNumber('--seed', values.seed ?? '1', 2 ** 32 - 1)
    const people = values.people === undefined ? undefined : wholeNumber('--people', values.people, MAX_PEOPLE)
    const port = values.port === undefined ? undefined : wholeNumber('--port', values.port, 65_000)
    if (!existsSync(CONTRACTS)) throw new UsageError(`it needs Microsoft's contracts in tests/contracts of a checkout`)
    const directory = values.data === undefined ? undefined : resolve(values.data)
    const certificate = await appCertificate(directory)
    const running = await startSandbox({
      tenants: tenantsOf(seed, people),
      apps: [
        {
          clientId: APP,
          name: 'Causeway',
          homeTenant: FABRIKAM,
          isMultiTenant: true,
          redirectUris: [],
          certificates: [certificate.text],
          permissions: permissionsAsked(),
        },
      ],
      contractsDirectory: CONTRACTS,
      reportDirectory: process.env['CAUSEWAY_CONTRACT_REPORT'], // of a test run that started it
      ...(directory === undefined ? {} : { directory }),
      ...(port === undefined
        ? {}
        : { at: { ports: { entra: port, graph: port + 1, exchange: port + 2, control: port + 3 } } }),
    })
    await print(whereabouts(running, certificate.files))
    await untilSignal()
    await running.close()
    return DONE
  },
}

/** What discovery wants; Entra's control API changes it. */
function permissionsAsked(): Readonly<Record<string, readonly string[]>> {
  const { permissionSets } = loadContracts(CONTRACTS)
  return {
    ...permissionsOf(permissionSets, 'Basic Minimal'),
    'https://outlook.office365.com': ['Exchange.ManageAsApp'],
  }
}

function tenantsOf(seed: number, people: number | undefined): readonly TenantData[] {
  if (people !== undefined) {
    return [generateTenant({ seed, people }), generateTenant({ seed, people, side: 'target' })]
  }
  const { contoso, fabrikam } = seedTenants(seed)
  return [contoso, fabrikam]
}

/** Kept beside its key, for the client that is to use them; without a directory nobody has the key. */
async function appCertificate(
  directory: string | undefined,
): Promise<{ text: string; files: { certificate: string; key: string } | undefined }> {
  if (directory === undefined)
    return { text: (await makeSelfSigned('causeway sandbox', DAYS, Date.now())).certificate, files: undefined }
  const files = { certificate: join(directory, 'app.pem'), key: join(directory, 'app.key') }
  if (!existsSync(files.certificate) || !existsSync(files.key)) {
    const made = await makeSelfSigned('causeway sandbox', DAYS, Date.now())
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await writeFile(files.key, made.privateKey, { mode: 0o600 })
    await writeFile(files.certificate, made.certificate, { mode: 0o600 })
  }
  return { text: await readFile(files.certificate, 'utf8'), files }
}

function whereabouts(running: Sandbox, files: { certificate: string; key: string } | undefined): string {
  const { entra, graphUrl, exchangeUrl, controlUrl } = running
  const lines = [
    `Entra ID       ${entra.url}`,
    `Graph          ${graphUrl}`,
    `Exchange       ${exchangeUrl}`,
    `control        ${controlUrl}`,
    `source tenant  ${CONTOSO}`,
    `target tenant  ${FABRIKAM}`,
    `application    ${APP}`,
    ...(files === undefined ? [] : [`certificate    ${files.certificate}`, `key            ${files.key}`]),
  ]
  return `${lines.join('\n')}\n`
}

/** @throws UsageError */
function wholeNumber(name: string, text: string, most: number): number {
  const value = Number(text)
  if (!/^\d{1,10}$/.test(text) || value < 1 || value > most) {
    throw new UsageError(`${name} has to be a whole number from 1 to ${most}`)
  }
  return value
}
