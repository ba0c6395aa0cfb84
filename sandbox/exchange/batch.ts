// `$batch`: up to ten calls in one request. Each has its own outcome; they come back in another order than they were sent in, and are told apart by
// their ids alone. (microsoft-365.md §14.1)
import { badRequest } from './exchange-error.ts'
import { jsonAnswer, plainError } from './http-answer.ts'
import type { HttpAnswer } from './http-answer.ts'
import { isRecord } from './invocation.ts'
import { invoke, refused, wrong } from './invoke.ts'
import type { Exchange } from './invoke.ts'
import { EXCHANGE_ORIGIN } from './next-link.ts'
import { EXCHANGE_AUDIENCE } from './access.ts'

const MAX_MEMBERS = 10

interface Member {
  readonly id: string
  readonly method: unknown
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

/**
 * @param invokePath  of InvokeCommand, for the tenant of the batch
 * @param goesOn  whether members after a failed one are carried out: `Prefer: odata.continue-on-error`
 */
export async function runBatch(
  exchange: Exchange,
  body: unknown,
  invokePath: string,
  goesOn: boolean,
): Promise<HttpAnswer> {
  const members = readMembers(body)
  if (members === undefined) {
    return refused(exchange, '$batch', [wrong('wrong-type', 'requests', 'it is no batch of one to ten members')], () =>
      badRequest(`A batch has 1 to ${MAX_MEMBERS} requests, each with an id of its own, a method and a url.`),
    )
  }
  const responses: Record<string, unknown>[] = []
  let breaks: HttpAnswer['breaks']
  for (const member of members) {
    const answer = await runMember(exchange, member, invokePath)
    breaks ??= answer.breaks
    const hasFailed = answer.status >= 400
    const id = hasFailed && exchange.behaviour.batchErrorsWithoutId ? '' : member.id
    responses.unshift({
      id,
      status: answer.status,
      headers: answer.headers,
      body: answer.body instanceof Uint8Array ? Buffer.from(answer.body).toString('utf8') : answer.body,
    })
    if (hasFailed && !goesOn) break
  }
  const answer = jsonAnswer(200, { responses })
  return breaks === undefined ? answer : { ...answer, breaks }
}

async function runMember(exchange: Exchange, member: Member, invokePath: string): Promise<HttpAnswer> {
  const { method, headers, body } = member
  const url = URL.parse(member.url, EXCHANGE_ORIGIN)
  const isHere = url !== null && [EXCHANGE_ORIGIN, EXCHANGE_AUDIENCE].includes(url.origin)
  if (!isHere || method !== 'POST' || url.pathname.toLowerCase() !== invokePath.toLowerCase()) {
    exchange.services.record.violation({
      ...wrong('unknown-operation', 'url', 'members POST to InvokeCommand of the tenant'),
      request: '$batch',
    })
    return plainError(404, 'The request is for no resource of this service.')
  }
  const byName = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  return invoke(exchange, {
    path: url.pathname,
    query: url.searchParams,
    // A member's body is JSON by being there.
    headers: (name) => byName.get(name) ?? (name === 'content-type' ? 'application/json' : undefined),
    body,
  })
}

function readMembers(body: unknown): readonly Member[] | undefined {
  const requests = isRecord(body) ? body['requests'] : undefined
  if (!Array.isArray(requests) || requests.length === 0 || requests.length > MAX_MEMBERS) return undefined
  const members = requests.flatMap((request: unknown) => readMember(request) ?? [])
  const ids = new Set(members.map(({ id }) => id))
  return members.length === requests.length && ids.size === members.length ? members : undefined
}

function readMember(request: unknown): Member | undefined {
  if (!isRecord(request)) return undefined
  const { id, method, url, headers = {}, body } = request
  if (typeof id !== 'string' || id === '' || typeof url !== 'string' || !isRecord(headers)) return undefined
  const texts = Object.entries(headers).map(([name, value]) => [name, String(value)])
  return { id, method, url, headers: Object.fromEntries(texts) as Record<string, string>, body }
}
