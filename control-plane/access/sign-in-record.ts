// Sign-ins as they are counted and, when they fail, told in the installation's audit trail; those that succeed are told with their session. (AU-1)
import type { Log } from '../../common/log.ts'
import { Counter } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'

export interface SignInFailed {
  readonly method: 'entra' | 'break-glass'
  readonly result: 'refused' | 'failed'
  readonly reason: string
  readonly details?: Readonly<Record<string, string | number>>
  readonly requestId: string
  readonly sourceAddress: string
  /** ms since the epoch */
  readonly now: number
}

export interface SignInRecord {
  started(method: SignInFailed['method']): void
  failed(failure: SignInFailed): Promise<void>
}

export function createSignInRecord({ db, log, metrics }: { db: Db; log: Log; metrics: Metrics }): SignInRecord {
  const signIns = new Counter({
    name: 'causeway_api_sign_ins_total',
    help: 'Sign-ins, by how and with what result: started, refused (somebody was not let in), failed (nobody could have been).',
    labelNames: ['method', 'result'],
    registers: [metrics],
  })
  return {
    started: (method) => signIns.inc({ method, result: 'started' }),
    async failed({ method, result, reason, details = {}, requestId, sourceAddress, now }) {
      signIns.inc({ method, result })
      log.info('sign_in.failed', { requestId, method, reason, ...details })
      const payload = { method, reason, ...details, sourceAddress }
      await withScope(db, { organisation: INSTALLATION }, (tx) =>
        appendAudit(
          tx,
          INSTALLATION,
          {
            action: 'session.refused',
            actor: 'anonymous',
            result: result === 'refused' ? 'denied' : 'failed',
            requestId,
            payload,
          },
          now,
        ),
      )
    },
  }
}
