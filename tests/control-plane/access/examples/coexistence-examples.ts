// The switches of coexistence and free/busy. Each has a project of its own: a switch that is set has a history.
import { ANY, done } from './world.ts'
import type { Example, Examples, World } from './world.ts'

const fresh = async ({ api, organisation }: World) => ({ project: await api.project(organisation, 'Coexisting') })
const ON = { state: 'on', relayHosts: { out: 'out.relay.example', in: 'in.relay.example' } }

async function switchedOn(world: World): Promise<{ project: string }> {
  const params = await fresh(world)
  await done(world, 'PUT', `/projects/${params.project}/coexistence`, ON, ANY)
  return params
}

const reading = async (world: World): Promise<Example> => ({ params: await fresh(world) })

export const COEXISTENCE_EXAMPLES: Examples = {
  readCoexistence: reading,
  setCoexistence: async (world) => ({ params: await fresh(world), body: ON, headers: ANY }),
  planCoexistence: async (world) => ({ params: await fresh(world), body: {} }),
  listTenantChanges: reading,
  stopCoexistence: async (world) => ({ params: await switchedOn(world), body: { reason: 'Mail bounces' } }),
  readFreeBusy: reading,
  setFreeBusy: async (world) => ({ params: await fresh(world), body: { state: 'on' }, headers: ANY }),
}
