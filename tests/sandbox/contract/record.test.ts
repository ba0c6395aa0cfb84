// What a run used and broke, in one process and over many.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ContractRecord } from '../../../sandbox/contract/record.ts'
import type { RecordedViolation } from '../../../sandbox/contract/record.ts'
import { readRunReport, shownReport } from '../../harness/contract-report.ts'
import { CONTOSO, FABRIKAM } from '../../harness/sandbox.ts'

const violation: RecordedViolation = {
  rule: 'unknown-operation',
  where: 'GET',
  message: 'Graph publishes no such path',
  status: 400,
  request: 'GET ?',
}

test('uses are counted by tenant, and violations kept in order', () => {
  const record = new ContractRecord()
  record.use('graph', 'GET /users', 'listed', false, CONTOSO)
  record.use('graph', 'GET /users', 'listed', false, CONTOSO)
  record.use('exchange', 'Get-Mailbox', 'documented', false, CONTOSO)
  record.use('graph', 'GET /users', 'listed', false, FABRIKAM)
  record.violation(violation)
  const { uses, violations } = record.report()
  assert.deepEqual(
    uses.map(({ name, tenantId, count }) => [name, tenantId, count]),
    [
      ['GET /users', CONTOSO, 2],
      ['GET /users', FABRIKAM, 1],
      ['Get-Mailbox', CONTOSO, 1],
    ],
  )
  assert.deepEqual(violations, [violation])
})

test('the records of many sandboxes come to one report: by status, cmdlets, and writes of each side', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-record-'))
  t.after(() => rmSync(directory, { recursive: true }))
  assert.equal(shownReport(readRunReport(directory)), '')
  for (let sandbox = 0; sandbox < 2; sandbox++) {
    const record = new ContractRecord({ directory })
    record.use('graph', 'GET /users', 'listed', false, CONTOSO)
    record.use('graph', 'GET /x/$count', 'inferred', false, CONTOSO)
    record.use('graph', 'POST /users', 'listed', true, FABRIKAM)
    record.use('exchange', 'Get-Mailbox', 'documented', false, CONTOSO)
    record.use('exchange', 'New-MailUser', 'documented', true, FABRIKAM)
  }
  new ContractRecord({ directory }).violation(violation)
  const report = readRunReport(directory)
  assert.deepEqual(report.operations, { listed: ['GET /users', 'POST /users'], inferred: ['GET /x/$count'] })
  assert.deepEqual(report.cmdlets, ['Get-Mailbox', 'New-MailUser'])
  assert.deepEqual(report.writes, { target: ['New-MailUser', 'POST /users'] })
  assert.deepEqual(shownReport(report).split('\n'), [
    'Microsoft Graph, operations used: 2 listed, 0 documented, 1 inferred, 0 delegated-only, 1 unknown',
    '  inferred: GET /x/$count',
    'Exchange Online, cmdlets used: Get-Mailbox, New-MailUser',
    'writes: source: none; target: New-MailUser, POST /users',
    'violations of published contracts: 1',
  ])
})
