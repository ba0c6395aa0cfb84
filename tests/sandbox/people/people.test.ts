// What people of both tenants and of the outside do with mail, through the simulated mail flow over SMTP, TLS and DNS, and by the control API.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { simpleParser } from 'mailparser'
import { mailServer } from '../../../sandbox/internet/mail-server.ts'
import type { MailWorld } from '../../../sandbox/mail/mail-world.ts'
import { People } from '../../../sandbox/people/people.ts'
import type { CalendarEntry } from '../../../sandbox/people/calendar-entry.ts'
import type { Who } from '../../../sandbox/people/correspondent.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { CONTOSO, FABRIKAM, testSandbox } from '../../harness/sandbox.ts'
import type { TestSandbox } from '../../harness/sandbox.ts'
import { eventually } from '../../harness/wait.ts'
import { addressesOf } from './composed.ts'

const ALICE = { tenantId: CONTOSO, person: 'asmith@contoso.com' }
const CAROL = { tenantId: CONTOSO, person: 'carol@contoso.com' }
const LEE = { tenantId: FABRIKAM, person: 'lee@fabrikam.com' }
const DANA = { outside: 'Dana Berg <dana@example.net>' }
const OLGA = { outside: 'olga@example.net' }
const START = Date.UTC(2027, 0, 11, 9)
const WHEN = { startMs: START, endMs: START + 3_600_000 }
const LATER = { startMs: START + 86_400_000, endMs: START + 90_000_000 }

const endings: (() => unknown)[] = []
let sandbox: TestSandbox
let mail: MailWorld
let people: People

before(async () => {
  const { contoso, fabrikam } = seedTenants(1)
  sandbox = await testSandbox(
    { after: (ending) => void endings.push(ending) },
    { tenants: [contoso, fabrikam], mail: { retry: { pauses: [50], expiry: 60_000 } }, isReported: false },
  )
  mail = sandbox.control.mail
  people = sandbox.control.people
  for (const address of ['dana@example.net', 'olga@example.net']) mail.outside.addMailbox(address)
})
after(async () => {
  for (const ending of endings.toReversed()) await ending()
})

async function arrivedAt(who: Who, text: string): Promise<{ content: Buffer; messageId: string; sender: string }> {
  const isIt = (content: Buffer) => content.includes(text)
  const arrival =
    'outside' in who
      ? await mail.outside.mails
          .waitFor(text, ({ content, recipients }) => isIt(content) && who.outside.includes(recipients[0] ?? '-'))
          .then(({ content, reversePath }) => ({ content, sender: reversePath }))
      : await mail.mailboxes.waitFor(
          text,
          ({ content, mailboxGuid }) => isIt(content) && mailboxGuid === mail.mailboxOf(who.tenantId, who.person),
        )
  const { messageId = '' } = await simpleParser(arrival.content)
  return { content: arrival.content, sender: arrival.sender, messageId }
}

function entryOf(who: Who, uid: string): CalendarEntry | undefined {
  return people.calendar(who).find((entry) => entry.uid === uid)
}

/** Waits until the calendar holds the meeting as wanted. */
function inCalendar(who: Who, uid: string, isWanted: (entry: CalendarEntry) => boolean): Promise<CalendarEntry> {
  return eventually('the meeting', () => {
    const entry = entryOf(who, uid)
    return entry !== undefined && isWanted(entry) ? entry : undefined
  })
}

test('a letter leaves under the primary address and passes DMARC; the answer comes back to it', async () => {
  const { messageId } = await people.send(ALICE, {
    to: ['Dana Berg <dana@example.net>', 'Carol <carol@contoso.com>'],
    cc: ['lee@fabrikam.com'],
    bcc: ['olga@example.net'],
    subject: 'Letter 1',
    text: 'Hello',
    wantsReceipt: true,
  })
  const { content, sender } = await arrivedAt(DANA, 'Subject: Letter 1')
  const letter = await simpleParser(content)
  assert.equal(letter.messageId, messageId)
  assert.equal(sender, 'alice@contoso.com')
  assert.deepEqual(addressesOf(letter.from), [{ name: 'Alice Smith', address: 'alice@contoso.com' }])
  assert.deepEqual(addressesOf(letter.to), [
    { name: 'Dana Berg', address: 'dana@example.net' },
    { name: 'Carol', address: 'carol@contoso.com' },
  ])
  assert.deepEqual(addressesOf(letter.cc), [{ name: '', address: 'lee@fabrikam.com' }])
  const [arrived] = mail.outside.mails.list().filter((each) => each.content.includes(messageId))
  assert.equal(arrived?.verdict.dmarc.result, 'pass')
  await arrivedAt(OLGA, messageId)
  await arrivedAt(LEE, messageId)

  const answer = await people.send(DANA, { inReplyTo: messageId, isToAll: true, text: 'Thanks' })
  assert.deepEqual(answer.outcomes?.map(({ recipient, kind }) => [recipient, kind]).toSorted(), [
    ['alice@contoso.com', 'accepted'],
    ['carol@contoso.com', 'accepted'],
    ['lee@fabrikam.com', 'accepted'],
  ])
  const back = await simpleParser((await arrivedAt(ALICE, 'Subject: RE: Letter 1')).content)
  assert.equal(back.inReplyTo, messageId)
  assert.deepEqual(addressesOf(back.from), [{ name: 'Dana Berg', address: 'dana@example.net' }])
  assert.match((await arrivedAt(CAROL, 'Subject: RE: Letter 1')).content.toString(), /dkim=pass/)
  const again = await people.send(ALICE, { inReplyTo: answer.messageId, text: 'You are welcome' })
  const third = await simpleParser((await arrivedAt(DANA, again.messageId)).content)
  assert.deepEqual(third.references, [messageId, answer.messageId])
  assert.equal(third.subject, 'RE: Letter 1')

  const receipt = await people.sendReadReceipt(DANA, messageId)
  const read = await arrivedAt(ALICE, receipt.messageId)
  assert.equal(read.sender, '', 'RFC 8098 §3: the null reverse-path')
  assert.match(read.content.toString(), /Original-Message-ID: </)
})

test('a colleague sends for another: From and Sender are two people', async () => {
  await people.send(ALICE, {
    to: ['dana@example.net'],
    subject: 'For Alice',
    text: 'by Carol',
    sentBy: 'carol@contoso.com',
  })
  const { content, sender } = await arrivedAt(DANA, 'Subject: For Alice')
  assert.equal(sender, 'carol@contoso.com')
  assert.match(content.toString(), /^Sender: Carol Jones <carol@contoso\.com>\r$/m)
  assert.match(content.toString(), /^From: Alice Smith <alice@contoso\.com>\r$/m)
})

test('an outsider invites, is answered, changes and cancels the meeting; both calendars agree', async () => {
  const { uid } = await people.invite(DANA, {
    required: ['asmith@contoso.com'],
    optional: ['lee@fabrikam.com'],
    subject: 'Fair',
    text: 'See you',
    location: 'Hall 1',
    when: WHEN,
  })
  await inCalendar(LEE, uid, ({ problems }) => problems.length === 0)
  assert.equal((await inCalendar(ALICE, uid, () => true)).organizer.address, 'dana@example.net')
  await people.respond(ALICE, uid, { answer: 'accepted', text: 'Gladly' })
  const accepted = await inCalendar(
    DANA,
    uid,
    ({ attendees, problems }) => attendees[0]?.answer === 'accepted' || problems.length > 0,
  )
  // Alice was invited by another address of hers: nobody outside can know that.
  assert.deepEqual(accepted.problems, ['not-invited'])

  const changed = await people.updateInvitation(DANA, uid, { when: LATER })
  assert.equal(changed.sequence, 1)
  await inCalendar(LEE, uid, ({ sequence, when }) => sequence === 1 && when?.startMs === LATER.startMs)
  await people.respond(LEE, uid, { answer: 'tentative' })
  await inCalendar(DANA, uid, ({ attendees }) => attendees[1]?.answer === 'tentative')

  await people.cancelInvitation(DANA, uid)
  await inCalendar(LEE, uid, ({ isCancelled }) => isCancelled)
  await inCalendar(ALICE, uid, ({ isCancelled }) => isCancelled)
  await assert.rejects(people.updateInvitation(DANA, uid, { subject: 'again' }), RangeError)
})

test('a person of a tenant invites an outsider and a colleague; declines, counter-proposals and updates come through', async () => {
  const { uid } = await people.invite(ALICE, {
    required: ['Dana <dana@example.net>', 'carol+news@contoso.com'],
    subject: 'Plan',
    when: WHEN,
    sentBy: 'carol@contoso.com',
  })
  assert.match(uid, /^040000008200E00074C5B7101A82E00800000000[0-9A-F]{16}000000000000000010000000[0-9A-F]{32}$/)
  const invitation = await inCalendar(DANA, uid, () => true)
  assert.deepEqual(invitation.problems, [])
  assert.deepEqual(invitation.organizer, { name: 'Alice Smith', address: 'alice@contoso.com' })
  await people.respond(DANA, uid, { answer: 'counter', proposal: LATER })
  await inCalendar(CAROL, uid, () => true)
  await people.respond(CAROL, uid, { answer: 'declined' })
  const answered = await inCalendar(ALICE, uid, ({ attendees }) => attendees.every(({ answer }) => answer !== 'none'))
  assert.deepEqual(
    answered.attendees.map(({ answer }) => answer),
    ['counter', 'declined'],
  )
  assert.deepEqual(answered.attendees[0]?.proposal, LATER)
  assert.deepEqual(answered.problems, [], 'inside a tenant any address of Carol is hers')

  await people.updateInvitation(ALICE, uid, { when: LATER, subject: 'Plan B' })
  const updated = await inCalendar(DANA, uid, ({ subject }) => subject === 'Plan B')
  assert.deepEqual(updated.when, LATER)
  assert.deepEqual(
    entryOf(ALICE, uid)?.attendees.map(({ answer }) => answer),
    ['none', 'none'],
    'another time is another question',
  )
  await people.respond(DANA, uid, { answer: 'accepted' })
  await inCalendar(ALICE, uid, ({ attendees }) => attendees[0]?.answer === 'accepted')
  await people.updateInvitation(ALICE, uid, { location: 'Room 9' })
  assert.equal(entryOf(ALICE, uid)?.attendees[0]?.answer, 'accepted', 'the same time is not')
  for (const who of [CAROL, DANA]) await inCalendar(who, uid, ({ location }) => location === 'Room 9')
})

test('out of office: each sender once, colleagues and strangers with their texts, programs never', async () => {
  people.setAutomaticReply(CAROL, {
    internalText: 'Back on Monday, love',
    externalText: 'Back on Monday',
    audience: 'all',
  })
  await people.send(DANA, { to: ['carol@contoso.com'], subject: 'Are you there?', text: '' })
  const reply = await arrivedAt(DANA, 'Subject: Automatic reply: Are you there?')
  assert.equal(reply.sender, '', 'RFC 3834 §3.3')
  const read = await simpleParser(reply.content)
  assert.equal(read.text?.trim(), 'Back on Monday')
  assert.equal(read.headers.get('auto-submitted'), 'auto-generated')
  assert.deepEqual(addressesOf(read.to), [{ name: 'Dana Berg', address: 'dana@example.net' }])
  await people.send(ALICE, { to: ['carol@contoso.com'], subject: 'And for me?', text: '' })
  assert.match((await arrivedAt(ALICE, 'Subject: Automatic reply: And for me?')).content.toString(), /Monday, love/)

  await people.send(DANA, { to: ['carol@contoso.com'], subject: 'Second question', text: '' })
  await arrivedAt(CAROL, 'Subject: Second question')
  const list = Buffer.from(
    'From: news@example.net\r\nTo: carol@contoso.com\r\nSubject: News\r\nList-Id: <n.example.net>\r\n\r\n.\r\n',
  )
  await mail.outside.send({ from: 'olga@example.net', to: ['carol@contoso.com'], content: list })
  await arrivedAt(CAROL, 'Subject: News')
  await people.settled()
  const replies = mail.outside.mails.list().filter(({ content }) => content.includes('Subject: Automatic reply:'))
  assert.equal(replies.length, 1)

  people.setAutomaticReply(CAROL, undefined)
  await people.send(OLGA, { to: ['carol@contoso.com'], subject: 'Third', text: '' })
  await arrivedAt(CAROL, 'Subject: Third')
  await people.settled()
  assert.equal(mail.outside.mails.list().filter(({ content }) => content.includes('Automatic reply:')).length, 1)
})

test('an outsider is out of office, too', async () => {
  people.setAutomaticReply(OLGA, { internalText: 'x', externalText: 'Gone fishing', audience: 'all' })
  await people.send(ALICE, { to: ['olga@example.net'], subject: 'Fish?', text: '' })
  const { content } = await arrivedAt(ALICE, 'Subject: Automatic reply: Fish?')
  assert.match(content.toString(), /^Auto-Submitted: auto-replied\r$/m)
  assert.match(content.toString(), /Gone fishing/)
  people.setAutomaticReply(OLGA, undefined)
})

test('who moves gets his mail in the other tenant, knows his meetings there, and comes back as he was', async () => {
  const [moving, arriving] = [CAROL, { tenantId: FABRIKAM, person: 'carol@fabrikam.com' }]
  const asTheyWere = [CONTOSO, FABRIKAM].map((id) => sandbox.control.state(id))
  const { uid } = await people.invite(DANA, { required: ['carol@contoso.com'], subject: 'Before', when: WHEN })
  await inCalendar(CAROL, uid, () => true)
  assert.deepEqual(people.move(moving, arriving), { routingAddress: 'carol@fabrikam.onmicrosoft.com' })
  await people.send(DANA, { to: ['carol@contoso.com'], subject: 'Where are you?', text: '' })
  const moved = await arrivedAt(arriving, 'Subject: Where are you?')
  await people.send(arriving, { inReplyTo: moved.messageId, text: 'Here' })
  const answer = await simpleParser((await arrivedAt(DANA, 'Subject: RE: Where are you?')).content)
  assert.deepEqual(addressesOf(answer.from), [{ name: 'Carol Jones', address: 'carol@fabrikam.com' }])
  assert.equal(entryOf(arriving, uid)?.subject, 'Before')
  await assert.rejects(people.send(moving, { to: ['dana@example.net'], subject: 'x', text: '' }), /no mailbox/)
  people.moveBack(moving)
  assert.deepEqual(
    [CONTOSO, FABRIKAM].map((id) => sandbox.control.state(id)),
    asTheyWere,
  )
  await people.send(DANA, { to: ['carol@contoso.com'], subject: 'Welcome back', text: '' })
  await arrivedAt(CAROL, 'Subject: Welcome back')
})

test('an outsider tries again at who cannot take it yet, and gives up at last', async () => {
  const own = new People({ mail, tenants: sandbox.tenants, nowMs: Date.now, guid: randomUUID, retriesMs: [5, 5] })
  const now = Date.now()
  let asked = 0
  const server = mailServer({
    hostName: 'mx.busy.test',
    banner: 'busy',
    maxBytes: 10_000,
    certificate: await mail.authority.issue(['mx.busy.test'], { notBefore: now - 1000, notAfter: now + 86_400_000 }),
    refusal: (recipient) => (recipient.startsWith('never') || ++asked < 3 ? [451, '4.3.0 busy'] : undefined),
    onMail: () => Promise.resolve(),
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.server.address()
  mail.zones.set('busy.test', 'MX', { preference: 1, exchange: 'mx.busy.test' })
  mail.zones.set('mx.busy.test', 'A', '127.0.0.1')
  mail.setHost('mx.busy.test', typeof bound === 'object' && bound !== null ? bound.port : 0)
  try {
    const { outcomes } = await own.send(OLGA, { to: ['once@busy.test', 'never@busy.test'], subject: 'Busy', text: '' })
    assert.deepEqual(
      outcomes?.map(({ recipient, kind }) => [recipient, kind]),
      [
        ['once@busy.test', 'accepted'],
        ['never@busy.test', 'deferred'],
      ],
    )
    const waiting = new People({
      mail,
      tenants: sandbox.tenants,
      nowMs: Date.now,
      guid: randomUUID,
      retriesMs: [60_000],
    })
    const sending = waiting.send(OLGA, { to: ['never@busy.test'], subject: 'Busy', text: '' })
    await eventually('the first attempt', () => (asked >= 3 ? true : undefined))
    await waiting.close()
    assert.deepEqual(
      (await sending).outcomes?.map(({ kind }) => kind),
      ['deferred'],
    )
  } finally {
    await own.close()
    await new Promise<void>((resolve) => server.close(resolve))
  }
})

async function control(operation: string, fields: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${sandbox.controlUrl}/control/${operation}`, {
    method: 'POST',
    headers: { 'x-sandbox-control': '1' },
    body: JSON.stringify(fields),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

test('all of it can be asked for over the control API', async () => {
  const alice = { tenant: CONTOSO, person: 'alice@contoso.com' }
  const dana = { person: 'dana@example.net' }
  const attachments = [
    { name: 'a.bin', type: 'application/octet-stream', content: Buffer.from('bytes').toString('base64') },
  ]
  const sent = await control('person-send', {
    ...alice,
    to: ['dana@example.net'],
    subject: 'By control',
    text: 'x',
    wantsReceipt: true,
    attachments,
  })
  assert.equal(sent.status, 200)
  const arrived = await arrivedAt(DANA, String(sent.body['messageId']))
  const letter = await simpleParser(arrived.content)
  const written = Buffer.from(String(sent.body['content']), 'base64').toString('latin1')
  const header = written.slice(0, written.indexOf('Content-Type:'))
  assert.ok(arrived.content.toString('latin1').includes(header), 'servers add to it, and change nothing of it')
  assert.equal(letter.attachments[0]?.content.toString(), 'bytes')
  const answered = await control('outside-send', { ...dana, inReplyTo: sent.body['messageId'], text: 'y' })
  assert.equal((answered.body['outcomes'] as { kind: string }[])[0]?.kind, 'accepted')
  assert.equal((await control('outside-read-receipt', { ...dana, messageId: sent.body['messageId'] })).status, 200)

  const times = { start: '2027-02-01T10:00:00+01:00', end: '2027-02-01T10:00:00Z' }
  const invited = await control('person-invite', {
    ...alice,
    required: ['dana@example.net'],
    subject: 'Meet',
    ...times,
  })
  const uid = String(invited.body['uid'])
  assert.deepEqual((await inCalendar(DANA, uid, () => true)).when, {
    startMs: Date.UTC(2027, 1, 1, 9),
    endMs: Date.UTC(2027, 1, 1, 10),
  })
  assert.equal((await control('outside-respond', { ...dana, uid, answer: 'accept' })).status, 200)
  await inCalendar(ALICE, uid, ({ attendees }) => attendees[0]?.answer === 'accepted')
  assert.equal((await control('person-update-invitation', { ...alice, uid, location: 'Hall' })).body['sequence'], 1)
  assert.equal((await control('person-cancel-invitation', { ...alice, uid })).body['sequence'], 2)
  await inCalendar(DANA, uid, ({ isCancelled }) => isCancelled)
  const { meetings } = (await control('outside-calendar', dana)).body as { meetings: CalendarEntry[] }
  const ended = meetings.find((each) => each.uid === uid)
  assert.deepEqual([ended?.isCancelled, ended?.sequence, ended?.ownAnswer], [true, 2, 'none'])

  assert.equal((await control('set-automatic-reply', { ...alice, text: 'away', externalText: 'gone' })).status, 200)
  await control('outside-send', { ...dana, to: ['alice@contoso.com'], subject: 'Reach you?', text: '' })
  assert.match((await arrivedAt(DANA, 'Automatic reply: Reach you?')).content.toString(), /\r\n\r\ngone\r\n/)
  assert.equal((await control('set-automatic-reply', { ...alice, text: null })).status, 200)

  const there = { toTenant: FABRIKAM, toPerson: 'alice.smith@fabrikam.com' }
  const moved = await control('move-person', { ...alice, ...there })
  assert.deepEqual(moved.body, { routingAddress: 'alice.smith@fabrikam.onmicrosoft.com' })
  assert.equal((await control('move-person-back', alice)).status, 200)
})

test('whoever asks wrongly is told what is wrong', async () => {
  const alice = { tenant: CONTOSO, person: 'alice@contoso.com' }
  const letter = { to: ['dana@example.net'], subject: 's', text: 't' }
  const rows: readonly [operation: string, fields: unknown, error: RegExp][] = [
    ['person-send', { ...alice, ...letter, to: 'dana@example.net' }, /^to has to be/],
    ['person-send', { ...alice, ...letter, to: ['nobody'] }, /address/],
    ['person-send', { ...alice, ...letter, to: [] }, /somebody to go to/],
    ['person-send', { ...alice, subject: 's', text: 't' }, /^to has to be/],
    ['person-send', { ...alice, to: ['dana@example.net'], text: 't' }, /^subject/],
    ['person-send', { ...alice, inReplyTo: '<no@such>', text: 't' }, /no such message/],
    ['person-send', { ...alice, tenant: 'x', ...letter }, /no such tenant/],
    ['person-send', { ...alice, person: 'nobody@contoso.com', ...letter }, /no mailbox/],
    ['person-send', { ...alice, ...letter, sentBy: 'dana@example.net' }, /no mailbox/],
    ['outside-send', { person: 'x@contoso.com', ...letter }, /outside/],
    [
      'person-invite',
      { ...alice, required: [], subject: 's', start: '2027-01-01T10:00:00Z', end: '2027-01-01T11:00:00Z' },
      /somebody to meet/,
    ],
    [
      'person-invite',
      { ...alice, required: ['a@b.c'], subject: 's', start: 'tomorrow', end: '2027-01-01T11:00:00Z' },
      /^start has to be a time/,
    ],
    [
      'person-invite',
      { ...alice, required: ['a@b.c'], subject: 's', start: '2027-01-01T11:00:00Z', end: '2027-01-01T11:00:00Z' },
      /before it ends/,
    ],
    ['person-respond', { ...alice, uid: 'none', answer: 'accept' }, /no such invitation/],
    ['person-respond', { ...alice, uid: 'none', answer: 'maybe' }, /^answer has to be one of/],
    ['person-cancel-invitation', { ...alice, uid: 'none' }, /no such meeting/],
    ['person-read-receipt', { ...alice, messageId: '<none>' }, /no such message/],
    ['move-person-back', alice, /has not moved/],
  ]
  for (const [operation, fields, error] of rows) {
    const { status, body } = await control(operation, fields)
    assert.equal(status, 400, `${operation} ${JSON.stringify(fields)}`)
    assert.match(String(body['error']), error)
  }
})

test('a sandbox without mail has no people', async (t) => {
  const silent = await testSandbox(t, { isReported: false })
  assert.throws(() => silent.control.people, /without mail/)
})
