// Usage reports of the simulated Graph: a redirect, and behind it a file for whoever has the link.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ORIGIN, startGraph } from './graph-server.ts'
import { ANNA, E3, tinyTenant, user } from './tiny-tenant.ts'

const MAILBOXES = "/v1.0/reports/getMailboxUsageDetail(period='D7')"
const DRIVES = "/v1.0/reports/getOneDriveUsageAccountDetail(period='D7')"

async function report(t: TestContext, target: string, changes = {}, allowsViolations = false) {
  const graph = await startGraph(t, { data: tinyTenant(changes), allowsViolations })
  const { status, headers } = await graph.get(target)
  assert.equal(status, 302)
  const location = headers.get('location') ?? ''
  assert.ok(location.startsWith(`${ORIGIN}/`))
  return { graph, location, file: await graph.get(location, { authorization: '' }) }
}

test('mailbox sizes come as CSV with Microsoft’s columns, a byte order mark and Windows line ends', async (t) => {
  const { file } = await report(t, MAILBOXES)
  assert.equal(file.status, 200)
  assert.equal(
    file.text,
    '\ufeffReport Refresh Date,User Principal Name,Display Name,Is Deleted,Deleted Date,Created Date,Last Activity Date,' +
      'Item Count,Storage Used (Byte),Issue Warning Quota (Byte),Prohibit Send Quota (Byte),Prohibit Send/Receive Quota (Byte),' +
      'Deleted Item Count,Deleted Item Size (Byte),Deleted Item Quota (Byte),Has Archive,Report Period\r\n' +
      '2026-11-20,anna@contoso.example,Anna O’Neil,False,,2024-01-02,2026-11-20,' +
      '1234,5000000000,105226698752,106300440576,107374182400,2,100000,32212254720,True,7\r\n',
  )
})

test('drive sizes come likewise', async (t) => {
  const { file } = await report(t, DRIVES)
  assert.equal(
    file.text,
    '\ufeffReport Refresh Date,Site URL,Owner Display Name,Is Deleted,Last Activity Date,File Count,Active File Count,' +
      'Storage Used (Byte),Storage Allocated (Byte),Owner Principal Name,Report Period\r\n' +
      '2026-11-20,https://contoso-my.sharepoint.com/personal/anna_contoso_example,Anna O’Neil,False,2026-11-20,' +
      '12,10,42000,1099511627776,anna@contoso.example,7\r\n',
  )
})

test('a name with commas, quotes and line breaks is one cell', async (t) => {
  const objects = [
    user(ANNA, 'A, "B"\r\nC', { userPrincipalName: 'a@contoso.example', assignedLicenses: [{ skuId: E3 }] }),
  ]
  const { file } = await report(t, MAILBOXES, { objects })
  assert.ok(file.text.includes(',a@contoso.example,"A, ""B""\r\nC",False,'))
})

test('where names are concealed, a report has hashes in their place, alike in each', async (t) => {
  const mailboxes = (await report(t, MAILBOXES, { reportsConcealNames: true })).file.text
  const drives = (await report(t, DRIVES, { reportsConcealNames: true })).file.text
  for (const text of [mailboxes, drives]) assert.doesNotMatch(text, /anna/i)
  const [hash] = /[0-9A-F]{32}/.exec(mailboxes) ?? []
  assert.ok(hash !== undefined && drives.includes(hash))
})

test('the link takes no token, and is good for a few minutes', async (t) => {
  const { graph, location } = await report(t, MAILBOXES, {}, true)
  assert.equal((await graph.get(location)).status, 401)
  assert.deepEqual(
    graph.services.record.violations.map(({ rule }) => rule),
    ['wrong-header'],
  )
  assert.equal((await graph.get(`${location}x`, { authorization: '' })).status, 404)
  graph.services.clock.advance(6 * 60_000)
  assert.equal((await graph.get(location, { authorization: '' })).status, 404)
})

test('only four periods are reported', async (t) => {
  const { get } = await startGraph(t)
  assert.equal((await get("/v1.0/reports/getMailboxUsageDetail(period='D8')")).status, 400)
})

test('national clouds have no usage reports', async (t) => {
  const { get } = await startGraph(t, { data: tinyTenant({ cloud: 'gcc-high' }) })
  assert.equal((await get(MAILBOXES)).status, 404)
})
