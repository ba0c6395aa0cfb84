// Deltas of the simulated Graph: whoever applies what they tell, in any disorder that Graph allows itself, ends up with what is there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { START_MS, openGraph, startGraph } from './graph-server.ts'
import type { GraphUnderTest } from './graph-server.ts'
import { ANNA, BEN, CARA, CONTACT, GUEST, LOOP, SALES, STAFF, group, tinyTenant, user } from './tiny-tenant.ts'

const USERS = '/v1.0/users/delta?$select=id,displayName,department'
const GROUPS = '/v1.0/groups/delta?$select=id,displayName,members'
const DAY_MS = 86_400_000

type Item = Record<string, unknown> & { id: string; '@removed'?: { reason: string } }

interface Round {
  readonly items: readonly Item[]
  readonly pages: number
  readonly deltaLink: string
}

/** Follows links to the end of a round. */
async function round(graph: GraphUnderTest, target: string, headers: Record<string, string> = {}): Promise<Round> {
  const items: Item[] = []
  for (let next = target, pages = 1; ; pages++) {
    const { status, body } = await graph.get(next, { headers })
    assert.equal(status, 200)
    items.push(...(body.value as Item[]))
    if (body['@odata.nextLink'] === undefined) return { items, pages, deltaLink: body['@odata.deltaLink'] as string }
    next = body['@odata.nextLink'] as string
  }
}

const small = { prefer: 'odata.maxpagesize=2' }
const names = (items: readonly Item[]) => items.map(({ id }) => id)

test('the first round tells everything, the next ones what changed, and nothing when nothing did', async (t) => {
  const graph = await startGraph(t)
  const first = await round(graph, USERS, small)
  assert.equal(first.items.length, 4)
  assert.equal(first.pages, 2)
  assert.deepEqual(first.items[0], { id: ANNA, displayName: 'Anna O’Neil', department: 'Sales' })
  // A member without a value is left out of the first round.
  assert.deepEqual(first.items[1], { id: BEN, displayName: 'Ben Boss' })
  const second = await round(graph, first.deltaLink)
  assert.deepEqual(second.items, [])
  graph.tenant.putObject(user(ANNA, 'Anna Adams'))
  const third = await round(graph, second.deltaLink)
  assert.deepEqual(third.items, [{ id: ANNA, displayName: 'Anna Adams', department: null }])
  assert.deepEqual((await round(graph, third.deltaLink)).items, [])
  // An old link tells again what came after it.
  assert.deepEqual((await round(graph, first.deltaLink)).items, third.items)
})

test('each collection has its own changes', async (t) => {
  const graph = await startGraph(t)
  const contacts = await round(graph, '/v1.0/contacts/delta')
  assert.deepEqual(names(contacts.items), [CONTACT])
  graph.tenant.putObject(user(ANNA, 'Anna Adams'))
  assert.deepEqual((await round(graph, contacts.deltaLink)).items, [])
})

const removals: [collection: string, id: string, reason: string, why: string][] = [
  ['users', ANNA, 'changed', 'a user can be restored'],
  ['groups', SALES, 'changed', 'a Microsoft 365 group can be restored'],
  ['groups', STAFF, 'deleted', 'a security group can’t'],
  ['contacts', CONTACT, 'deleted', 'a contact can’t'],
]
for (const [collection, id, reason, why] of removals) {
  test(`a removal of ${collection} has the reason "${reason}": ${why}`, async (t) => {
    const graph = await startGraph(t)
    const { deltaLink } = await round(graph, `/v1.0/${collection}/delta?$select=id`)
    graph.tenant.removeObject(id)
    const { items } = await round(graph, deltaLink)
    assert.deepEqual(
      items.filter((each) => each['@removed'] !== undefined),
      [{ id, '@removed': { reason } }],
    )
  })
}

test('members come and go under their group, with their kind', async (t) => {
  const graph = await startGraph(t)
  const first = await round(graph, GROUPS)
  assert.deepEqual(first.items[0], {
    id: SALES,
    displayName: 'Sales team',
    'members@delta': [
      { '@odata.type': '#microsoft.graph.user', id: ANNA },
      { '@odata.type': '#microsoft.graph.user', id: CARA },
      { '@odata.type': '#microsoft.graph.orgContact', id: CONTACT },
    ],
  })
  const sales = graph.tenant.object(SALES)
  assert.ok(sales)
  graph.tenant.putObject({ ...sales, members: [ANNA, LOOP] })
  const { items } = await round(graph, first.deltaLink)
  assert.deepEqual(items, [
    {
      id: SALES,
      displayName: 'Sales team',
      'members@delta': [
        { '@odata.type': '#microsoft.graph.group', id: LOOP },
        { '@odata.type': '#microsoft.graph.user', id: CARA, '@removed': { reason: 'deleted' } },
        { '@odata.type': '#microsoft.graph.orgContact', id: CONTACT, '@removed': { reason: 'deleted' } },
      ],
    },
  ])
})

test('members are told without a selection, or when they are selected', async (t) => {
  const graph = await startGraph(t)
  const hasMembers = async (target: string) =>
    (await round(graph, target)).items.some((item) => 'members@delta' in item)
  assert.equal(await hasMembers('/v1.0/groups/delta'), true)
  assert.equal(await hasMembers('/v1.0/groups/delta?$select=id,members'), true)
  assert.equal(await hasMembers('/v1.0/groups/delta?$select=id,displayName'), false)
  const { deltaLink } = await round(graph, '/v1.0/groups/delta?$select=id,displayName')
  const sales = graph.tenant.object(SALES)
  assert.ok(sales)
  graph.tenant.putObject({ ...sales, members: [] })
  assert.deepEqual((await round(graph, deltaLink)).items, [], 'nor is a group told for its members’ sake')
})

test('a group of many members is told over several pages, each member once', async (t) => {
  const people = Array.from({ length: 2_500 }, (_, index) =>
    user(`eeeeeeee-0000-4000-8000-${String(index).padStart(12, '0')}`, `P${index}`),
  )
  const crowd = group(
    'bbbbbbbb-0000-4000-8000-0000000000ff',
    'Crowd',
    people.map(({ id }) => id),
  )
  const data = tinyTenant()
  const graph = await startGraph(t, { data: { ...data, objects: [...data.objects, ...people, crowd] } })
  const { items, pages, deltaLink } = await round(graph, GROUPS)
  const parts = items.filter(({ id }) => id === crowd.id)
  assert.ok(pages >= 3 && parts.length >= 3, `${parts.length} parts on ${pages} pages`)
  const told = parts.flatMap((part) => (part['members@delta'] as { id: string }[]).map(({ id }) => id))
  assert.deepEqual(told, crowd.members)
  graph.tenant.putObject({ ...crowd, members: [] })
  const gone = (await round(graph, deltaLink)).items
  assert.ok(gone.length >= 3)
  assert.equal(gone.flatMap((part) => part['members@delta']).length, 2_500)
})

test('a crowd whose members change between its pages loses nobody', async (t) => {
  const people = Array.from({ length: 1_500 }, (_, index) =>
    user(`eeeeeeee-0000-4000-8000-${String(index).padStart(12, '0')}`, `P${index}`),
  )
  const crowd = group(
    'bbbbbbbb-0000-4000-8000-0000000000ff',
    'Crowd',
    people.map(({ id }) => id),
  )
  const graph = await startGraph(t, { data: { ...tinyTenant(), objects: [...people, crowd] } })
  const first = await graph.get(GROUPS)
  graph.tenant.putObject({ ...crowd, members: crowd.members.slice(1) })
  const client = new Client()
  client.take(first.body.value)
  const rest = await round(graph, first.body['@odata.nextLink'])
  client.take(rest.items)
  client.take((await round(graph, rest.deltaLink)).items)
  assert.deepEqual(client.membersOf(crowd.id), new Set(crowd.members.slice(1)))
})

test('a delta from now on tells nothing of what was', async (t) => {
  const graph = await startGraph(t)
  const { items, deltaLink } = await round(graph, `${USERS}&$deltatoken=latest`)
  assert.deepEqual(items, [])
  graph.tenant.putObject(user(ANNA, 'Anna Adams'))
  assert.deepEqual(names((await round(graph, deltaLink)).items), [ANNA])
})

test('a delta may be of single objects', async (t) => {
  const graph = await startGraph(t)
  const { items, deltaLink } = await round(graph, `/v1.0/users/delta?$filter=id eq '${BEN}' or id eq '${CARA}'`)
  assert.deepEqual(names(items), [BEN, CARA])
  graph.tenant.putObject(user(ANNA, 'Anna Adams'))
  graph.tenant.putObject(user(BEN, 'Ben Brown'))
  assert.deepEqual(names((await round(graph, deltaLink)).items), [BEN])
})

test('what is not yet seen is told once it is, and nothing that came after it is lost', async (t) => {
  const graph = await startGraph(t)
  const late = 'eeeeeeee-0000-4000-8000-000000000001'
  const { deltaLink } = await round(graph, USERS)
  graph.tenant.putObject(user(late, 'Nina New'), START_MS + 60_000)
  graph.tenant.putObject(user(BEN, 'Ben Brown'))
  const early = await round(graph, deltaLink)
  assert.equal(names(early.items).includes(late), false)
  assert.equal(names((await round(graph, USERS)).items).includes(late), false)
  graph.services.clock.advance(60_000)
  assert.deepEqual(new Set(names((await round(graph, early.deltaLink)).items)), new Set([late, BEN]))
})

const gone: [why: string, lose: (graph: GraphUnderTest) => void][] = [
  ['its state was dropped', ({ tenant }) => tenant.resetDeltas()],
  ['it is older than seven days', ({ services }) => services.clock.advance(7 * DAY_MS + 1)],
]
for (const [why, lose] of gone) {
  test(`a link is answered with 410 and where to start anew: ${why}`, async (t) => {
    const graph = await startGraph(t)
    const { deltaLink } = await round(graph, USERS)
    const { body: page } = await graph.get(USERS, { headers: small })
    lose(graph)
    for (const link of [deltaLink, page['@odata.nextLink'] as string]) {
      const { status, headers, body } = await graph.get(link)
      assert.deepEqual([status, body.error.code], [410, 'syncStateNotFound'])
      const again = await round(graph, headers.get('location') ?? '')
      assert.equal(again.items.length, 4)
      assert.deepEqual(again.items[0], { id: ANNA, displayName: 'Anna O’Neil', department: 'Sales' })
    }
  })
}

test('links are good after a restart, and to no tenant with another past', async (t) => {
  const graph = await startGraph(t)
  graph.tenant.putObject(user(BEN, 'Ben Brown'))
  const { body: page } = await graph.get(USERS, { headers: small })
  const list = await graph.get('/v1.0/users?$top=2')
  const { deltaLink } = await round(graph, USERS)
  graph.tenant.removeObject(ANNA)

  const kept = new SimulatedTenant(graph.tenant.toData(), graph.tenant.toMotion())
  const restarted = await startGraph(t, { tenant: kept })
  assert.deepEqual(names((await round(restarted, deltaLink)).items), [ANNA])
  // Positions are others now: a delta begins anew rather than leave something out, and so do lists go on where they were.
  assert.deepEqual(names((await round(restarted, page['@odata.nextLink'])).items), [BEN, CARA, GUEST])
  assert.deepEqual(names((await restarted.get(list.body['@odata.nextLink'])).body.value), [CARA, GUEST])

  const other = await startGraph(t)
  assert.equal((await other.get(deltaLink)).status, 410)
  other.tenant.putObject(user(CARA, 'Cara Clark'))
  assert.equal((await other.get(deltaLink)).status, 410)
})

test('a list whose place is lost in a restart says so', async (t) => {
  const graph = await startGraph(t)
  const sorted = await graph.get('/v1.0/users?$top=2&$orderby=displayName')
  const list = await graph.get('/v1.0/users?$top=2')
  const restarted = await startGraph(t)
  restarted.tenant.removeObject(BEN)
  for (const { body } of [sorted, list]) {
    const { status, body: error } = await restarted.get(body['@odata.nextLink'])
    assert.deepEqual([status, error.error.code], [400, 'Directory_ExpiredPageToken'])
  }
})

test('everything may be told twice, again on the next page, and in any order', async (t) => {
  const graph = await startGraph(t)
  graph.state.deltaDisorder = { duplicates: true, replays: false, shuffled: false }
  assert.deepEqual(names((await round(graph, USERS)).items).length, 8)
  graph.state.deltaDisorder = { duplicates: false, replays: true, shuffled: false }
  const replayed = names((await round(graph, USERS, small)).items)
  assert.deepEqual(replayed.slice(0, 4), [ANNA, BEN, ANNA, BEN])
  graph.state.deltaDisorder = { duplicates: false, replays: false, shuffled: true }
  const shuffled = names((await round(graph, USERS)).items)
  assert.equal(new Set(shuffled).size, 4)
  assert.notDeepEqual(shuffled, replayed.toSorted())
})

/** What a careful client keeps: the last word on each object wins, members are merged. */
class Client {
  readonly objects = new Map<string, Record<string, unknown>>()
  readonly #members = new Map<string, Set<string>>()

  take(items: readonly Item[]): void {
    for (const { id, '@removed': removed, 'members@delta': members, ...rest } of items) {
      if (removed !== undefined) {
        this.objects.delete(id)
        this.#members.delete(id)
        continue
      }
      const kept = { ...this.objects.get(id), ...rest }
      this.objects.set(id, Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== null)))
      const set = this.#members.get(id) ?? new Set()
      for (const member of (members ?? []) as Item[]) {
        if (member['@removed'] === undefined) set.add(member.id)
        else set.delete(member.id)
      }
      this.#members.set(id, set)
    }
  }

  membersOf(id: string): Set<string> {
    return this.#members.get(id) ?? new Set()
  }

  state() {
    return new Map([...this.objects].map(([id, object]) => [id, { ...object, members: this.membersOf(id) }]))
  }
}

const POOL = Array.from({ length: 6 }, (_, index) => `eeeeeeee-0000-4000-8000-${String(index).padStart(12, '0')}`)
const CIRCLES = Array.from({ length: 3 }, (_, index) => `ffffffff-0000-4000-8000-${String(index).padStart(12, '0')}`)

type Step =
  | { readonly kind: 'user'; readonly id: string; readonly department: string | null; readonly lateMs: number }
  | { readonly kind: 'group'; readonly id: string; readonly members: readonly string[]; readonly lateMs: number }
  | { readonly kind: 'remove'; readonly id: string }
  | { readonly kind: 'page'; readonly of: 'users' | 'groups'; readonly size: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'disorder'; readonly duplicates: boolean; readonly replays: boolean; readonly shuffled: boolean }

const lateMs = fc.constantFrom(0, 0, 30_000)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('user' as const),
    id: fc.constantFrom(...POOL),
    department: fc.constantFrom('Sales', 'Legal', null),
    lateMs,
  }),
  fc.record({
    kind: fc.constant('group' as const),
    id: fc.constantFrom(...CIRCLES),
    members: fc.uniqueArray(fc.constantFrom(...POOL, ...CIRCLES), { maxLength: 5 }),
    lateMs,
  }),
  fc.record({ kind: fc.constant('remove' as const), id: fc.constantFrom(...POOL, ...CIRCLES) }),
  fc.record({
    kind: fc.constant('page' as const),
    of: fc.constantFrom('users', 'groups'),
    size: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(10_000, 30_000) }),
  fc.record({
    kind: fc.constant('disorder' as const),
    duplicates: fc.boolean(),
    replays: fc.boolean(),
    shuffled: fc.boolean(),
  }),
)

/** A client of one collection that fetches a page now and then. */
class Follower {
  readonly client = new Client()
  readonly #graph: GraphUnderTest
  #next: string

  constructor(graph: GraphUnderTest, target: string) {
    this.#graph = graph
    this.#next = target
  }

  /** @returns whether the round is over */
  async page(size: number): Promise<boolean> {
    const { status, body } = await this.#graph.get(this.#next, { headers: { prefer: `odata.maxpagesize=${size}` } })
    assert.equal(status, 200)
    this.client.take(body.value)
    const link = body['@odata.nextLink'] as string | undefined
    this.#next = link ?? (body['@odata.deltaLink'] as string)
    return link === undefined
  }

  /** To the end of this round and through another. */
  async catchUp(): Promise<void> {
    while (!(await this.page(50)));
    while (!(await this.page(50)));
  }
}

async function apply(
  graph: GraphUnderTest,
  followers: { users: Follower; groups: Follower },
  made: Step,
): Promise<void> {
  const { tenant, services } = graph
  const seenAt = (late: number) => (late === 0 ? 0 : services.clock.nowMs() + late)
  switch (made.kind) {
    case 'user': {
      const isNew = tenant.object(made.id) === undefined
      const changed = user(made.id, 'Somebody', made.department === null ? {} : { department: made.department })
      return tenant.putObject(changed, isNew ? seenAt(made.lateMs) : 0)
    }
    case 'group': {
      const before = tenant.object(made.id)
      const members = made.members.filter((id) => tenant.object(id) !== undefined)
      if (before !== undefined) return tenant.putObject({ ...before, members })
      return tenant.putObject(group(made.id, 'Circle', members), seenAt(made.lateMs))
    }
    case 'remove':
      return tenant.removeObject(made.id)
    case 'page':
      await followers[made.of].page(made.size)
      return
    case 'wait':
      return services.clock.advance(made.ms)
    case 'disorder':
      graph.state.deltaDisorder = made
      return
    default:
      return made satisfies never
  }
}

async function followToTheEnd(graph: GraphUnderTest, steps: readonly Step[]): Promise<void> {
  const followers = { users: new Follower(graph, USERS), groups: new Follower(graph, GROUPS) }
  for (const made of steps) await apply(graph, followers, made)
  graph.services.clock.advance(60_000)
  for (const follower of Object.values(followers)) await follower.catchUp()
  graph.state.deltaDisorder = { duplicates: false, replays: false, shuffled: false }
  for (const [follower, target] of [
    [followers.users, USERS],
    [followers.groups, GROUPS],
  ] as const) {
    const fresh = new Follower(graph, target)
    await fresh.page(500)
    assert.deepEqual(follower.client.state(), fresh.client.state())
  }
  assert.deepEqual([...followers.users.client.objects.keys()].toSorted(), idsOf(graph, 'user'))
  assert.deepEqual([...followers.groups.client.objects.keys()].toSorted(), idsOf(graph, 'group'))
  for (const id of idsOf(graph, 'group')) {
    assert.deepEqual(followers.groups.client.membersOf(id), new Set(graph.tenant.object(id)?.members))
  }
}

test('whoever applies a delta at any point, in any disorder, has what a full read has', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const graph = await openGraph()
      try {
        await followToTheEnd(graph, steps)
      } finally {
        graph.close()
      }
    }),
    { numRuns: 60 },
  )
})

function idsOf({ tenant }: GraphUnderTest, kind: 'user' | 'group'): string[] {
  return [...tenant.objects(kind)].map(({ id }) => id).toSorted()
}
