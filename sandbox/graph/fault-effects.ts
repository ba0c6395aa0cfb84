// What an injected fault makes of an answer. Before the effect of a call, the call isn't made; after it, its answer is lost or spoilt.
import { setTimeout as wait } from 'node:timers/promises'
import type { Fault, FaultEffect } from '../faults/faults.ts'
import { json } from './graph-call.ts'
import type { GraphAnswer } from './graph-call.ts'

/** @param answer  makes the call */
export async function faultyAnswer(fault: Fault | undefined, answer: () => Promise<GraphAnswer>): Promise<GraphAnswer> {
  if (fault === undefined) return answer()
  const { effect, when } = fault
  if (effect.kind === 'slow') {
    if (when === 'before') await wait(effect.ms)
    const slow = await answer()
    if (when === 'after') await wait(effect.ms)
    return slow
  }
  if (when === 'before') {
    const instead = inPlace(effect)
    if (instead !== undefined) return instead
  }
  const good = await answer()
  return spoilt(effect, good)
}

/** Whether the answer isn't the operation's any more. */
export function isBroken({ effect }: Fault): boolean {
  return effect.kind === 'status' || effect.kind === 'wrong-body' || effect.kind === 'reset'
}

/** For what needs no answer to spoil. */
function inPlace(effect: FaultEffect): GraphAnswer | undefined {
  switch (effect.kind) {
    case 'status':
      return statusAnswer(effect)
    case 'reset':
      return { status: 500, content: { kind: 'none' }, breaks: 'reset' }
    case 'wrong-body':
      return { status: 200, content: { kind: 'text', type: 'application/json', text: effect.body } }
    case 'cut':
    case 'slow':
    case 'twice':
      return undefined
    default:
      return effect satisfies never
  }
}

function spoilt(effect: FaultEffect, good: GraphAnswer): GraphAnswer {
  switch (effect.kind) {
    case 'cut':
      return { ...good, breaks: 'cut' }
    case 'twice':
      return { ...good, content: doubled(good.content) }
    case 'status':
    case 'reset':
    case 'wrong-body':
    case 'slow':
      return inPlace(effect) ?? good
    default:
      return effect satisfies never
  }
}

function statusAnswer(effect: Extract<FaultEffect, { kind: 'status' }>): GraphAnswer {
  const { status, retryAfter, headers = {}, body } = effect
  const all = { ...headers, ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }) }
  if (typeof body === 'string')
    return { status, headers: all, content: { kind: 'text', type: 'text/html', text: body } }
  const shown = body ?? { error: { code: codeOf(status), message: 'The service is not available.', innerError: {} } }
  return { ...json(shown, status), headers: all }
}

function codeOf(status: number): string {
  return status === 429 ? 'TooManyRequests' : status === 503 ? 'serviceNotAvailable' : 'UnknownError'
}

function doubled(content: GraphAnswer['content']): GraphAnswer['content'] {
  if (content.kind !== 'json' || typeof content.body !== 'object' || content.body === null) return content
  const { value } = content.body as { value?: unknown }
  if (!Array.isArray(value)) return content
  const items: unknown[] = value
  return { kind: 'json', body: { ...content.body, value: items.flatMap((item) => [item, item]) } }
}
