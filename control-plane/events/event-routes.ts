// Live events of an organisation and of a project over SSE. (control-plane.md §1)
import { z } from 'zod'
import { EVENT_STREAM_HEADERS, sendEvents } from '../http/event-stream.ts'
import { Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Answer, Context } from '../http/route.ts'
import { openEventSource, parseLastEventId, RESET } from './event-source.ts'
import type { EventSourceDeps } from './event-source.ts'
import type { StreamAccess } from './stream-access.ts'

export interface EventRoutesDeps extends EventSourceDeps {
  readonly streamAccess: StreamAccess
}

const description = `Server-sent events, typed, each with an id; \`data\` is a JSON object with \`type\`, \`organization\`, \`project\`, \`time\` and ids of what it is about. \
Only events that you may read are sent. A stream begins with what comes next; one that is opened again with \`Last-Event-ID\` (browsers do so by themselves) with what \
came after that event. Events are kept for 24 hours: if some were missed, the first event is \`${RESET}\`, and whatever is shown must be read again. A comment is sent \
every 15 seconds. The stream ends when access ends; 20 streams at most for each caller.`

export function eventRoutes(deps: EventRoutesDeps): AnyRoute[] {
  const common = {
    method: 'get',
    description,
    tag: 'events',
    access: 'signed-in',
    responses: { 200: { description: 'Events', contentType: EVENT_STREAM_HEADERS['Content-Type'] } },
    isLongLived: true,
  } as const
  return [
    route({
      ...common,
      path: '/organizations/{organization}/events',
      id: 'streamOrganizationEvents',
      summary: 'Watch an organization and its projects',
      params: z.strictObject({ organization: z.string() }),
      handler: (context) => stream(context, deps),
    }),
    route({
      ...common,
      path: '/projects/{project}/events',
      id: 'streamProjectEvents',
      summary: 'Watch a project',
      params: z.strictObject({ project: z.string() }),
      handler: (context) => stream(context, deps),
    }),
  ]
}

type Params = { readonly organization?: string; readonly project?: string }

function stream(
  { caller, organisation, project, params, request }: Context<Params, unknown, unknown>,
  deps: EventRoutesDeps,
): Promise<Answer> {
  if (caller === undefined) throw new Problem('not-signed-in')
  const last = parseLastEventId(request.headers['last-event-id'])
  const place = { caller, access: 'signed-in', path: params as Record<string, string>, organisation } as const
  return Promise.resolve({
    status: 200,
    headers: EVENT_STREAM_HEADERS,
    async stream(response, signal) {
      await deps.streamAccess.during(place, signal, async (whileAllowed, held) => {
        const { source, from } = await openEventSource(deps, { organisation, project }, last, held)
        await sendEvents(response, source, from, whileAllowed)
      })
      response.end()
    },
  })
}
