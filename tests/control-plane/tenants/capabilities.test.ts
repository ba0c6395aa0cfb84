// What each capability needs of a tenant, held against Microsoft's published sets. (EC-2, microsoft-365.md §2.5)
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  CAPABILITIES,
  LEVELS,
  missingFrom,
  neededFor,
  optionalOf,
  readChoices,
  setOf,
} from '../../../control-plane/tenants/capabilities.ts'
import { PERMISSION_SETS } from '../../../control-plane/tenants/permission-sets.ts'
import type { PermissionSet } from '../../../control-plane/tenants/permission-sets.ts'
import { permissionsDocument } from '../../../control-plane/tenants/permissions-document.ts'

interface Published {
  readonly sets: Readonly<
    Record<
      string,
      {
        readonly microsoftGraph: {
          readonly roles: readonly { readonly name: string; readonly id: string; readonly optional?: boolean }[]
        }
        readonly exchangeOnline?: {
          readonly exchangeRbac: readonly { readonly leastRole: string }[]
        }
      }
    >
  >
}
const ROOT = join(import.meta.dirname, '../../..')
const published = JSON.parse(readFileSync(join(ROOT, 'tests/contracts/permission-sets.json'), 'utf8')) as Published

test('EC-2: the sets are those that were published: roles, ids, which are optional, roles of Exchange', () => {
  assert.deepEqual(Object.keys(PERMISSION_SETS).toSorted(), Object.keys(published.sets).toSorted())
  for (const [name, set] of Object.entries(PERMISSION_SETS) as [string, PermissionSet][]) {
    const theirs = published.sets[name]
    assert.ok(theirs)
    assert.deepEqual(
      set.graph.map(({ name: role, id, isOptional = false }) => [role, id, isOptional]),
      theirs.microsoftGraph.roles.map(({ name: role, id, optional = false }) => [role, id, optional]),
      name,
    )
    const roles = theirs.exchangeOnline?.exchangeRbac.flatMap(({ leastRole }) => leastRole.split(' + '))
    if (roles !== undefined)
      assert.deepEqual([...(set.exchange?.roles ?? [])].toSorted(), [...new Set(roles)].toSorted())
    for (const { why } of set.graph) assert.ok(why.length > 3, `${name}: every permission has a reason`)
  }
})

test('EC-2: minimal on the source side holds no permission that writes', () => {
  for (const capability of CAPABILITIES.filter((each) => each !== 'coexistence')) {
    const capabilities = [{ capability, level: 'minimal' }] as const
    const { permissions, exchangeRoles } = neededFor({ capabilities, optional: [...optionalOf(capabilities)] })
    for (const { name, resource } of permissions)
      if (resource === 'graph') assert.doesNotMatch(name, /Write|\.Manage|Create|Invite|FullControl/, capability)
    for (const role of exchangeRoles) assert.match(role, /^View-Only /, capability)
  }
})

test('what is optional is asked for only where it was chosen', () => {
  const capabilities = [{ capability: 'discovery', level: 'minimal' }] as const
  const names = (optional: readonly string[]) =>
    neededFor({ capabilities, optional }).permissions.map(({ name }) => name)
  assert.ok(!names([]).includes('Exchange.ManageAsApp'))
  assert.ok(!names([]).includes('Directory.Read.All'))
  assert.deepEqual(
    names(['Exchange.ManageAsApp']).filter((name) => !names([]).includes(name)),
    ['Exchange.ManageAsApp'],
  )
  assert.deepEqual(neededFor({ capabilities, optional: [] }).exchangeRoles, [])
  assert.deepEqual(neededFor({ capabilities, optional: ['Exchange.ManageAsApp'] }).exchangeRoles, [
    'View-Only Configuration',
    'View-Only Recipients',
  ])
})

const cases: readonly (readonly [needed: string, granted: readonly string[], isMissing: boolean, why: string])[] = [
  ['User.Read.All', ['User.Read.All'], false, 'the very same'],
  ['User.Read.All', ['User.ReadWrite.All'], false, 'who may write may read'],
  ['User.Read.All', ['User.ReadBasic.All'], true, 'less'],
  ['CrossTenantInformation.ReadBasic.All', ['CrossTenantInformation.Read.All'], false, 'more of the same'],
  ['User.ReadWrite.All', ['User.Read.All'], true, 'reading is not writing'],
  ['User.Read.All', ['Directory.Read.All'], true, 'a wide one stands for nothing: nobody has to grant it'],
  ['Mail.Read', ['Mail.ReadWrite'], false, 'without a scope word'],
  ['MailboxItem.Export.All', ['MailboxItem.Read.All'], true, 'a verb of its own'],
  ['User.Read.All', ['user.read.all'], true, 'names are compared as they are'],
  ['User.Read.All', [], true, 'nothing was granted'],
]
for (const [name, granted, isMissing, why] of cases) {
  test(`${name} with ${granted.join(' ') || 'nothing'} is ${isMissing ? '' : 'not '}missing: ${why}`, () => {
    assert.deepEqual(missingFrom([{ name }], granted), isMissing ? [name] : [])
  })
}

test('choices default by side, and name optional permissions that the capabilities know', () => {
  const body = { capabilities: [{ capability: 'accounts' as const }], optionalPermissions: ['Domain.ReadWrite.All'] }
  assert.deepEqual(readChoices(body, 'target'), {
    capabilities: [{ capability: 'accounts', level: 'full' }],
    optional: ['Domain.ReadWrite.All'],
  })
  assert.deepEqual(readChoices(body, 'source'), { unknown: ['Domain.ReadWrite.All'] })
})

test('every capability and level has a set', () => {
  for (const capability of CAPABILITIES)
    for (const level of LEVELS) assert.ok(setOf(capability, level) in PERMISSION_SETS)
})

test('docs/permissions.md is made of the table', () => {
  const file = join(ROOT, 'docs/permissions.md')
  const text = permissionsDocument()
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text)
  assert.equal(readFileSync(file, 'utf8'), text, 'UPDATE_GOLDEN=1 writes it anew')
})
