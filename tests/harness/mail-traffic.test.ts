// The judge of the traffic finds what it is there to find: simulated tenants without the product, and something wrong in each way.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { ALICE, CAST, OLGA } from '../../cli/tour/cast.ts'
import type { MailboxArrival } from '../../sandbox/mail/mailboxes.ts'
import { seedTenants } from '../../sandbox/tenants/seed.ts'
import { MailTraffic } from './mail-traffic.ts'
import type { TrafficReport } from './mail-traffic.ts'
import { testSandbox } from './sandbox.ts'
import { TRAFFIC } from './traffic-kinds.ts'
import type { TrafficKind } from './traffic-kinds.ts'

const { contoso, fabrikam } = seedTenants(1)
const sandbox = await testSandbox(
  { after },
  { tenants: [contoso, fabrikam], mail: { retry: { pauses: [50] } }, isReported: false },
)
const { mail, control } = sandbox
assert.ok(mail !== undefined)
mail.outside.addMailbox(OLGA.mailbox)
const [{ tenantId }] = CAST
const MESSAGES = 28
/** Where all of it arrives nobody waits for long. */
let patienceMs = 15_000
const PATIENCE_WITH_LOSSES_MS = 1_500

/** @param wanted  names of kinds; default: all */
function judged(wanted?: readonly string[], meanwhile?: (arrival: MailboxArrival) => void): Promise<TrafficReport> {
  return judgedKinds(
    TRAFFIC.filter(({ name }) => wanted?.includes(name) ?? true),
    meanwhile,
  )
}

async function judgedKinds(
  kinds: readonly TrafficKind[],
  meanwhile: (arrival: MailboxArrival) => void = () => {},
): Promise<TrafficReport> {
  assert.ok(mail !== undefined)
  const traffic = new MailTraffic(mail, control.people, { perSecond: 100, kinds, patienceMs })
  const stop = mail.onDelivered(meanwhile)
  traffic.start()
  await traffic.more(MESSAGES)
  const report = await traffic.finished(() => Promise.resolve(0))
  stop()
  return report
}

/** A rule of Contoso's while `work` runs. */
async function under(rule: object, work: () => Promise<TrafficReport>): Promise<TrafficReport> {
  const like = contoso.exchangeObjects?.find(
    ({ noun, properties }) => noun === 'TransportRule' && properties['State'] === 'Enabled',
  )
  assert.ok(like !== undefined)
  const { ApplyHtmlDisclaimerText: _text, ApplyHtmlDisclaimerLocation: _location, ...plain } = like.properties
  const guid = randomUUID()
  const properties = { ...plain, Name: 'Bad', Guid: guid, Identity: 'Bad', Priority: 9, State: 'Enabled', ...rule }
  control.putExchangeObject(tenantId, { ...like, guid, properties })
  const before = patienceMs
  patienceMs = PATIENCE_WITH_LOSSES_MS
  try {
    return await work()
  } finally {
    patienceMs = before
    control.removeObject(tenantId, guid)
  }
}

test('without coexistence everything arrives untouched, and who writes to nobody is told once', async () => {
  const { problems, rewritten, untouched, sent } = await judged()
  assert.deepEqual([problems, rewritten], [[], 0])
  assert.ok(sent >= MESSAGES && untouched > MESSAGES / 2)
})

test('a copy that comes twice is a problem, and its second form none that counts', async () => {
  const again = new Set<number>()
  const { problems } = await judged(['unmapped to unmapped'], (arrival) => {
    if (again.size > 0 || arrival.sender === '') return
    again.add(arrival.number)
    mail?.mailboxes.add(arrival)
  })
  assert.equal(problems.length, 1)
  assert.match(problems[0] ?? '', /it is there twice/)
})

for (const [what, rule, kind, problem] of [
  [
    'one byte more in the header',
    { SetHeaderName: 'X-Bad', SetHeaderValue: 'yes' },
    'mapped to outside',
    /X-Bad: yes.* is too much/,
  ],
  ['a message that is lost', { DeleteMessage: true }, 'mapped to outside', /never arrived at olga@example\.net/],
  [
    'a report that should not be',
    { RejectMessageReasonText: 'no', RejectMessageEnhancedStatusCode: '5.7.1' },
    'mapped to outside',
    /report number 1 at alice@contoso\.com/,
  ],
  [
    'a message that nobody can decide about',
    { RedirectMessageTo: ['adele@contoso.com'] },
    'mapped to outside',
    /still waits for rules/,
  ],
] as const) {
  test(`${what} is a problem`, async () => {
    const { problems } = await under(rule, () => judged([kind]))
    assert.ok(
      problems.some((each) => problem.test(each)),
      problems.slice(0, 3).join('\n'),
    )
  })
}

test('a copy in somebody else’s mailbox is a problem', async () => {
  let isDone = false
  const { problems } = await judged(['unmapped to unmapped'], (arrival) => {
    if (isDone) return
    isDone = true
    mail?.mailboxes.add({ ...arrival, mailboxGuid: randomUUID(), recipient: 'lee@fabrikam.com' })
  })
  assert.equal(problems.length, 1)
  assert.match(problems[0] ?? '', /at lee@fabrikam\.com: nobody there was to have it/)
})

test('half of a rewriting is a problem: the header as it was written, where the envelope would have to be presented', async () => {
  const [kind] = TRAFFIC.filter(({ name }) => name === 'mapped to the other tenant')
  const half = kind?.copies.map((forms) => forms.map((form) => ({ ...form, reversePath: ALICE.presented })))
  assert.ok(kind !== undefined && half !== undefined)
  const { problems } = await judgedKinds([{ ...kind, copies: half }])
  assert.match(problems[0] ?? '', /from <alice@contoso\.com> in place of <alice\.smith@fabrikam\.com>/)
})
