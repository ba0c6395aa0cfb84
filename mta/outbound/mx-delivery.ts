// Everything that delivery by MX needs, made from the configuration: resolver, rules, policies, reports.
import { getServers } from 'node:dns'
import { BlockList, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import { isLoopback } from '../network-names.ts'
import type { ListenerSettings, Settings } from '../settings.ts'
import { parseServer } from '../settings-mx.ts'
import { addressRules } from './address-rules.ts'
import { DnsClient } from './dns-client.ts'
import { StsPolicies } from './mta-sts.ts'
import { policyFetcher } from './mta-sts-fetch.ts'
import type { MxDeps } from './mx.ts'
import type { OutboundCredentials } from './tls-identity.ts'
import { TlsReports } from './tls-report.ts'

export interface MxDelivery {
  readonly deps: MxDeps
  /** Writes what must outlive the process. */
  close(): Promise<void>
}

export interface MxDeliveryDeps {
  readonly credentials: () => OutboundCredentials
  readonly log: Log
  readonly metrics: Metrics
  readonly random: () => number
  readonly now: () => number
  readonly monotonicMs: () => number
  /** Runs `task` every `ms` until the result is called. */
  readonly every: (ms: number, task: () => void) => () => void
}

/** A report is due once a day; a relay that was asleep at midnight writes it when it wakes. */
const REPORT_CHECK_MS = 600_000

export async function startMxDelivery(
  mx: NonNullable<Settings['mx']>,
  { name, listeners }: Pick<Settings, 'name' | 'listeners'>,
  { credentials, log, metrics, random, now, monotonicMs, every }: MxDeliveryDeps,
): Promise<MxDelivery> {
  const servers = mx.resolver?.servers ?? getServers().flatMap((server) => parseServer(server) ?? [])
  const dns = new DnsClient({ servers, wantsDnssec: mx.dane, random, monotonicMs })
  const mayConnect = addressRules(mx.allowPrivate)
  const reports = new TlsReports({ organization: name, files: mx.tlsReports, log, metrics, now })
  const trust = mx.trust?.file
  const policies = new StsPolicies({
    dns,
    fetchPolicy: policyFetcher({
      dns,
      mayConnect,
      random,
      trust: () => (trust === undefined ? undefined : credentials().serverTrust.get(trust)),
    }),
    file: mx.mtaStsCache.file,
    log,
    now,
  })
  if (mx.mtaSts) await policies.load()
  const stopReports = every(REPORT_CHECK_MS, () => void reports.write())
  return {
    deps: {
      dns,
      mayConnect,
      ownName: name,
      isOwnAddress: ownAddresses(listeners),
      usesDane: mx.dane,
      sts: mx.mtaSts ? policies : undefined,
      reports,
      trust,
      random,
      now,
      monotonicMs,
    },
    async close() {
      stopReports()
      await policies.close()
      await reports.write(true)
    },
  }
}

/** Where others reach this relay. Loopback addresses are everybody's own, and connected to only where the operator lists them. */
function ownAddresses(listeners: readonly Pick<ListenerSettings, 'address'>[]): (address: string) => boolean {
  const interfaces = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  const own = new BlockList()
  for (const { address } of listeners) {
    const isAny = address === '0.0.0.0' || address === '::'
    for (const each of isAny ? interfaces.map((one) => one.address) : [address]) own.addAddress(each, familyOf(each))
  }
  return (address) => own.check(address, familyOf(address)) && !isLoopback(address)
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}
