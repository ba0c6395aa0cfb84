// What a call costs and of whom, held against Microsoft's published numbers. (microsoft-365.md §3)
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { graphClaims, sumClaims } from '../../../control-plane/graph/workload.ts'
import type { GraphMethod } from '../../../control-plane/graph/workload.ts'
import { parseBudgets } from '../../../control-plane/microsoft/budgets.ts'
import { connectionOf } from '../microsoft/scene.ts'

const budgets = parseBudgets('', assert.fail)
const connection = connectionOf()
const claimsOf = (method: GraphMethod, path: string, people?: number) =>
  graphClaims(budgets, { ...connection, people }, { method, url: new URL(`https://graph.microsoft.com/v1.0${path}`) })
const kinds = (method: GraphMethod, path: string) => claimsOf(method, path).map(({ bucket }) => bucket.split(' ')[0])

const { identity } = (
  JSON.parse(readFileSync(new URL('../../contracts/throttling.json', import.meta.url), 'utf8')) as {
    workloads: { identity: { cost: Record<string, unknown> } }
  }
).workloads
const published = Object.entries(identity.cost).filter((entry): entry is [string, [number, number]] =>
  Array.isArray(entry[1]),
)

test('the published costs are there to be held against', () => {
  assert.ok(published.length >= 20)
})
for (const [call, [units]] of published) {
  // The old name of directoryObjects/getByIds.
  if (call === 'POST getObjectsById' || call === 'POST isMemberOf') continue
  test(`${call} costs ${units}, as published`, () => {
    const [method = '', path = ''] = call.split(' ')
    assert.equal(claimsOf(method as GraphMethod, `/${path.replaceAll('{id}', 'a%20b')}`)[0]?.cost, units)
  })
}

const costs: [method: GraphMethod, path: string, cost: number, why: string][] = [
  ['GET', '/users/delta()?$select=id', 1, '$select makes it cheaper'],
  ['GET', '/users/delta()?$skiptoken=x', 2, 'a link says nothing of what was selected'],
  ['GET', '/Users/Delta', 2, 'in any case, with or without parentheses'],
  ['GET', '/users?$select=id&$top=5', 1, 'never below one'],
  ['GET', '/groups/g/members?$top=5', 2, 'a short page'],
  ['GET', '/groups/g/members?$expand=x', 4, '$expand makes it dearer'],
  ['GET', '/users/u', 1, 'one object'],
  ['GET', '/drives/d/items/i/children', 2, 'a list of files'],
  ['GET', '/drives/d/root/delta', 2, 'a delta from the start'],
  ['GET', '/drives/d/root/delta?token=x', 1, 'a delta that goes on'],
  ['GET', '/drives/d/items/i/permissions', 5, 'permissions'],
  ['GET', '/drives/d/items/i', 1, 'one file'],
  ['PATCH', '/drives/d/items/i', 2, 'a change of a file'],
]
for (const [method, path, cost, why] of costs) {
  test(`${method} ${path} costs ${cost}: ${why}`, () => {
    assert.equal(claimsOf(method, path)[0]?.cost, cost)
  })
}

const workloads: [method: GraphMethod, path: string, kinds: string[]][] = [
  ['GET', '/users/delta()', ['directory', 'app']],
  ['PATCH', '/users/u', ['directory', 'directory-writes', 'app']],
  ['POST', '/directoryObjects/getByIds', ['directory', 'app']],
  ['POST', '/invitations', ['invitations', 'directory', 'directory-writes', 'app']],
  ['GET', "/reports/getMailboxUsageDetail(period='D7')", ['report', 'app']],
  ['GET', '/users/u/mailFolders', ['mailbox', 'mailbox-calls', 'app']],
  ['GET', '/users/u/mailboxSettings', ['mailbox', 'mailbox-calls', 'app']],
  ['POST', '/admin/exchange/mailboxes/MBX:a@b/exportItems', ['mailbox', 'mailbox-calls', 'app']],
  ['GET', '/users/u/drive', ['files', 'app']],
  ['GET', '/sites/s/drives', ['files', 'app']],
  ['GET', '/users/u/manager', ['directory', 'app']],
  ['GET', '/organization', ['directory', 'app']],
]
for (const [method, path, expected] of workloads) {
  test(`${method} ${path} takes from ${expected.join(', ')}`, () => {
    assert.deepEqual(kinds(method, path), expected)
  })
}

test('budgets are of application and tenant, whoever registered it; a mailbox and a report have their own', () => {
  const bucket = (path: string, override = {}) =>
    graphClaims(
      budgets,
      { ...connection, ...override },
      { method: 'GET', url: new URL(`https://graph.microsoft.com/v1.0${path}`) },
    )[0]?.bucket
  assert.equal(bucket('/users', { project: 'prj_2', tenant: 'tnt_2' }), bucket('/users'))
  assert.notEqual(bucket('/users', { entraTenantId: 'other' }), bucket('/users'))
  assert.notEqual(bucket('/users', { clientId: 'other' }), bucket('/users'))
  assert.notEqual(bucket('/users/a/messages'), bucket('/users/b/messages'))
  assert.equal(bucket('/users/A/messages'), bucket('/users/a/events'))
  assert.notEqual(
    bucket("/reports/getMailboxUsageDetail(period='D7')"),
    bucket("/reports/getOneDriveUsageAccountDetail(period='D7')"),
  )
  assert.equal(
    bucket("/reports/getMailboxUsageDetail(period='D7')"),
    bucket("/reports/getMailboxUsageDetail(period='D30')"),
  )
})

test('the directory’s budget grows with the tenant', () => {
  const amounts = [undefined, 49, 50, 500, 501, 100_000].map(
    (people) => claimsOf('GET', '/users', people)[0]?.limit.units?.amount,
  )
  assert.deepEqual(amounts, [3_500, 3_500, 5_000, 5_000, 8_000, 8_000])
})

test('a batch takes what its members take together', () => {
  const sums = sumClaims([
    claimsOf('GET', '/users/a/manager'),
    claimsOf('GET', '/users/b/memberOf'),
    claimsOf('GET', '/users/c/drive'),
  ])
  assert.deepEqual(
    sums.map(({ bucket, cost }) => [bucket.split(' ')[0], cost]),
    [
      ['directory', 3],
      ['app', 3],
      ['files', 1],
    ],
  )
})
