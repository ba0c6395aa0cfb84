// /healthz, /readyz and /status beside the API: for balancers and for people, without internals. (control-plane.md §1, §2)
import { z } from 'zod'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import type { HealthCheck } from './health.ts'

const componentState = z.enum(['up', 'down'])

export function monitoringRoutes(health: HealthCheck): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '//healthz',
      id: 'isAlive',
      summary: 'Whether the process is alive',
      tag: 'monitoring',
      access: 'public',
      responses: { 200: { description: 'It is.', schema: z.strictObject({ status: z.literal('alive') }) } },
      handler: () => Promise.resolve({ status: 200, body: { status: 'alive' } }),
    }),
    route({
      method: 'get',
      path: '//readyz',
      id: 'isReady',
      summary: 'Whether the process may take work',
      tag: 'monitoring',
      access: 'public',
      responses: {
        200: { description: 'It may.', schema: z.strictObject({ ready: z.literal(true) }) },
        503: { description: 'It may not now.', schema: z.strictObject({ ready: z.literal(false) }) },
      },
      handler: async () => {
        const { isReady } = await health.check()
        return { status: isReady ? 200 : 503, body: { ready: isReady } }
      },
    }),
    route({
      method: 'get',
      path: '//status',
      id: 'readStatus',
      summary: 'State of the components',
      tag: 'monitoring',
      access: 'public',
      responses: {
        200: {
          description: 'Which components are up.',
          schema: z.strictObject({
            status: z.enum(['operational', 'degraded']),
            components: z.array(z.strictObject({ name: z.string(), state: componentState })),
          }),
        },
      },
      handler: async () => {
        const { components } = await health.check()
        const all = [
          { name: 'api', state: 'up' },
          ...Object.entries(components).map(([name, state]) => ({ name, state })),
        ]
        const status = all.every(({ state }) => state === 'up') ? 'operational' : 'degraded'
        return { status: 200, body: { status, components: all } }
      },
    }),
  ]
}
