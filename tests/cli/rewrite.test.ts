import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { simpleParser } from 'mailparser'
import { causeway, folder, ROOT } from './causeway.ts'

const TABLE = join(ROOT, 'examples/table.json')
const INVITE = readFileSync(join(ROOT, 'examples/invite.eml'))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const out = ['rewrite', '--table', TABLE, '--direction', 'out']

test('the example invitation goes out under the presented addresses, header and calendar in agreement', async () => {
  const { code, stdout, stderr } = await causeway(out, INVITE)
  assert.deepEqual([code, stderr], [0, ''])
  const parsed = await simpleParser(stdout)
  assert.equal(parsed.from?.value[0]?.address, 'alice.smith@fabrikam.com')
  assert.match(stdout.toString(), /^ORGANIZER;CN=Alice Smith:mailto:alice\.smith@fabrikam\.com\r$/m)
  assert.match(stdout.toString(), /Questions to alice@contoso\.com\./, 'text is not rewritten')
})

test('report: what changed, hashes of both messages, the rewritten envelope', async (context) => {
  const top = folder(context)
  const [envelope, report] = [join(top, 'envelope.json'), join(top, 'report.json')]
  writeFileSync(
    envelope,
    JSON.stringify({
      reversePath: 'alice@contoso.com',
      parameters: { BODY: '8BITMIME', SIZE: '1000' },
      forwardPaths: [
        { path: 'dana@example.net', parameters: { NOTIFY: 'FAILURE' } },
        { path: 'alice.smith@fabrikam.com' },
      ],
    }),
  )
  const { code, stdout } = await causeway(
    [...out, '--envelope', envelope, '--report', report, '--policy', join(ROOT, 'examples/policy.json')],
    INVITE,
  )
  assert.equal(code, 0)
  const written = JSON.parse(readFileSync(report, 'utf8')) as Record<string, unknown>
  assert.deepEqual(written['envelope'], {
    reversePath: 'alice.smith@fabrikam.com',
    parameters: { BODY: '8BITMIME' },
    forwardPaths: [
      { path: 'dana@example.net', parameters: { NOTIFY: 'FAILURE' } },
      { path: 'alice@contoso.com', parameters: { ORCPT: 'rfc822;alice.smith@fabrikam.com' } },
    ],
  })
  assert.deepEqual([written['sha256In'], written['sha256Out']], [sha256(INVITE), sha256(stdout)])
  assert.deepEqual([written['bytesIn'], written['bytesOut']], [INVITE.length, stdout.length])
  assert.deepEqual(
    (written['changes'] as unknown[]).find((change) => (change as { where: string }).where === 'header:From:1'),
    {
      where: 'header:From:1',
      old: 'alice@contoso.com',
      new: 'alice.smith@fabrikam.com',
      rule: 'entry',
    },
  )
})

test('E99 a policy is honoured: envelope-only leaves every octet', async (context) => {
  const policy = join(folder(context), 'policy.json')
  writeFileSync(policy, '{ "inHeaders": "envelope-only" }')
  const { stdout } = await causeway(['rewrite', '--table', TABLE, '--direction', 'in', '--policy', policy], INVITE)
  assert.ok(stdout.equals(INVITE))
})

test('a CSV table will do', async (context) => {
  const table = join(folder(context), 'table.csv')
  writeFileSync(
    table,
    'presented,mailbox,known\r\nalice.smith@fabrikam.com,alice@contoso.com,alice@contoso.com;alice.smith@fabrikam.com\r\n',
  )
  const { code, stdout } = await causeway(
    ['rewrite', '--table', table, '--direction', 'out'],
    'From: alice@contoso.com\r\n\r\n',
  )
  assert.deepEqual([code, stdout.toString()], [0, 'From: alice.smith@fabrikam.com\r\n\r\n'])
})

test('§12 a refused message (NUL in the header): the reply on standard error, nothing on standard output, exit code 1', async (context) => {
  const report = join(folder(context), 'report.json')
  const { code, stdout, stderr } = await causeway([...out, '--report', report], 'From: alice@contoso.com\0\r\n\r\n')
  assert.deepEqual([code, stdout.length], [1, 0])
  assert.match(stderr, /^554 5\.6\.0 [^\n]+\n$/)
  assert.equal(existsSync(report), false)
})

test('large messages come out whole', async () => {
  const body = 'x'.repeat(76) + '\r\n'
  const message = Buffer.concat([Buffer.from('From: alice@contoso.com\r\n\r\n'), Buffer.alloc(4 * 1024 * 1024, body)])
  const { code, stdout } = await causeway(out, message)
  assert.deepEqual(
    [code, stdout.length],
    [0, message.length + 'alice.smith@fabrikam.com'.length - 'alice@contoso.com'.length],
  )
})

const unusable: [args: (top: string) => string[], says: RegExp, why: string][] = [
  [() => ['rewrite', '--direction', 'out'], /--table FILE is needed/, 'no table'],
  [() => ['rewrite', '--table', TABLE], /--direction out\|in is needed/, 'no direction'],
  [
    () => ['rewrite', '--table', TABLE, '--direction', 'up'],
    /--direction must be out or in/,
    'a direction that is none',
  ],
  [() => [...out, '--colour'], /Unknown option '--colour'/, 'an unknown option'],
  [() => [...out, 'message.eml'], /read from standard input/, 'a file where none is read'],
  [
    (top) => ['rewrite', '--table', join(top, 'none.json'), '--direction', 'out'],
    /none\.json can't be read \(ENOENT\)/,
    'no such table',
  ],
  [
    (top) => ['rewrite', '--table', join(top, 'faulty.json'), '--direction', 'out'],
    /faulty\.json: entries\/0\/mailbox: .*R2/,
    'a faulty table',
  ],
  [(top) => [...out, '--policy', join(top, 'policy.json')], /policy\.json: colour: .*§13/, 'a faulty policy'],
  [(top) => [...out, '--policy', join(top, 'text')], /text is not JSON/, 'no JSON'],
  [(top) => [...out, '--envelope', join(top, 'policy.json')], /policy\.json: colour: unknown key/, 'no envelope'],
  [
    (top) => [...out, '--envelope', join(top, 'null.json')],
    /forwardPaths\/0\/parameters: NOTIFY must be text/,
    'a parameter that is none',
  ],
]
for (const [args, says, why] of unusable) {
  test(`exit code 2 and a sentence: ${why}`, async (context) => {
    const top = folder(context)
    const faulty = { known: ['a@x.example', 'a@y.example'], presented: 'a@x.example', mailbox: 'b@x.example' }
    writeFileSync(
      join(top, 'faulty.json'),
      JSON.stringify({ format: 'causeway-mapping-table/1', project: 'p', version: 1, entries: [faulty] }),
    )
    writeFileSync(join(top, 'policy.json'), '{ "colour": "blue" }')
    writeFileSync(join(top, 'text'), 'text')
    writeFileSync(
      join(top, 'null.json'),
      '{"reversePath":"","forwardPaths":[{"path":"a@x.example","parameters":{"NOTIFY":null}}]}',
    )
    const { code, stdout, stderr } = await causeway(args(top), INVITE)
    assert.deepEqual([code, stdout.length], [2, 0])
    assert.match(stderr, says)
    assert.doesNotMatch(stderr, /\n +at /, 'no stack for what the user can mend')
  })
}
