// What the tour demands of every message that arrives: one copy, each byte as expected, and for a stranger's mail server a pass of DMARC.
import { DISCLAIMERS } from './cast.ts'
import { headerValue } from './mail.ts'
import type { Arrived, Mail, Person, SentMail } from './mail.ts'
import { differencesFrom, expectedOf } from './rewritten.ts'
import type { Rewriting } from './rewritten.ts'
import type { Running } from './step.ts'
import type { TourContext } from './tour-context.ts'

export interface Expectation {
  /** Who is to have it. */
  readonly at: Person
  /** What had to become of it on the way there. */
  readonly rewriting: Rewriting
  /** Domain of the author that strangers see, where a stranger gets it: it has to pass DMARC. */
  readonly passesFor?: string
}

/**
 * Waits for one message at everybody whom it is for, and checks each copy.
 *
 * @returns how long the slowest took, ms
 */
export async function demandArrivals(
  { mail, sent }: Pick<TourContext, 'mail' | 'sent'>,
  step: Running,
  what: string,
  message: SentMail,
  expectations: readonly Expectation[],
): Promise<number> {
  let slowest = 0
  for (const { at, rewriting, passesFor } of expectations) {
    const copies = await mail.copies(at.mailbox, message.messageId)
    const [copy] = copies
    slowest = Math.max(slowest, copy.seenMs - message.atMs)
    step.demandEqual(`copies of ${what} at ${at.mailbox}`, copies.length, 1)
    demandBytes(step, `${what} at ${at.mailbox}`, copy, expectedOf(message.content, rewriting))
    if (passesFor !== undefined) demandPass(step, `${what} at ${at.mailbox}`, copy, passesFor)
  }
  sent.push({ messageId: message.messageId, copies: expectations.map(({ at }) => at.mailbox) })
  return slowest
}

export function demandBytes(step: Running, what: string, copy: Arrived, expected: Buffer): void {
  const differences = differencesFrom(expected, copy.content, DISCLAIMERS)
  step.demand(`every byte of ${what}`, differences.length === 0, differences.join('; '))
}

/** RFC 7489, as the outside's own verifier finds it. */
export function demandPass(step: Running, what: string, { verdict, content }: Arrived, domain: string): void {
  step.demandEqual(`DMARC of ${what}`, [verdict?.dmarc.result, verdict?.dmarc.fromDomain], ['pass', domain])
  const isSigned = verdict?.dkim.some((each) => each.result === 'pass' && each.isAligned && each.domain === domain)
  step.demand(`an aligned signature of ${domain} on ${what}`, isSigned === true, JSON.stringify(verdict?.dkim))
  for (const name of ['X-Causeway-Trace', 'X-Causeway-Project'])
    step.demandEqual(`${name} of ${what}`, headerValue(content, name), '')
}

/** Nothing came late, nothing came twice. */
export async function demandCounts(mail: Mail, step: Running, sent: TourContext['sent']): Promise<number> {
  const places = [...new Set(sent.flatMap(({ copies }) => copies))]
  let counted = 0
  for (const address of places) {
    const ids = (await mail.arrivals(address)).map(({ content }) => headerValue(content, 'Message-ID'))
    const wanted = sent.filter(({ copies }) => copies.includes(address)).map(({ messageId }) => messageId)
    const wrong = wanted.filter((messageId) => ids.filter((id) => id === messageId).length !== 1)
    step.demandEqual(`messages that are at ${address} not once`, wrong, [])
    counted += wanted.length
  }
  return counted
}
