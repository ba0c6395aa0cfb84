// An answer before it is on the wire, and what a fault makes of it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault, FaultEffect } from '../faults/faults.ts'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON, or what stands as it is. */
  readonly body: Readonly<Record<string, unknown>> | string | Uint8Array
  /** How the connection ends before the answer does. */
  readonly breaks?: 'reset' | 'cut'
}

/** As Exchange labels its JSON (seen on the wire, 2024). */
export const JSON_TYPE =
  'application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8'

export function jsonAnswer(
  status: number,
  body: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  return { status, headers: { 'content-type': JSON_TYPE, 'odata-version': '4.0', ...headers }, body }
}

const CODES: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'GatewayTimeout',
}

/** What somebody before the cmdlet says: a gateway, throttling. */
export function plainError(
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  const code = CODES[status] ?? (status < 500 ? 'BadRequest' : 'InternalServerError')
  return jsonAnswer(status, { error: { code, message } }, headers)
}

/** Carries a call out, or not, as the fault in its way has it. */
export async function underFault(
  fault: Fault | undefined,
  carryOut: () => HttpAnswer | Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  if (fault === undefined) return carryOut()
  const { when, effect } = fault
  if (when === 'after' || effect.kind === 'twice') return applyFault(effect, await carryOut())
  if (effect.kind === 'slow') {
    await sleep(effect.ms)
    return carryOut()
  }
  return applyFault(effect, jsonAnswer(200, { value: [] }))
}

async function applyFault(effect: FaultEffect, answer: HttpAnswer): Promise<HttpAnswer> {
  switch (effect.kind) {
    case 'status': {
      const { status, retryAfter, body, headers = {} } = effect
      const all = { ...headers, ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }) }
      if (body === undefined) return plainError(status, 'The server is currently unable to process the request.', all)
      if (typeof body === 'string') return { status, headers: { 'content-type': 'text/html', ...all }, body }
      return jsonAnswer(status, body as Readonly<Record<string, unknown>>, all)
    }
    case 'reset':
    case 'cut':
      return { ...answer, breaks: effect.kind }
    case 'slow':
      await sleep(effect.ms)
      return answer
    case 'wrong-body':
      return { status: 200, headers: { 'content-type': JSON_TYPE }, body: effect.body }
    case 'twice':
      return twice(answer)
    default:
      return effect satisfies never
  }
}

function twice(answer: HttpAnswer): HttpAnswer {
  const { body } = answer
  if (typeof body === 'string' || body instanceof Uint8Array) return answer
  const value = body['value']
  return Array.isArray(value) ? { ...answer, body: { ...body, value: [...value, ...value] as unknown[] } } : answer
}
