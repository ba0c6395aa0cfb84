// Messages and connections for the tests of this folder.
import { Registry } from 'prom-client'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { MessageRecord, RecipientRecord } from '../../../mta/message-record.ts'
import type { Content, Peer } from '../../../mta/outbound/client.ts'
import { Connections } from '../../../mta/outbound/connections.ts'
import type { ConnectionsDeps } from '../../../mta/outbound/connections.ts'
import { nextHopOf } from '../../../mta/outbound/route.ts'
import type { SmartHostHop } from '../../../mta/outbound/route.ts'
import type { OutboundCredentials } from '../../../mta/outbound/tls-identity.ts'
import { DEFAULT_TIMEOUTS } from '../../../mta/outbound/timeouts.ts'
import { newQueueId } from '../../../mta/queue-id.ts'

export function recipient(path: string, more: Partial<RecipientRecord> = {}): RecipientRecord {
  return { path, received: path, route: 'owner-tenant', ...more }
}

export function record(more: Partial<MessageRecord> = {}): MessageRecord {
  return {
    queueId: newQueueId(1_700_000_000_000),
    project: 'p1',
    direction: 'out',
    tableVersion: 1,
    receivedAt: 1_700_000_000_000,
    intakeMs: 3,
    reversePath: 'alice@fabrikam.example',
    receivedReversePath: 'alice@contoso.example',
    smtpUtf8: false,
    body8BitMime: false,
    has8Bit: false,
    isOwnReport: false,
    recipients: [recipient('dana@example.net')],
    headerBytes: 0,
    bodyBytes: 0,
    ...more,
  }
}

/** @param body  in the chunks in which it is read */
export function message(header: string, body: string | readonly Buffer[], more: Partial<MessageRecord> = {}): Content {
  const chunks = typeof body === 'string' ? [Buffer.from(body, 'latin1')] : body
  const headerBytes = Buffer.from(header, 'latin1')
  const bodyBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  return {
    record: record({ headerBytes: headerBytes.length, bodyBytes, ...more }),
    header: headerBytes,
    body: () => chunks,
  }
}

export const HELLO = message('Subject: hello\r\n\r\n', 'Hello.\r\n')

export function hopAt(port: number): SmartHostHop {
  return nextHopOf({ host: '127.0.0.1', port, tls: 'none' })
}

export function peerAt(port: number, more: Partial<Peer> = {}): Peer {
  return {
    host: '127.0.0.1',
    port,
    hostPort: `127.0.0.1:${port}`,
    tls: { kind: 'none' },
    identity: undefined,
    ...more,
  }
}

export const NO_CREDENTIALS: OutboundCredentials = { tenantCertificates: new Map(), serverTrust: new Map() }

/** Short enough for a test that waits for one, long enough for a busy machine that does not. */
export const SHORT_TIMEOUTS = {
  ...DEFAULT_TIMEOUTS,
  connect: 2_000,
  greeting: 250,
  hello: 250,
  tls: 250,
  command: 250,
  data: 250,
  block: 250,
  finalDot: 250,
  quit: 250,
}

export function connections(more: Partial<ConnectionsDeps> = {}): Connections {
  return new Connections({
    name: 'relay.example',
    limits: DEFAULT_LIMITS,
    credentials: () => NO_CREDENTIALS,
    monotonicMs: () => performance.now(),
    metrics: new Registry(),
    ...more,
  })
}
