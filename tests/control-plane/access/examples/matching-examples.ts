// Matchings, pairs, collections, the matching report. What changes pairs has a project of its own each time.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
import { addTenant, discover, inSource, inTarget } from '../../matching/matching-scene.ts'
import { ANY, done, nothing } from './world.ts'
import type { Examples, World } from './world.ts'

const people = ['ann', 'bob']

async function discovered({ api, organisation }: World) {
  const project = await api.project(organisation, 'Matched')
  const place = { organisation, project }
  const { db } = api.database
  const source = await addTenant(db, place, 'source')
  const target = await addTenant(db, place, 'target')
  const found = <T>(tenant: typeof source, told: readonly T[], as: (one: T) => ReturnType<typeof inSource>) =>
    withScope(db, { organisation }, (tx) => discover(tx, place, tenant, told.map(as)))
  const sources = await found(source, people, inSource)
  const targets = await found(target, people, inTarget)
  return { project, source: sources['ann-s'] ?? '', target: targets['ann-t'] ?? '' }
}

async function paired(world: World): Promise<{ project: string; pair: string }> {
  const { project, source, target } = await discovered(world)
  const { id } = await done(world, 'POST', `/projects/${project}/pairs`, { source, target })
  return { project, pair: id as string }
}

/** One that is complete, as its job leaves it. */
async function matched(world: World): Promise<{ project: string; matching: string }> {
  const { project } = await discovered(world)
  const { matching } = await done(world, 'POST', `/projects/${project}/matchings`, {})
  const { api, organisation } = world
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`update matching set completed_at = now() where organisation_id = ${organisation} and id = ${matching}`.execute(
      tx,
    ),
  )
  return { project, matching: matching as string }
}

async function collected(world: World): Promise<{ project: string; collection: string }> {
  const project = await world.api.project(world.organisation, 'Collected')
  const { id } = await done(world, 'POST', `/projects/${project}/collections`, { name: newId('request') })
  return { project, collection: id as string }
}

const inFresh = async ({ api, organisation }: World) => ({ project: await api.project(organisation, 'Fresh') })

const excluded = async (world: World): Promise<{ project: string; account: string }> => {
  const { project, source } = await discovered(world)
  await done(world, 'PUT', `/projects/${project}/match-exclusions/${source}`)
  return { project, account: source }
}

export const MATCHING_EXAMPLES: Examples = {
  startMatching: async (world) => ({ params: await inFresh(world), body: {} }),
  listMatchings: nothing,
  getMatching: async (world) => ({ params: await matched(world) }),
  listMatchResults: async (world) => ({ params: await matched(world) }),
  readMatchingReport: async (world) => ({ params: await matched(world), audits: ['done'] }),
  listMatchExclusions: nothing,
  excludeFromMatching: async (world) => {
    const { project, source } = await discovered(world)
    return { params: { project, account: source } }
  },
  includeInMatching: async (world) => ({ params: await excluded(world) }),
  listPairs: nothing,
  createPair: async (world) => {
    const { project, source, target } = await discovered(world)
    return { params: { project }, body: { source, target } }
  },
  getPair: async (world) => ({ params: await paired(world) }),
  changePair: async (world) => ({ params: await paired(world), headers: ANY, body: { holds: 'target' } }),
  confirmPair: async (world) => ({ params: await paired(world) }),
  deletePair: async (world) => ({ params: await paired(world), headers: ANY }),
  confirmPairs: async (world) => ({ params: await inFresh(world), body: {} }),
  importPairs: async (world) => {
    const { project } = await discovered(world)
    return {
      params: { project },
      headers: { 'Content-Type': 'text/csv' },
      body: 'source,target\nann@src.example,ann@tgt.example\n',
    }
  },
  exportPairs: () => ({ audits: ['done'] }),
  listCollections: nothing,
  createCollection: async (world) => ({ params: await inFresh(world), body: { name: 'Wave 1' } }),
  getCollection: async (world) => ({ params: await collected(world) }),
  renameCollection: async (world) => ({ params: await collected(world), body: { name: 'Wave 2' } }),
  deleteCollection: async (world) => ({ params: await collected(world) }),
  listCollectionMembers: async (world) => ({ params: await collected(world) }),
  changeCollectionMembers: async (world) => ({ params: await collected(world), body: { add: [], remove: [] } }),
}
