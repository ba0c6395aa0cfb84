// Domains with their resolver and mail exchangers, all on loopback: each host has an address of 127.0.0.0/8, and all listen on one port.
import { DnsClient } from '../../../mta/outbound/dns-client.ts'
import { addressRules } from '../../../mta/outbound/address-rules.ts'
import type { Connections, ConnectionsDeps } from '../../../mta/outbound/connections.ts'
import type { MxDeps, ReportTls } from '../../../mta/outbound/mx.ts'
import { mxHopOf } from '../../../mta/outbound/route.ts'
import type { Attempt } from '../../../mta/outbound/deliver.ts'
import type { Content } from '../../../mta/outbound/client.ts'
import { DnsServer } from '../../harness/dns-server.ts'
import { NextHop } from '../../harness/next-hop.ts'
import type { NextHopOptions } from '../../harness/next-hop.ts'
import { freePort } from '../../harness/ports.ts'
import { connections, SHORT_TIMEOUTS } from './fixtures.ts'
import { attempt } from './tls-world.ts'

export interface MxWorld extends AsyncDisposable {
  readonly dns: DnsServer
  readonly port: number
  readonly pool: Connections
  /** What `pool` delivers by. */
  readonly mx: MxDeps
  readonly reports: Parameters<ReportTls>[0][]
  /** A host at 127.0.0.`last`. */
  host(last: number, options?: NextHopOptions): Promise<NextHop>
  send(domain: string, content?: Content): Promise<Attempt>
  /** To hosts that listen on another port. */
  sendAt(domain: string, port: number): Promise<Attempt>
}

export async function mxWorld(mx: Partial<MxDeps> = {}, more: Partial<ConnectionsDeps> = {}): Promise<MxWorld> {
  const dns = await DnsServer.start()
  const port = await freePort()
  const hosts: NextHop[] = []
  const reports: MxWorld['reports'] = []
  const client = new DnsClient({
    servers: [{ address: '127.0.0.1', port: dns.port }],
    wantsDnssec: true,
    random: Math.random,
    monotonicMs: () => performance.now(),
    waitMs: 200,
  })
  const deps: MxDeps = {
    dns: client,
    mayConnect: addressRules(['127.0.0.0/8']),
    ownName: 'relay.example',
    isOwnAddress: () => false,
    usesDane: false,
    sts: undefined,
    reports: { note: (session) => void reports.push(session), noteUnfetched: () => {} },
    trust: undefined,
    random: Math.random,
    now: Date.now,
    monotonicMs: () => performance.now(),
    ...mx,
  }
  const pool = connections({
    timeouts: { ...SHORT_TIMEOUTS, greeting: 2_000, hello: 2_000, command: 2_000, tls: 2_000 },
    mx: deps,
    ...more,
  })
  return {
    dns,
    port,
    pool,
    mx: deps,
    reports,
    async host(last, options = {}) {
      const host = await NextHop.start({ ...options, port, address: `127.0.0.${last}` })
      hosts.push(host)
      return host
    },
    sendAt: (domain, at) => attempt(pool, mxHopOf(domain, at)),
    send: (domain, content) => attempt(pool, mxHopOf(domain, port), content),
    async [Symbol.asyncDispose]() {
      await pool.close()
      for (const host of hosts) await host.close()
      await dns[Symbol.asyncDispose]()
    },
  }
}
