// Relays go on being told the table of before while somebody who left it is still in our groups: what holds it, what lets it go, and that whatever happens
// meanwhile relays see whole revisions only, and never an older one. (coexistence.md §1.4, RC-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { FIRST_SETTING } from '../../../control-plane/coexistence/coexistence.ts'
import type { CoexistenceSetting } from '../../../control-plane/coexistence/coexistence.ts'
import { lockSwitch, storeSwitch } from '../../../control-plane/coexistence/switch-store.ts'
import { rowOf, rowsOf } from '../../../control-plane/db/database.ts'
import type { Db } from '../../../control-plane/db/database.ts'
import { mappingRoutesOf } from '../../../control-plane/mapping/all-routes.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { isTableHeld, releaseTable } from '../../../control-plane/mapping/held-table-store.ts'
import { raiseHorizon } from '../../../control-plane/mapping/revision-store.ts'
import { STREAM_TIMING } from '../../../control-plane/relays/relay-stream.ts'
import type { TableSource } from '../../../control-plane/relays/stream-snapshots.ts'
import { createTableSource } from '../../../control-plane/relays/table-source.ts'
import { compileTable } from '../../../rewrite-rules/index.ts'
import { isLong } from '../../harness/thorough.ts'
import { eventually } from '../../harness/wait.ts'
import { withFleet } from './fleet.ts'
import type { Fleet } from './fleet.ts'

const log = createLog({ write: () => {}, level: 'error', now: Date.now })

interface Entry {
  readonly mailbox: string
  readonly aliases: readonly string[]
}

/** A fleet whose mapping is changed over the API, and whose process of streams can start anew. */
interface Scene extends Fleet {
  readonly restart: () => void
  /** The newest table of the process that serves streams, as look-ups have it. */
  readonly current: () => ReturnType<CompiledTables['current']>
  /** @returns the revision */
  readonly change: (upsert: Readonly<Record<string, Entry>>, remove?: readonly string[]) => Promise<number>
  readonly release: (upTo?: number) => Promise<boolean>
  /** Revision that is held; undefined: none. */
  readonly held: () => Promise<number | undefined>
  readonly setSwitch: (setting: Partial<CoexistenceSetting>) => Promise<void>
  readonly digest: () => Promise<string>
}

const at = (user: string, domain: string): string => `${user}@${domain}.example`
/** With his mailbox where he is not presented: in our groups while the switch is on. */
const person = (user: string, ...aliases: string[]): Entry => ({ mailbox: at(user, 'contoso'), aliases })

function withScene(t: Parameters<typeof withFleet>[0], work: (it: Scene) => Promise<void>): Promise<void> {
  const made: { db?: Db; tables?: CompiledTables; source?: TableSource } = {}
  const start = (): void => {
    if (made.db === undefined) return
    made.tables = new CompiledTables({ db: made.db, log })
    made.source = createTableSource(made.db, made.tables)
  }
  const source = (): TableSource => made.source ?? assert.fail('nothing has started')
  const tables: TableSource = {
    told: (...about) => source().told(...about),
    delta: (...about) => source().delta(...about),
  }
  const routes = (_sealer: unknown, db: Db) => {
    made.db = db
    start()
    return mappingRoutesOf({ db, tables: made.tables ?? assert.fail('it was just made') })
  }
  return withFleet(
    t,
    { streams: { tables, timing: { ...STREAM_TIMING, betweenPushesMs: 0 } }, routes },
    async (it: Fleet) => {
      await it.tenant('contoso', ['contoso.example'])
      await it.tenant('fabrikam', ['fabrikam.example'])
      const headers = { 'If-Match': '*' }
      await work({
        ...it,
        restart: start,
        current: () => (made.tables ?? assert.fail('nothing has started')).current(it.organisation, it.project),
        async change(people, remove = []) {
          const upsert = Object.entries(people).map(([user, { mailbox, aliases }]) => {
            const presented = at(user, 'fabrikam')
            const known = [...new Set([presented, mailbox, ...aliases.map((each) => at(each, 'contoso'))])]
            return { known, presented, mailbox }
          })
          const body = {
            upsert,
            remove: remove.map((user) => at(user, 'fabrikam')),
            ...(remove.length > 0 ? { confirm: remove.length } : {}),
          }
          const reply = await it.api.request('POST', `${it.path}/mappings/bulk`, body, { key: it.key, headers })
          assert.equal(reply.status, 200, JSON.stringify(reply.body))
          return Number(reply.body.revision)
        },
        release: (upTo) => it.inOrganisation((tx) => releaseTable(tx, it, upTo)),
        async held() {
          const row = await it.inOrganisation((tx) =>
            rowOf<{ held: number | null }>(tx, sql`select held_revision as held from project where id = ${it.project}`),
          )
          return row?.held ?? undefined
        },
        setSwitch: (setting) =>
          it.inOrganisation(async (tx) => {
            const row = await lockSwitch(tx, it)
            await storeSwitch(tx, it, { ...row, setting: { ...FIRST_SETTING, ...setting }, state: 'on' }, new Date())
          }),
        async digest() {
          const { body } = await it.api.request('GET', `${it.path}/mappings/export/json`, undefined, { key: it.key })
          return compileTable(body).digest
        },
      })
    },
  )
}

test('somebody who leaves is known to relays until the table is let go; then they get what changed, all of it, as a delta', (t) =>
  withScene(t, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await it.setSwitch({ state: 'on' })
    const before = await it.change({ a: person('a'), b: person('b') })
    await relay.untilRevision(before)
    const left = await it.change({}, ['a'])
    assert.equal(await it.held(), before)
    const joined = await it.change({ c: person('c') })
    assert.equal(await it.held(), before, 'what comes after waits behind it')
    const { snapshot } = await it.versions()
    const told = await relay.untilVersion(snapshot)
    assert.deepEqual([told.manifest.table.revision, told.table.entryCount], [before, 2])

    const shown = await eventually('its report', async () => {
      const { body } = await it.api.request('GET', `${it.path}/relays`, undefined, { key: it.key })
      return body.items[0].isApplied === true ? body.items[0] : undefined
    })
    assert.deepEqual([shown.revision, shown.lagRevisions], [before, 0], 'it has what it is told')
    assert.equal(await it.release(left), false, 'nobody leaves after that')
    const now = await relay.untilRevision(joined)
    assert.deepEqual(
      [now.manifest.parts.map(({ name }) => name), now.table.digest],
      [['table-delta'], await it.digest()],
    )
    const jobs = await it.inOrganisation((tx) =>
      rowsOf<{ kind: string }>(tx, sql`select kind from outbox where kind = 'coexistence.reconcile'`),
    )
    assert.equal(jobs.length, 1, 'who changes the groups was asked to at once, and once')
  }))

test('what was held is let go up to the revision that the groups follow; who leaves after that holds the rest', (t) =>
  withScene(t, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await it.setSwitch({ state: 'on' })
    await it.change({ a: person('a'), b: person('b') })
    const first = await it.change({}, ['a'])
    const second = await it.change({}, ['b'])
    assert.equal(await it.release(first), true)
    assert.equal(await it.held(), first)
    assert.equal((await relay.untilRevision(first)).table.entryCount, 1)
    assert.equal(await it.release(first), true, 'again: nothing new')
    assert.equal(await it.release(second), false)
    assert.equal((await relay.untilRevision(second)).table.entryCount, 0)
    assert.equal(await it.release(second), false, 'again: nothing is held')
  }))

const CASES: readonly {
  readonly what: string
  readonly isHeld: boolean
  readonly setting?: Partial<CoexistenceSetting>
  readonly change: (it: Scene) => Promise<unknown>
}[] = [
  { what: 'a person who leaves', isHeld: true, change: (it) => it.change({}, ['a']) },
  {
    what: 'a mailbox that moves to where its owner is presented',
    isHeld: true,
    change: (it) => it.change({ a: { mailbox: at('a', 'fabrikam'), aliases: [] } }),
  },
  {
    what: 'another mailbox in the same tenant: another member',
    isHeld: true,
    change: (it) => it.change({ a: { mailbox: at('other', 'contoso'), aliases: [] } }),
  },
  { what: 'an address more: the members stay', isHeld: false, change: (it) => it.change({ a: person('a', 'alias') }) },
  {
    what: 'a mailbox in other letters: the members stay',
    isHeld: false,
    change: (it) => it.change({ a: { mailbox: 'A@contoso.example', aliases: [] } }),
  },
  { what: 'a person who comes', isHeld: false, change: (it) => it.change({ b: person('b') }) },
  { what: 'a change that changes nothing', isHeld: false, change: (it) => it.change({ a: person('a') }) },
  {
    what: 'somebody who was presented where his mailbox is: in no group',
    isHeld: false,
    change: (it) => it.change({}, ['local']),
  },
  {
    what: 'somebody no pair has written, where groups follow pairs',
    isHeld: false,
    setting: { scope: 'pairs' },
    change: (it) => it.change({}, ['a']),
  },
  {
    what: 'anybody while the switch is off',
    isHeld: false,
    setting: { state: 'off' },
    change: (it) => it.change({}, ['a']),
  },
  {
    what: 'the table of an earlier revision, without somebody who came since',
    isHeld: true,
    async change(it) {
      const first = await it.change({ b: person('b') })
      const headers = { 'If-Match': '*' }
      const path = `${it.path}/mapping-revisions/${first - 1}/restore`
      const { status, body } = await it.api.request('POST', path, {}, { key: it.key, headers })
      assert.equal(status, 200, JSON.stringify(body))
    },
  },
  {
    what: 'a rule: no group follows it',
    isHeld: false,
    async change(it) {
      const body = { address: 'x@contoso.example' }
      const { status, body: answer } = await it.api.request('POST', `${it.path}/mappings/exceptions`, body, {
        key: it.key,
        headers: { 'If-Match': '*' },
      })
      assert.equal(status, 201, JSON.stringify(answer))
    },
  },
]

test('the table is held for who may be in our groups and nobody else', async (t) =>
  withScene(t, async (it) => {
    const relay = await it.relay()
    for (const { what, isHeld, setting = {}, change } of CASES) {
      await it.setSwitch({ state: 'on', ...setting })
      await it.release()
      await it.change({ a: person('a'), local: { mailbox: at('local', 'fabrikam'), aliases: [] } })
      await it.release()
      await change(it)
      assert.equal(await it.inOrganisation((tx) => isTableHeld(tx, it)), isHeld, what)
    }
    await it.setSwitch({ state: 'on' })
    await it.release()
    await it.change({ a: person('a') })
    await it.release()
    const path = `${it.path}/relays/${relay.answer.relay}/revoke`
    assert.equal((await it.api.request('POST', path, undefined, { key: it.key })).status, 200)
    await it.change({}, ['a'])
    assert.equal(await it.held(), undefined, 'without relays nobody is told anything')
  }))

type Step =
  | { readonly kind: 'change'; readonly user: number; readonly to: 'gone' | 'contoso' | 'fabrikam' | 'aliased' }
  | { readonly kind: 'release'; readonly back: number | undefined }
  | { readonly kind: 'restart' | 'look' }

const USERS = 5
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      user: fc.nat(USERS - 1),
      to: fc.constantFrom('gone' as const, 'contoso' as const, 'fabrikam' as const, 'aliased' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('release' as const), back: fc.option(fc.nat(3), { nil: undefined }) }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'look' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
)

/** The mailbox by user, of those in the table. */
type Table = ReadonlyMap<string, Entry>

/** In the groups at the one table and not, or as somebody else, at the other. */
const somebodyLeft = (before: Table, after: Table): boolean =>
  [...before].some(
    ([user, { mailbox }]) => mailbox.endsWith('@contoso.example') && after.get(user)?.mailbox !== mailbox,
  )

test(
  'RC-3: under changes, holds, releases and restarts every manifest is of one revision, none is older than the one before, and at the end relays have it all',
  { timeout: 120_000 },
  (t) =>
    withScene(t, async (it) => {
      const relays = await Promise.all([it.relay(), it.relay()])
      await Promise.all(relays.map((relay) => relay.open()))
      await it.setSwitch({ state: 'on' })
      const tables: Table[] = [new Map()]
      const digests = [await it.digest()]
      let held: number | undefined
      let checked = 0
      const run = fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 60 }), async (steps) => {
        for (const each of steps) {
          const newest = tables.length - 1
          const table = tables[newest] ?? assert.fail()
          if (each.kind === 'change') {
            const user = `u${each.user}`
            const after = new Map(table)
            if (each.to === 'gone') {
              if (!after.delete(user)) continue
              await it.change({}, [user])
            } else {
              const mailbox = at(user, each.to === 'fabrikam' ? 'fabrikam' : 'contoso')
              const aliases = each.to === 'aliased' ? [`alias.${user}`] : []
              after.set(user, { mailbox, aliases })
              const revision = await it.change({ [user]: { mailbox, aliases } })
              if (revision === newest) continue
            }
            tables.push(after)
            digests.push(await it.digest())
            if (held === undefined && somebodyLeft(table, after)) held = newest
          } else if (each.kind === 'release') {
            const upTo = each.back === undefined ? undefined : Math.max(0, newest - each.back)
            await it.release(upTo)
            if (held !== undefined && (upTo === undefined || upTo > held))
              held = upTo !== undefined && somebodyLeft(tables[upTo] ?? assert.fail(), table) ? upTo : undefined
          } else if (each.kind === 'restart') it.restart()
          else assert.equal((await it.current()).digest, digests[newest], 'look-ups have the newest all the while')
          assert.equal(await it.held(), held, JSON.stringify(each))
          // Relays that keep up see it all; those that don't, what is there when they come to it.
          if (checked++ % 3 === 0) await relays[0]?.untilVersion((await it.versions()).snapshot)
        }
        const { snapshot, mapping } = await it.versions()
        for (const relay of relays) {
          const { manifest, table } = await relay.untilVersion(snapshot)
          const revision = held ?? mapping
          assert.deepEqual([manifest.table.revision, table.digest], [revision, digests[revision]])
        }
      })
      await fc.assert(run, { numRuns: isLong ? 12 : 2, endOnFailure: true })
      await it.release()
      const { snapshot, mapping } = await it.versions()
      assert.equal(mapping, tables.length - 1)
      for (const relay of relays) {
        const last = await relay.untilVersion(snapshot)
        assert.deepEqual([last.table.version, last.table.digest], [mapping, digests[mapping]])
        let revision = 0
        for (const { table, version } of relay.manifests) {
          assert.ok(table.revision >= revision, `${table.revision} after ${revision}`)
          assert.equal(table.digest, digests[table.revision], `snapshot ${version}`)
          revision = table.revision
        }
        assert.ok(relay.manifests.length > 5, `${relay.manifests.length} manifests`)
      }
    }),
)

test('a process that starts while a revision is held compiles that one from the history, and the newest beside it', (t) =>
  withScene(t, async (it) => {
    await it.relay()
    await it.setSwitch({ state: 'on' })
    await it.change({ a: person('a', 'one'), b: person('b') })
    const before = await it.change({ a: person('a', 'two') })
    const digest = await it.digest()
    await it.change({ b: { mailbox: at('b', 'fabrikam'), aliases: [] } }, ['a'])
    await it.change({ a: person('a', 'three') })
    assert.equal(await it.held(), before)
    it.restart()
    const relay = await it.relay()
    await relay.open()
    const told = await relay.untilVersion((await it.versions()).snapshot)
    assert.deepEqual([told.manifest.table.revision, told.table.digest], [before, digest])
    assert.equal((await it.current()).digest, await it.digest())
    await it.release()
    assert.equal((await relay.untilRevision((await it.versions()).mapping)).table.digest, await it.digest())
    await eventually('its report', async () => {
      const { body } = await it.api.request('GET', `${it.path}/relays/${relay.answer.relay}`, undefined, {
        key: it.key,
      })
      return body.isApplied === true ? true : undefined
    })
  }))

test('PR-6: where the history of what is held has to go, relays get the newest table at once', (t) =>
  withScene(t, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await it.setSwitch({ state: 'on' })
    const before = await it.change({ a: person('a'), b: person('b') })
    await relay.untilRevision(before)
    const left = await it.change({}, ['a'])
    const erase = (horizon: number) => it.inOrganisation((tx) => raiseHorizon(tx, it, horizon))
    await erase(before)
    assert.equal(await it.held(), before, 'that one is there still')
    await erase(left)
    assert.equal(await it.held(), undefined)
    assert.equal((await relay.untilRevision(left)).table.digest, await it.digest())
  }))
