// Mail of a mapped person, both ways: written, answered, receipts, out of office, a bounce. What each becomes is in rewriting.md §2, §3, §9.
import { ADELE, ALICE, OLGA, HUGO, NOBODY } from './cast.ts'
import type { Fields } from './api-client.ts'
import { headerValue, messageIdOf } from './mail.ts'
import type { Person } from './mail.ts'
import { demandArrivals, demandCounts, demandPass } from './mail-checks.ts'
import { shownMessage } from './message-picture.ts'
import { inward, outward, UNCHANGED } from './rewritten.ts'
import type { TourStep } from './step.ts'
import type { TourContext } from './tour-context.ts'
import { until } from './wait.ts'

export const PRESENTED_DOMAIN = 'fabrikam.com'
const OUT = outward([ALICE])
const IN = inward([ALICE])
const written = ({ name, mailbox }: Person): string => `${name} <${mailbox}>`
const SILENCE_MS = 2_000
/** Relays tell what became of mail in batches. */
const TRACED_WITHIN_MS = 45_000

export const writeStep: TourStep<TourContext> = {
  name: 'write',
  title: 'a mapped person writes outside and to both tenants',
  async run(context, step) {
    const message = await context.mail.does(ALICE, 'send', {
      to: [written(OLGA)],
      cc: [written(ADELE), written(HUGO)],
      subject: 'Figures for Wednesday',
      text: `Here they are.\nQuestions to ${ALICE.mailbox}.`,
      wantsReceipt: true,
    })
    const slowest = await demandArrivals(context, step, 'the message', message, [
      { at: OLGA, rewriting: OUT, passesFor: PRESENTED_DOMAIN },
      { at: HUGO, rewriting: OUT },
      { at: ADELE, rewriting: UNCHANGED },
    ])
    const [copy] = await context.mail.copies(OLGA.mailbox, message.messageId)
    step.demandEqual('the reverse-path that the outsider sees', copy.reversePath, ALICE.presented)
    step.show(shownMessage('As it was written, and as the outsider got it', message.content, copy.content))
    context.letter = message.messageId
    return `as ${ALICE.presented}, DMARC passes; ${slowest} ms`
  },
}

export const answerStep: TourStep<TourContext> = {
  name: 'answer',
  title: 'the outsider answers everybody',
  async run(context, step) {
    const { mail, letter } = context
    const answer = await mail.does(OLGA, 'send', {
      inReplyTo: letter,
      isToAll: true,
      text: 'Thank you.',
      wantsReceipt: true,
    })
    const slowest = await demandArrivals(context, step, 'the answer', answer, [
      { at: ALICE, rewriting: IN },
      { at: HUGO, rewriting: UNCHANGED },
      { at: ADELE, rewriting: UNCHANGED },
    ])
    step.demandEqual('what it answers', headerValue(answer.content, 'In-Reply-To'), letter)
    context.answer = answer.messageId
    return `it is in the mailbox ${ALICE.mailbox}; ${slowest} ms`
  },
}

export const traceStep: TourStep<TourContext> = {
  name: 'trace',
  title: 'where is it: both messages in the trace',
  async run({ api, project, letter, answer }, step) {
    for (const [messageId, direction, recipients] of [
      [letter, 'out', 2],
      [answer, 'in', 1],
    ] as const) {
      let last: readonly Fields[] = []
      const path = `${project}/messages?messageId=${encodeURIComponent(messageId)}`
      const [message] = await until(
        `the ${direction === 'out' ? 'message' : 'answer'} to be traced to its end`,
        async () => {
          last = await api.list(path)
          return last.some((each) => (each['recipients'] as Fields)['delivered'] === recipients) ? last : undefined
        },
        { withinMs: TRACED_WITHIN_MS, found: () => JSON.stringify(last) },
      )
      step.demandEqual(`messages in the trace of ${messageId}`, last.length, 1)
      const recipientsOf = (message?.['recipients'] ?? {}) as Fields
      step.demandEqual('its direction', message?.['direction'], direction)
      step.demandEqual('recipients that it failed for', recipientsOf['failed'], 0)
    }
    return 'delivered, as the relays told it; addresses are hashed'
  },
}

export const receiptStep: TourStep<TourContext> = {
  name: 'receipts',
  title: 'read receipts, both ways',
  async run(context, step) {
    const { mail, letter, answer } = context
    const inside = await mail.does(OLGA, 'read-receipt', { messageId: letter })
    await demandArrivals(context, step, "the outsider's receipt", inside, [{ at: ALICE, rewriting: IN }])
    const outside = await mail.does(ALICE, 'read-receipt', { messageId: answer })
    await demandArrivals(context, step, 'her receipt', outside, [
      { at: OLGA, rewriting: OUT, passesFor: PRESENTED_DOMAIN },
    ])
    const [copy] = await mail.copies(OLGA.mailbox, outside.messageId)
    step.demandEqual('the reverse-path of a receipt', copy.reversePath, '')
    const read = new RegExp(`^Final-Recipient: *rfc822; *${ALICE.presented.replaceAll('.', String.raw`\.`)}\\r$`, 'im')
    step.demand('the receipt names her as the outsider knows her', read.test(copy.content.toString('latin1')))
    return `hers is of ${ALICE.presented}`
  },
}

export const absenceStep: TourStep<TourContext> = {
  name: 'out-of-office',
  title: 'out of office: one automatic reply',
  async run(context, step) {
    const { mail } = context
    const since = await mail.newest(OLGA.mailbox)
    await mail.automaticReply(ALICE, 'I am away until Monday.')
    try {
      const asked = []
      for (const subject of ['Are you there?', 'Are you there now?']) {
        const message = await mail.does(OLGA, 'send', {
          to: [written({ name: ALICE.name, mailbox: ALICE.presented })],
          subject,
          text: 'Hello.',
        })
        await demandArrivals(context, step, 'the question', message, [{ at: ALICE, rewriting: IN }])
        asked.push(message)
      }
      const isReply = ({ content }: { content: Buffer }) => headerValue(content, 'Auto-Submitted').startsWith('auto-')
      const [reply] = await mail.waitFor('the automatic reply', OLGA.mailbox, isReply, since)
      demandPass(step, 'the automatic reply', reply, PRESENTED_DOMAIN)
      step.demandEqual('its author', headerValue(reply.content, 'From'), `${ALICE.name} <${ALICE.presented}>`)
      step.demandEqual('its reverse-path', reply.reversePath, '')
      step.demandEqual('what it answers', headerValue(reply.content, 'In-Reply-To'), asked[0]?.messageId)
      await demandSilence(context, isReply, since, 1)
      const replies = (await mail.arrivals(OLGA.mailbox, since)).filter(isReply)
      step.demandEqual('automatic replies to two questions', replies.length, 1)
    } finally {
      await mail.automaticReply(ALICE, null)
    }
    return 'one, to the first of two questions'
  },
}

/** Gives one too many the time to come. */
async function demandSilence(
  { mail }: TourContext,
  isCounted: (mail: { content: Buffer }) => boolean,
  since: number,
  expected: number,
): Promise<void> {
  const end = Date.now() + SILENCE_MS
  await until(
    'silence',
    async () => {
      const found = (await mail.arrivals(OLGA.mailbox, since)).filter(isCounted).length
      return found > expected || Date.now() >= end ? true : undefined
    },
    { withinMs: 2 * SILENCE_MS },
  )
}

export const bounceStep: TourStep<TourContext> = {
  name: 'bounce',
  title: 'a message to nobody comes back',
  async run(context, step) {
    const { mail } = context
    const since = await mail.newest(ALICE.mailbox)
    const message = await mail.does(ALICE, 'send', { to: [NOBODY], subject: 'To nobody', text: 'Hello?' })
    const isBounce = ({ content }: { content: Buffer }) =>
      /multipart\/report/i.test(headerValue(content, 'Content-Type')) && content.includes(NOBODY)
    const bounces = await mail.waitFor('the bounce', ALICE.mailbox, isBounce, since)
    const [bounce] = bounces
    step.demandEqual('bounces', bounces.length, 1)
    step.demandEqual('its reverse-path', bounce.reversePath, '')
    step.demand(
      'it is to her mailbox',
      headerValue(bounce.content, 'To').includes(ALICE.mailbox),
      headerValue(bounce.content, 'To'),
    )
    const text = bounce.content.toString('latin1')
    step.demand('it names who was not found', /^Final-Recipient: *rfc822; *nobody@example\.net\r$/im.test(text))
    step.demand('it says why', /^Status: *5\.1\.1/im.test(text))
    const came = (await mail.arrivals(OLGA.mailbox)).filter(({ content }) => messageIdOf(content) === message.messageId)
    step.demandEqual('copies that arrived all the same', came.length, 0)
    return 'one report, in her mailbox'
  },
}

export const countStep: TourStep<TourContext> = {
  name: 'count',
  title: 'nothing is lost, nothing came twice',
  async run({ mail, sandbox, sent }, step) {
    await until(
      'the queues of both tenants to be empty',
      async () => (((await sandbox.do('mail-queue'))['messages'] as unknown[]).length === 0 ? true : undefined),
      { withinMs: 20_000, found: () => 'mail waits' },
    )
    return `${await demandCounts(mail, step, sent)} copies of ${sent.length} messages`
  },
}
