// Judges an answer of the simulated Graph by the published types, so that it is no kinder than the real one.
import type { Contracts } from './contracts.ts'
import { judgeAnswerBody } from './graph-body.ts'
import type { GraphOperation } from './graph-paths.ts'
import type { Violation } from './violation.ts'

/**
 * @param operation  undefined: the request had none, and only an error may be the answer
 * @param body  parsed JSON; undefined: none; text or bytes for what is not JSON
 */
export function judgeGraphAnswer(
  contracts: Contracts,
  operation: GraphOperation | undefined,
  status: number,
  body: unknown,
): Violation[] {
  return judgeAnswerBody(contracts, operation, status, body)
}
