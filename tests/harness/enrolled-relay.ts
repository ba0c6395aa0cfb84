// The real relay as a child process, set up by nothing but an enrolment code, with the test's control plane and one next hop behind it.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PushedSettings, RelayReport } from '../../common/relay-contract.ts'
import { EXAMPLE_TABLE } from './example-table.ts'
import { exampleContent } from './push-server.ts'
import type { Content, PushServer } from './push-server.ts'
import { startRelay } from './relay.ts'
import type { RelayOptions, RunningRelay } from './relay.ts'
import { eventually } from './wait.ts'

/** The domains of tests/harness/example-table.ts. */
export const CONTOSO = ['contoso.com', 'corp.contoso.com', 'xn--mnchen-3ya.example']
export const FABRIKAM = ['fabrikam.com', 'corp.fabrikam.com', 'lab.fabrikam.com']

export interface EnrolledOptions extends Omit<RelayOptions, 'nextHopPort' | 'table'> {
  readonly code?: string | { readonly file: string } | undefined
  readonly controlPlane?: Readonly<Record<string, unknown>>
}

/** @param server  its content decides by what mail is taken */
export async function startEnrolled(server: PushServer, options: EnrolledOptions = {}): Promise<RunningRelay> {
  const { code = server.code, controlPlane, settings, ...more } = options
  return startRelay({
    directory: await mkdtemp(join(tmpdir(), 'causeway-enrolled-')),
    ...more,
    nextHopPort: 9,
    settings: {
      table: undefined,
      routes: undefined,
      controlPlane: { url: server.url, enrolmentCode: code, ...controlPlane },
      ...settings,
    },
  })
}

/** Two tenants, both behind one next hop in cleartext on loopback. */
export function twoTenants(
  hopPort: number,
  more: Partial<PushedSettings> = {},
  table: unknown = EXAMPLE_TABLE,
): Content {
  const smartHost = { host: '127.0.0.1', port: hopPort, tls: 'none' } as const
  return exampleContent(table, {
    tenants: [
      { id: 'contoso', acceptedDomains: CONTOSO, smartHost },
      { id: 'fabrikam', acceptedDomains: FABRIKAM, smartHost },
    ],
    ...more,
  })
}

/** Waits for a report with this version in force. */
export function reported(server: PushServer, version: number): Promise<RelayReport> {
  return eventually(`a report of version ${version}`, () =>
    server.reports.findLast((report) => report.version === version),
  )
}

/** Waits for a report that names a refusal. */
export function refusedReport(server: PushServer, reason: RegExp): Promise<RelayReport> {
  return eventually(`a report of a refusal: ${reason.source}`, () =>
    server.reports.findLast(({ refused }) => refused !== undefined && reason.test(refused.reason)),
  )
}
