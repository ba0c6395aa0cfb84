// What a sandbox keeps: the same after a restart, after a kill at any moment, and with files that a kill has cut.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import fc from 'fast-check'
import { changeSome } from '../../../sandbox/tenants/change-some.ts'
import { CONTOSO } from '../../../sandbox/tenants/constants.ts'
import { ExchangeRoles } from '../../../sandbox/tenants/exchange-roles.ts'
import { generateTenant } from '../../../sandbox/tenants/generate.ts'
import { KeptFile } from '../../../sandbox/tenants/kept-file.ts'
import { stateIn } from '../../../sandbox/tenants/sandbox-state.ts'
import { openTenant } from '../../../sandbox/tenants/save.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import type { Saving } from './saving-process.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import type { TenantOperation } from '../../../sandbox/tenants/tenant.ts'

const { contoso } = seedTenants(1)

function aDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-sandbox-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const open = (directory: string) => openTenant(directory, CONTOSO, () => contoso)
const everything = (tenant: SimulatedTenant) => JSON.stringify([tenant.toData(), tenant.toMotion()])

test('a tenant comes back as it was, change numbers and delayed visibility included', async (t) => {
  const directory = aDirectory(t)
  const first = await open(directory)
  changeSome(first.tenant, 30)
  const [user] = first.tenant.objects('user')
  assert.ok(user !== undefined)
  first.tenant.putObject({ ...user, id: 'late', manager: user.id }, 99_000)
  first.tenant.resetDeltas()
  first.tenant.data = { ...first.tenant.data, reportsConcealNames: true }
  const was = everything(first.tenant)
  await first.close()

  for (const run of ['from the journal', 'from the snapshot made of it']) {
    const again = await open(directory)
    assert.equal(everything(again.tenant), was, run)
    assert.equal(again.tenant.isVisible('late', 98_999), false)
    assert.equal(again.tenant.isVisible('late', 99_000), true)
    await again.close()
  }
  assert.equal(readdirSync(directory).length, 2, 'one snapshot and one journal are left')
})

test('a change is in the file when it has been made, without any flush', async (t) => {
  const directory = aDirectory(t)
  const first = await open(directory)
  const [user] = first.tenant.objects('user')
  assert.ok(user !== undefined)
  first.tenant.removeObject(user.id)
  const journal = readdirSync(directory).find((name) => name.endsWith('.journal')) ?? ''
  assert.match(readFileSync(join(directory, journal), 'utf8'), new RegExp(`"remove-object","id":"${user.id}"`))
  await first.close()
})

test('a line that a kill has cut is as if it had never been, and what comes later is kept', async (t) => {
  const directory = aDirectory(t)
  const first = await open(directory)
  changeSome(first.tenant, 5)
  const was = everything(first.tenant)
  await first.close()
  const journal = join(directory, readdirSync(directory).find((name) => name.endsWith('.journal')) ?? '')
  appendFileSync(journal, '{"op":"remove-object","id":"')
  const second = await open(directory)
  assert.equal(everything(second.tenant), was)
  changeSome(second.tenant, 5, 2)
  const then = everything(second.tenant)
  await second.close()
  const third = await open(directory)
  assert.equal(everything(third.tenant), then)
  await third.close()
})

test('a journal of nothing but a cut line is not written on', async (t) => {
  const directory = aDirectory(t)
  await (await open(directory)).close()
  appendFileSync(join(directory, `tenant-${CONTOSO}.0.journal`), '{"op":"rem')
  const second = await open(directory)
  changeSome(second.tenant, 5)
  const was = everything(second.tenant)
  await second.close()
  const third = await open(directory)
  assert.equal(everything(third.tenant), was)
  await third.close()
})

test('a kill while the snapshot is renewed leaves the old one or the new, and nothing is done twice', async (t) => {
  const directory = aDirectory(t)
  const first = await open(directory)
  changeSome(first.tenant, 5)
  const was = everything(first.tenant)
  await first.close()
  // Before the rename: half of a new snapshot.
  writeFileSync(join(directory, `tenant-${CONTOSO}.ndjson.new`), '{"format":1,"gen')
  const oldJournal = join(directory, `tenant-${CONTOSO}.0.journal`)
  const text = readFileSync(oldJournal, 'utf8')
  await (await open(directory)).close()
  // After it: the journal that the snapshot holds already.
  writeFileSync(oldJournal, text)
  const third = await open(directory)
  assert.equal(everything(third.tenant), was)
  await third.close()
  assert.equal(existsSync(oldJournal), false)
})

test('a snapshot that is cut or of another version is refused with its name', async (t) => {
  const directory = aDirectory(t)
  await (await open(directory)).close()
  const path = join(directory, `tenant-${CONTOSO}.ndjson`)
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1))
  await assert.rejects(open(directory), /ndjson is damaged/)
  writeFileSync(path, text.replace('"format":1', '"format":0'))
  await assert.rejects(open(directory), /of another version/)
})

test('killed at any moment, a tenant has every change that was told of, and its log has no gap', async (t) => {
  const directory = aDirectory(t)
  let told = 0
  for (const seed of [1, 2, 3]) {
    const script = join(import.meta.dirname, 'saving-process.ts')
    const saving: Saving = { directory, seed }
    const child = spawn(process.execPath, [script, JSON.stringify(saving)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    for await (const chunk of child.stdout.setEncoding('utf8') as AsyncIterable<string>) {
      output += chunk
      // After a few changes in the first run, more in the later ones: never at the same place.
      if (output.split('\n').length > 3 * seed && !child.killed) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    assert.equal(child.signalCode, 'SIGKILL')
    const lines = output.split('\n').slice(0, -1)
    assert.ok(Number(lines.at(-1)) > told, 'it went on from where it was')
    told = Number(lines.at(-1))
  }
  const saved = await openTenant(directory, CONTOSO, () => generateTenant({ seed: 1, people: 200 }))
  const changes = saved.tenant.changesSince(0)
  assert.ok(changes.length >= told, `${changes.length} of ${told}`)
  assert.ok(changes.every(({ number }, index) => number === index + 1))
  await saved.close()
})

test('operations made again in their order give the same tenant (property)', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 40 }), (seed, count) => {
      const first = new SimulatedTenant(contoso)
      const operations: string[] = []
      first.onChange = (operation) => operations.push(JSON.stringify(operation))
      changeSome(first, count, seed)
      const second = new SimulatedTenant(contoso)
      for (const operation of operations) second.apply(JSON.parse(operation) as TenantOperation)
      assert.equal(everything(second), everything(first))
    }),
    { numRuns: 20 },
  )
})

test('whoever is removed is no longer member, owner or manager of anybody', () => {
  const tenant = new SimulatedTenant(contoso)
  const named = (nickname: string) => {
    const found = [...tenant.objects('user')].find(({ properties }) => properties['mailNickname'] === nickname)
    assert.ok(found !== undefined)
    return found.id
  }
  const [adele, alice] = [named('adele'), named('alice')]
  assert.equal(tenant.object(alice)?.manager, adele)
  tenant.removeObject(adele)
  assert.equal(tenant.object(alice)?.manager, undefined)
  assert.equal(tenant.recipientOf(adele), undefined)
  for (const group of tenant.objects('group')) assert.ok(![...group.members, ...group.owners].includes(adele))
})

test('a small file is written at most five times a second, and holds the last value in the end', (t) => {
  const directory = aDirectory(t)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let now = 1_000
  const path = join(directory, 'deeper', 'x.json')
  const file = new KeptFile<{ readonly n: number }>(path, () => now)
  assert.equal(file.load(), undefined)
  file.save({ n: 1 })
  assert.deepEqual(file.load(), { n: 1 })
  for (let n = 2; n < 50; n++) file.save({ n })
  assert.deepEqual(file.load(), { n: 1 })
  now += 200
  t.mock.timers.tick(200)
  assert.deepEqual(file.load(), { n: 49 })
  file.save({ n: 50 })
  file.flush()
  assert.deepEqual(file.load(), { n: 50 })
  assert.equal(existsSync(`${path}.new`), false)
})

test('the roles of an application in Exchange are the tenant’s and add up until they are withdrawn', () => {
  const kept: string[] = []
  const roles = new ExchangeRoles([], (all) => kept.push(JSON.stringify(all)))
  roles.grant(CONTOSO, 'APP', 'View-Only Recipients')
  roles.grant(CONTOSO, 'app', 'View-Only Configuration')
  roles.grant(CONTOSO, 'app', 'View-Only Configuration')
  assert.deepEqual(roles.of(CONTOSO, 'app'), ['View-Only Recipients', 'View-Only Configuration'])
  assert.deepEqual(roles.of('another', 'app'), [])
  const again = new ExchangeRoles(JSON.parse(kept.at(-1) ?? '') as ConstructorParameters<typeof ExchangeRoles>[0])
  again.withdraw(CONTOSO, 'app', 'View-Only Recipients')
  assert.deepEqual(again.of(CONTOSO, 'app'), ['View-Only Configuration'])
})

test('a sandbox’s tenants, roles, consents and clock come back together', async (t) => {
  const directory = aDirectory(t)
  const first = await stateIn(directory, [contoso], () => 1_000)
  first.clock.advance(5_000)
  first.exchangeRoles.grant(CONTOSO, 'app', 'View-Only Recipients')
  first.entra.onChange({ apps: [], principals: [], switched: [['someone', false]] })
  first.tenants.get(CONTOSO)?.resetDeltas()
  await first.close()
  const second = await stateIn(directory, [contoso], () => 2_000)
  assert.equal(second.clock.nowMs(), 7_000)
  assert.deepEqual(second.exchangeRoles.of(CONTOSO, 'app'), ['View-Only Recipients'])
  assert.deepEqual(second.entra.kept, { apps: [], principals: [], switched: [['someone', false]] })
  assert.equal(second.tenants.get(CONTOSO)?.lastChange, 1)
  await second.close()
})
