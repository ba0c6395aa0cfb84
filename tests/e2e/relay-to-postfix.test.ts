// A real client hands real messages to the running relay; Debian's Postfix receives what it sends. (issue's purpose; R6, R8, R60, R74, DL-1)
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { simpleParser } from 'mailparser'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { MAILBOX_MAIN_CF, runCommand, startPostfix, whyNoPostfix } from '../harness/postfix.ts'
import type { Postfix } from '../harness/postfix.ts'
import { startRelay } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { SHARED, testShared } from '../harness/shared.ts'
import { sendMail, withCrlf } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'

const missing =
  whyNoPostfix() ??
  (spawnSync('swaks', ['--version']).error === undefined ? undefined : 'needs swaks: apt-get install swaks')
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)
const options = missing === undefined ? {} : { skip: missing }

let postfix: Postfix
let relay: RunningRelay

before(async () => {
  if (missing !== undefined) return
  // reject@… is refused at RCPT, so that a bounce can be seen coming back through the same server.
  postfix = await startPostfix({
    mainCf: [
      ...MAILBOX_MAIN_CF,
      'smtpd_recipient_restrictions = check_recipient_access regexp:$DIR/etc/recipients, permit_mynetworks, reject',
    ],
    files: { 'etc/recipients': '/^reject@/ REJECT 5.1.1 no such user\n' },
  })
  relay = await startRelay({ nextHopPort: postfix.port, table: EXAMPLE_TABLE })
})

after(async () => {
  await relay?.stop()
  await relay?.remove()
  await postfix?.stop()
})

/** The delivered message whose Message-ID is `id`. */
function delivered(id: string): Promise<Buffer> {
  return eventually(`message ${id}`, async () =>
    (await postfix.messages()).find((message) => message.includes(`<${id}>`)),
  )
}

test('swaks → relay (out) → Postfix: envelope and header arrive rewritten, the text untouched', options, async () => {
  const swaks = await runCommand('swaks', [
    '--server',
    `127.0.0.1:${relay.outPort}`,
    '--from',
    'alice@contoso.com',
    '--to',
    'dana@example.net',
    '--header',
    'From: Alice Smith <alice@contoso.com>',
    '--header',
    'Message-ID: <swaks-out@contoso.com>',
    '--body',
    'write to alice@contoso.com\n.\n..two dots',
  ])
  assert.equal(swaks.status, 0, swaks.output)
  assert.match(swaks.output, /250 2\.0\.0 queued as [0-9A-Z]{16}/)

  const message = (await delivered('swaks-out@contoso.com')).toString('latin1')
  assert.match(message, /^Return-Path: <alice\.smith@fabrikam\.com>$/m)
  assert.match(message, /^X-Original-To: dana@example\.net$/m)
  assert.match(message, /^From: Alice Smith <alice\.smith@fabrikam\.com>$/m)
  assert.match(message, /^write to alice@contoso\.com\n\.\n\.\.two dots\n/m)
  assert.match(message, /^X-Causeway-Trace: \S+ v=1; d=out; n=1; r=relay\.test; h=[\w-]{43}$/m)
  assert.match(message, /^Received: from [^;]*by relay\.test[^;]*;/m)
  assert.doesNotMatch(
    message.slice(message.indexOf('by relay.test')).split(';')[0] ?? '',
    /\bfor\b/,
    'R79: no FOR clause',
  )
})

test('in: the recipient is located, the originator stays as authenticated', options, async () => {
  const reply = await sendMail(relay.inPort, {
    from: 'dana@example.net',
    to: ['alice.smith@fabrikam.com'],
    data: Buffer.from(
      'From: Dana <dana@example.net>\r\nTo: Alice <alice.smith@fabrikam.com>\r\nMessage-ID: <in-1@example.net>\r\n\r\nhello\r\n',
    ),
  })
  assert.match(reply, /^250 2\.0\.0/)
  const message = (await delivered('in-1@example.net')).toString('latin1')
  assert.match(message, /^Return-Path: <dana@example\.net>$/m)
  assert.match(message, /^X-Original-To: alice@contoso\.com$/m)
  assert.match(message, /^To: Alice <alice@contoso\.com>$/m)
})

test(
  'a recipient refused by the next hop: the failure report goes to the received sender (R74, DL-4)',
  options,
  async () => {
    const reply = await sendMail(relay.outPort, {
      from: 'alice@contoso.com',
      to: ['dana@example.net', 'reject@example.net'],
      data: Buffer.from(
        'From: alice@contoso.com\r\nTo: dana@example.net\r\nMessage-ID: <half@contoso.com>\r\n\r\nhello\r\n',
      ),
    })
    assert.match(reply, /^250 2\.0\.0/)
    await delivered('half@contoso.com')
    const report = await eventually('the failure report', async () =>
      (await postfix.messages()).find((message) => message.includes('multipart/report')),
    )
    const text = report.toString('latin1')
    assert.match(text, /^Return-Path: <>$/m)
    assert.match(text, /^X-Original-To: alice@contoso\.com$/m, 'to the address the sender used, not the presented one')
    assert.match(text, /^Final-Recipient: rfc822; ?reject@example\.net$/m)
    assert.match(text, /^Status: 5\.1\.1$/m)
    const parsed = await simpleParser(report)
    assert.match(parsed.text ?? '', /reject@example\.net/)
  },
)

testShared('real invitations of the corpus arrive with header and calendar in agreement (R60)', async (context) => {
  if (missing !== undefined) return context.skip(missing)
  const manifest = JSON.parse(await readFile(join(SHARED, 'corpus/manifest.json'), 'utf8')) as {
    files: { path: string; kind: string; tags: string[] }[]
  }
  const wanted = manifest.files.filter(
    ({ kind, tags }) => kind === 'eml' && tags.includes('calendar') && !tags.includes('mbox-from-line'),
  )
  const invitations: Invitation[] = []
  for (const { path } of wanted) {
    const data = withCrlf(await readFile(join(SHARED, 'corpus', path)))
    // A file that starts with a byte order mark has no header for Postfix: it would take all of it for the body.
    if (!/^[!-9;-~]+:/.test(data.toString('latin1'))) continue
    // Only invitations whose organizer is also the author can agree at all.
    const author = (await simpleParser(data)).from?.value[0]?.address?.toLowerCase()
    const organizers = await organizersOf(data)
    if (author !== undefined && organizers[0] === author) invitations.push({ path, data, author, organizers })
  }
  assert.ok(invitations.length >= 20, `only ${invitations.length} invitations can be compared`)

  const presented = new Map(
    [...new Set(invitations.map(({ author }) => author))].map((author, i) => [author, `o-${i}@fabrikam.com`]),
  )
  const entries = [...presented].map(([author, name]) => ({ known: [author, name], presented: name, mailbox: author }))
  const table = { format: 'causeway-mapping-table/1', project: 'corpus', version: 1, entries }
  const settings = { limits: { newConnectionsPerSecondAndAddress: 1000 } }
  const own = await startRelay({ nextHopPort: postfix.port, table, settings })
  try {
    for (const [index, { path, data, author, organizers }] of invitations.entries()) {
      const id = `invitation-${index}@causeway.test`
      const marked = Buffer.concat([Buffer.from(`X-Test-Id: <${id}>\r\n`), data])
      assert.match(await sendMail(own.outPort, { from: author, to: ['dana@example.net'], data: marked }), /^250/, path)
      const message = await delivered(id)
      assert.equal((await simpleParser(message)).from?.value[0]?.address, presented.get(author), path)
      const expected = organizers.map((address) => presented.get(address) ?? address)
      assert.deepEqual(await organizersOf(message), expected, path)
    }
  } finally {
    await own.stop()
    await own.remove()
  }
})

interface Invitation {
  readonly path: string
  readonly data: Buffer
  readonly author: string
  readonly organizers: readonly string[]
}

/** Addresses of every ORGANIZER in the message's calendar parts, as an independent reader (mailparser) decodes them. */
async function organizersOf(message: Buffer): Promise<string[]> {
  const { attachments } = await simpleParser(message)
  return attachments
    .filter(({ contentType }) => contentType === 'text/calendar' || contentType === 'application/ics')
    .flatMap(({ content }) => {
      const text = content.toString('utf8').replace(/\r?\n[ \t]/g, '')
      return [...text.matchAll(/^ORGANIZER[^\r\n]*?mailto:([^\s?"]+)/gim)].map(([, address = '']) =>
        address.toLowerCase(),
      )
    })
}
