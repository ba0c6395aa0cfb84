// Certificates, tenants and hostile hosts for the tests of TLS to next hops.
import { createHash } from 'node:crypto'
import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { loadAuthorities, loadKeyPair } from '../../../mta/certificates.ts'
import type { Connections } from '../../../mta/outbound/connections.ts'
import type { TlsaRecord } from '../../../mta/outbound/dane.ts'
import { deliver } from '../../../mta/outbound/deliver.ts'
import type { Attempt } from '../../../mta/outbound/deliver.ts'
import type { Content } from '../../../mta/outbound/client.ts'
import { nextHopOf } from '../../../mta/outbound/route.ts'
import type { NextHop, SmartHostHop } from '../../../mta/outbound/route.ts'
import type { OutboundCredentials } from '../../../mta/outbound/tls-identity.ts'
import type { SmartHost } from '../../../mta/settings.ts'
import type { MadeCertificate, TestAuthority } from '../../harness/certificates.ts'
import { HELLO } from './fixtures.ts'

/** Name in the certificates of well-behaved hosts. */
export const HOST_NAME = 'smart.example'

export function credentialsWith(
  authority: TestAuthority,
  tenants: Readonly<Record<string, MadeCertificate>> = {},
): OutboundCredentials {
  return {
    tenantCertificates: new Map(Object.entries(tenants).map(([id, files]) => [id, loadKeyPair(files)])),
    serverTrust: new Map([[authority.certificate, loadAuthorities(authority.certificate).map(String)]]),
  }
}

export function verifiedHop(
  authority: TestAuthority,
  port: number,
  { tenant, ...more }: Partial<SmartHost> & { tenant?: string } = {},
): SmartHostHop {
  return nextHopOf(
    { host: '127.0.0.1', port, tls: 'verify', tlsName: HOST_NAME, trust: { file: authority.certificate }, ...more },
    tenant,
  )
}

export async function attempt(pool: Connections, hop: NextHop, content: Content = HELLO): Promise<Attempt> {
  const lease = pool.lease(hop)
  if (lease === undefined) throw new Error('no place')
  try {
    return await deliver(content, [...content.record.recipients.keys()], lease, () => performance.now())
  } finally {
    lease.release()
    lease.recorded()
  }
}

export function statuses({ outcomes }: Attempt): string[] {
  return outcomes.map(({ kind, reply }) => `${kind} ${reply.status}`)
}

/** A host of few words: offers STARTTLS, says 220 to it, and then does what it likes with the bare connection. */
export async function bareHost(afterStartTls: (socket: Socket) => void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.write('220 bare.example\r\n')
    const listen = (chunk: Buffer): void => {
      const line = chunk.toString('latin1')
      if (line.startsWith('EHLO')) socket.write('250-bare.example\r\n250 STARTTLS\r\n')
      if (!line.startsWith('STARTTLS')) return
      socket.removeListener('data', listen)
      afterStartTls(socket)
    }
    socket.on('data', listen)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The record that names this certificate, or its key. */
export function tlsaOf(
  certificate: X509Certificate,
  usage: number,
  selector: number,
  matchingType: number,
): TlsaRecord {
  const data = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: 'spki', format: 'der' })
  const digest = ['', 'sha256', 'sha512'][matchingType] ?? ''
  return {
    usage,
    selector,
    matchingType,
    certificate: digest === '' ? data : createHash(digest).update(data).digest(),
  }
}
