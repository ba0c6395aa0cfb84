// Whether a relay with several workers may take mail: when one of them may. What keeps the others is told by name. Pure. (BP-3, OP-1)
import type { Readiness } from '../../common/admin-server.ts'

export interface WorkerCondition {
  readonly worker: number
  readonly takesMail: boolean
  /** undefined: it gave no answer. A text: why there is no process to ask. */
  readonly said: Readiness | string | undefined
}

/** @param own  what keeps the relay as a whole from taking mail */
export function relayReadiness(conditions: readonly WorkerCondition[], own: readonly string[]): Readiness {
  const takers = conditions.filter(({ takesMail }) => takesMail)
  const isReady = own.length === 0 && takers.some(({ said }) => typeof said === 'object' && said.isReady)
  const reasons = conditions.flatMap(({ worker, said }) => {
    if (typeof said === 'object') return said.reasons.map((reason) => `worker ${worker}: ${reason}`)
    return [`worker ${worker}: ${said ?? 'does not answer'}`]
  })
  return { isReady, reasons: [...own, ...reasons] }
}

/** From a worker's answer; undefined when it is none. */
export function parseReadiness(answer: unknown): Readiness | undefined {
  if (typeof answer !== 'object' || answer === null || !('isReady' in answer) || !('reasons' in answer))
    return undefined
  const { isReady, reasons } = answer
  if (typeof isReady !== 'boolean' || !Array.isArray(reasons)) return undefined
  return { isReady, reasons: reasons.map(String) }
}
