// The people of both tenants and of the outside, and what they do with mail: write, answer, invite and be invited, send receipts, be out of office, and
// move from one tenant to the other. Their mail programs are simple, the messages are what Exchange and others write.
import { setTimeout } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { AddressBook } from '../mail-flow/address-book.ts'
import type { DkimSigner } from '../internet/outside-mail.ts'
import type { LetterToSend, MeetingAnswer, MeetingChange, MeetingToPlan, Sent, SentMeeting } from './asked-of-people.ts'
import { automaticText } from './automatic-reply.ts'
import type { AutomaticReply } from './automatic-reply.ts'
import { takeNotice } from './calendar-entry.ts'
import type { CalendarEntry } from './calendar-entry.ts'
import { subjectOf } from './compose-calendar.ts'
import { composeMeetingMail } from './compose-meeting-mail.ts'
import { answeringThreadIndex, composeMessage, threadIndex } from './compose-message.ts'
import type { Heading } from './compose-message.ts'
import { composeReceipt } from './compose-receipt.ts'
import { mailboxOf, outsideCorrespondent, outsideKey, tenantCorrespondent } from './correspondent.ts'
import type { Correspondent, PeopleMail, TenantPerson, Who } from './correspondent.ts'
import { field } from './header-words.ts'
import type { Attendee, Meeting, MeetingMessage, Participation, When } from './meeting.ts'
import { checkedAddress, isAddress, isSameAddress, parseNamedAddress } from './named-address.ts'
import type { NamedAddress } from './named-address.ts'
import { PersonFolder } from './person-folder.ts'
import { PersonMoves } from './person-moves.ts'
import type { PersonMovesDeps } from './person-moves.ts'
import { readMessage } from './read-message.ts'
import type { ReceivedMessage } from './read-message.ts'

export interface PeopleDeps extends PersonMovesDeps {
  readonly mail: PeopleMail
  /** Of messages from outside; default: they aren't signed. */
  readonly signerOf?: (domain: string) => DkimSigner | undefined
  /** Between attempts from outside, as from a server that tries again; default 1, 2, 4 s. */
  readonly retriesMs?: readonly number[]
}

const RETRIES_MS = [1_000, 2_000, 4_000]

export class People {
  readonly #deps: PeopleDeps
  readonly #books = new Map<string, AddressBook>()
  readonly #folders = new Map<string, PersonFolder>()
  readonly #outsiders = new Map<string, NamedAddress>()
  readonly #moves: PersonMoves
  readonly #underWay = new Set<Promise<void>>()
  readonly #stopListening: readonly (() => void)[]
  readonly #closing = new AbortController()

  constructor(deps: PeopleDeps) {
    this.#deps = deps
    this.#moves = new PersonMoves(deps)
    const stopInside = deps.mail.onDelivered(({ tenantId, mailboxGuid, sender, content, atMs }) => {
      const recipient = deps.tenants.get(tenantId)?.recipient(mailboxGuid)
      if (recipient === undefined) return
      this.#receive(() => this.#ofTenant(tenantId, recipient.guid), readMessage(content, { reversePath: sender, atMs }))
    })
    const stopOutside = deps.mail.outside.mails.onArrival(({ recipients, reversePath, content, at }) => {
      const message = readMessage(content, { reversePath, atMs: at })
      for (const recipient of recipients) this.#receive(() => this.#outside({ name: '', address: recipient }), message)
    })
    this.#stopListening = [stopInside, stopOutside]
  }

  /** @throws RangeError, as everything here that is asked for what can't be */
  async send(who: Who, letter: LetterToSend): Promise<Sent> {
    const writer = this.#correspondent(who)
    const answered = letter.inReplyTo === undefined ? undefined : this.#message(writer, letter.inReplyTo)
    const to = letter.to?.map(parseNamedAddress) ?? answerees(answered, writer, letter.isToAll ?? false)
    const cc = (letter.cc ?? []).map(parseNamedAddress)
    const bcc = (letter.bcc ?? []).map(parseNamedAddress)
    const heading = {
      ...this.#heading(writer, answered, this.#sender(who, letter.sentBy)),
      to,
      cc,
      subject: letter.subject ?? `RE: ${(answered?.subject ?? '').replace(/^re: /i, '')}`,
      ...(letter.wantsReceipt === true ? { receiptTo: writer.self } : {}),
    }
    const { text, attachments = [] } = letter
    const content = composeMessage(writer.style, { ...heading, text, attachments }, this.#token())
    return this.#dispatch(writer, heading, [...to, ...cc, ...bcc], content)
  }

  async invite(who: Who, plan: MeetingToPlan): Promise<SentMeeting> {
    const organizer = this.#correspondent(who)
    const attendees = [
      ...plan.required.map((each): Attendee => ({ ...parseNamedAddress(each), isOptional: false })),
      ...(plan.optional ?? []).map((each): Attendee => ({ ...parseNamedAddress(each), isOptional: true })),
    ]
    if (attendees.length === 0) throw new RangeError('a meeting needs somebody to meet')
    const meeting: Meeting = {
      uid: organizer.style === 'exchange' ? this.#globalObjectId() : `${this.#deps.guid()}@${organizer.idDomain}`,
      sequence: 0,
      subject: plan.subject,
      text: plan.text ?? '',
      location: plan.location ?? '',
      when: checked(plan.when),
      organizer: organizer.self,
      attendees,
    }
    return this.#announce(organizer, 'REQUEST', meeting, { sender: this.#sender(who, plan.sentBy) })
  }

  async updateInvitation(who: Who, uid: string, change: MeetingChange): Promise<SentMeeting> {
    const organizer = this.#correspondent(who)
    const entry = this.#organised(organizer, uid)
    const when = change.when === undefined ? entry.when : checked(change.when)
    const meeting = { ...entry, ...change, when, sequence: entry.sequence + 1, organizer: organizer.self }
    return this.#announce(organizer, 'REQUEST', meeting, { entry })
  }

  async cancelInvitation(who: Who, uid: string, text?: string): Promise<SentMeeting> {
    const organizer = this.#correspondent(who)
    const entry = this.#organised(organizer, uid)
    const meeting = { ...entry, text: text ?? entry.text, sequence: entry.sequence + 1, organizer: organizer.self }
    return this.#announce(organizer, 'CANCEL', meeting, { entry })
  }

  /** To the organiser, about the newest invitation that has arrived. */
  async respond(who: Who, uid: string, { answer, text = '', proposal }: MeetingAnswer): Promise<SentMeeting> {
    const attendee = this.#correspondent(who)
    const folder = this.#folder(attendee.key)
    const entry = folder.entry(uid)
    if (entry === undefined || entry.isOrganizer) throw new RangeError('no such invitation has arrived')
    const about = { meeting: entry, attendee: attendee.self, comment: text }
    const message: MeetingMessage =
      answer === 'counter'
        ? { ...about, method: 'COUNTER', proposal: checked(proposal) }
        : { ...about, method: 'REPLY', participation: PARTICIPATIONS[answer] }
    checkedAddress(entry.organizer.address)
    const heading = { ...this.#heading(attendee, entry), to: [entry.organizer], subject: subjectOf(message) }
    const content = composeMeetingMail(attendee.style, heading, message, this.#token())
    const sent = await this.#dispatch(attendee, heading, heading.to, content)
    folder.put({ ...(folder.entry(uid) ?? entry), ownAnswer: answer })
    return { ...sent, uid, sequence: entry.sequence }
  }

  /** To whoever asked for it in that message. */
  async sendReadReceipt(who: Who, messageId: string): Promise<Sent> {
    const reader = this.#correspondent(who)
    const read = this.#message(reader, messageId)
    if (read.receiptTo === undefined) throw new RangeError('the message asks for no receipt')
    const heading = {
      ...this.#heading(reader, read),
      to: [{ name: nameOf(read.from, read.receiptTo), address: checkedAddress(read.receiptTo) }],
      subject: `Read: ${read.subject}`,
    }
    const mentioned = [...read.to, ...read.cc].find(reader.isOwn)
    const about = {
      messageId,
      subject: read.subject,
      sentMs: read.sentMs,
      originalRecipient:
        mentioned === undefined || isSameAddress(mentioned, reader.self.address) ? undefined : mentioned,
    }
    const content = composeReceipt(reader.style, heading, about, this.#token())
    return this.#dispatch(reader, heading, heading.to, content, '')
  }

  /** Once to each sender, until it is set again. @param setting  undefined: back in the office */
  setAutomaticReply(who: Who, setting: AutomaticReply | undefined): void {
    this.#folder(this.#correspondent(who).key).automaticReply = setting
  }

  calendar(who: Who): readonly CalendarEntry[] {
    return this.#folder(this.#correspondent(who).key).entries()
  }

  /** What is in his mailbox comes along. @returns where mail for the old address goes now */
  move(source: TenantPerson, target: TenantPerson): { readonly routingAddress: string } {
    const { sourceKey, targetKey, routingAddress } = this.#moves.move(
      { book: this.#book(source.tenantId), address: source.person },
      { book: this.#book(target.tenantId), address: target.person },
    )
    this.#folder(targetKey).takeOver(this.#folder(sourceKey))
    return { routingAddress }
  }

  /** All as before the move, unless somebody has changed it since. */
  moveBack(source: TenantPerson): void {
    const { sourceKey, targetKey } = this.#moves.back({ book: this.#book(source.tenantId), address: source.person })
    this.#folder(sourceKey).takeOver(this.#folder(targetKey))
  }

  /** Until every automatic reply to what has arrived is sent. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    for (const stop of this.#stopListening) stop()
    await this.settled()
  }

  #correspondent(who: Who): Correspondent {
    if ('outside' in who) {
      const named = parseNamedAddress(who.outside)
      if (named.name !== '') this.#outsiders.set(outsideKey(named.address), named)
      return this.#outside(named)
    }
    const book = this.#book(who.tenantId)
    return this.#ofTenant(who.tenantId, mailboxOf(book, who.person, this.#deps.nowMs()).guid)
  }

  #ofTenant(tenantId: string, guid: string): Correspondent {
    const book = this.#book(tenantId)
    const recipient = book.tenant.recipient(guid)
    if (recipient === undefined) throw new RangeError('the tenant has no such mailbox')
    return tenantCorrespondent(book, recipient, this.#deps)
  }

  /** By the name he once gave. */
  #outside({ name, address }: NamedAddress): Correspondent {
    const { mail, retriesMs = RETRIES_MS, signerOf = () => undefined } = this.#deps
    const known = name === '' ? this.#outsiders.get(outsideKey(address))?.name : name
    const waits = retriesMs.map((ms) => () => this.#wait(ms))
    return outsideCorrespondent({ name: known ?? '', address }, { mail, waits, signerOf })
  }

  /** @returns false: all of it ends */
  async #wait(ms: number): Promise<boolean> {
    try {
      return await setTimeout(ms, true, { signal: this.#closing.signal })
    } catch {
      // Nothing but the end breaks a wait.
      return false
    }
  }

  #book(tenantId: string): AddressBook {
    const tenant = this.#deps.tenants.get(tenantId)
    if (tenant === undefined) throw new RangeError('there is no such tenant')
    const book = this.#books.get(tenantId) ?? new AddressBook(tenant)
    this.#books.set(tenantId, book)
    return book
  }

  #folder(key: string): PersonFolder {
    const folder = this.#folders.get(key) ?? new PersonFolder()
    this.#folders.set(key, folder)
    return folder
  }

  #message({ key }: Correspondent, messageId: string): ReceivedMessage {
    const message = this.#folder(key).message(messageId)
    if (message === undefined) throw new RangeError('no such message has arrived')
    return message
  }

  #organised({ key }: Correspondent, uid: string): CalendarEntry {
    const entry = this.#folder(key).entry(uid)
    if (entry === undefined || !entry.isOrganizer) throw new RangeError('there is no such meeting of that organizer')
    if (entry.isCancelled) throw new RangeError('the meeting was cancelled')
    return entry
  }

  /** A colleague, and nobody else. */
  #sender(who: Who, sentBy: string | undefined): NamedAddress | undefined {
    if (sentBy === undefined) return undefined
    return this.#correspondent('outside' in who ? { outside: sentBy } : { ...who, person: sentBy }).self
  }

  /** @param answered  what it is about */
  #heading(
    { self, idDomain, style }: Correspondent,
    answered?: Pick<ReceivedMessage, 'messageId' | 'references' | 'threadIndex'>,
    sender?: NamedAddress,
  ): Omit<Heading, 'to' | 'subject'> {
    const dateMs = this.#deps.nowMs()
    const messageId = `<${this.#token().toUpperCase()}@${idDomain}>`
    const from = { from: self, sender, dateMs, messageId }
    const begun = style === 'exchange' ? threadIndex(dateMs, this.#deps.guid()) : undefined
    if (answered === undefined || answered.messageId === '') return { ...from, threadIndex: begun }
    return {
      ...from,
      inReplyTo: answered.messageId,
      references: [...answered.references.slice(-20), answered.messageId],
      threadIndex: answered.threadIndex === undefined ? begun : answeringThreadIndex(answered.threadIndex, dateMs),
    }
  }

  async #announce(
    organizer: Correspondent,
    method: 'REQUEST' | 'CANCEL',
    meeting: Meeting,
    { entry, sender }: { readonly entry?: CalendarEntry; readonly sender?: NamedAddress | undefined },
  ): Promise<SentMeeting> {
    const message: MeetingMessage = { method, meeting, sentBy: sender }
    const heading = {
      ...this.#heading(organizer, entry, sender),
      to: meeting.attendees.filter(({ isOptional }) => !isOptional),
      cc: meeting.attendees.filter(({ isOptional }) => isOptional),
      subject: subjectOf(message),
    }
    const { uid, sequence } = meeting
    const isMoved = !isDeepStrictEqual(entry?.when, meeting.when)
    // Before it leaves: an answer may be back before the last recipient has it.
    this.#folder(organizer.key).put({
      ...meeting,
      attendees: meeting.attendees.map((attendee) => ({
        ...attendee,
        answer:
          (isMoved ? undefined : entry?.attendees.find(({ address }) => address === attendee.address)?.answer) ??
          'none',
      })),
      isOrganizer: true,
      isCancelled: method === 'CANCEL',
      ownAnswer: 'accepted',
      messageId: heading.messageId,
      references: heading.references ?? [],
      threadIndex: heading.threadIndex,
      problems: entry?.problems ?? [],
    })
    const content = composeMeetingMail(organizer.style, heading, message, this.#token())
    const sent = await this.#dispatch(organizer, heading, meeting.attendees, content)
    return { ...sent, uid, sequence }
  }

  /** @param reversePath  default who sends it */
  async #dispatch(
    writer: Correspondent,
    { messageId, sender }: Pick<Heading, 'messageId' | 'sender'>,
    recipients: readonly NamedAddress[],
    content: Buffer,
    reversePath = (sender ?? writer.self).address,
  ): Promise<Sent> {
    const addresses = [...new Set(recipients.map(({ address }) => address))]
    if (addresses.length === 0) throw new RangeError('a message needs somebody to go to')
    const outcomes = await writer.send({ sender: reversePath, recipients: addresses, content })
    return { messageId, content, ...(outcomes === undefined ? {} : { outcomes }) }
  }

  #receive(whose: () => Correspondent, message: ReceivedMessage): void {
    // A fault here is a mistake of the sandbox: it ends the process, as any that nobody expects.
    const work = this.#take(whose, message).finally(() => this.#underWay.delete(work))
    this.#underWay.add(work)
  }

  async #take(whose: () => Correspondent, message: ReceivedMessage): Promise<void> {
    const owner = whose()
    const folder = this.#folder(owner.key)
    folder.keep(message)
    const { notice } = message
    const entry = notice === undefined ? undefined : takeNotice(folder.entry(notice.uid), notice, message, owner.isSame)
    if (entry !== undefined) folder.put(entry)
    await this.#answerByItself(owner, folder, message)
  }

  async #answerByItself(owner: Correspondent, folder: PersonFolder, message: ReceivedMessage): Promise<void> {
    const { automaticReply: setting } = folder
    const { reversePath } = message
    if (setting === undefined || !isAddress(reversePath)) return
    const text = automaticText(setting, message, {
      oofType: owner.oofType(reversePath),
      isAnswered: folder.isAnswered(reversePath),
      isOwner: owner.isOwn(reversePath),
      isByGroup: owner.isByGroup(message),
    })
    if (text === undefined) return
    folder.answer(reversePath)
    const heading = {
      ...this.#heading(owner, message),
      to: [{ name: nameOf(message.from, reversePath), address: reversePath }],
      subject: `Automatic reply: ${message.subject}`,
      more:
        owner.style === 'exchange'
          ? [
              field('Auto-Submitted', ['auto-generated']),
              field('X-Auto-Response-Suppress', ['All']),
              field('X-MS-Exchange-Inbox-Rules-Loop', [owner.self.address]),
              field('X-MS-Exchange-Generated-Message-Source', ['Mailbox', 'Rules', 'Agent']),
            ]
          : [field('Auto-Submitted', ['auto-replied'])],
    }
    const content = composeMessage(owner.style, { ...heading, text }, this.#token())
    await this.#dispatch(owner, heading, heading.to, content, '')
  }

  /** Of Exchange's meetings ([MS-OXOCAL] §2.2.1.27). */
  #globalObjectId(): string {
    const time = Buffer.alloc(8)
    time.writeBigUInt64LE((BigInt(this.#deps.nowMs()) + 11_644_473_600_000n) * 10_000n)
    const hex = `040000008200e00074c5b7101a82e00800000000${time.toString('hex')}000000000000000010000000${this.#token()}`
    return hex.toUpperCase()
  }

  /** 32 hexadecimal digits. */
  #token(): string {
    return this.#deps.guid().replaceAll('-', '')
  }
}

const PARTICIPATIONS: Readonly<Record<'accepted' | 'tentative' | 'declined', Participation>> = {
  accepted: 'ACCEPTED',
  tentative: 'TENTATIVE',
  declined: 'DECLINED',
}

function checked(when: When | undefined): When {
  if (when === undefined || !(when.startMs < when.endMs) || !(Math.abs(when.endMs) < 8e15))
    throw new RangeError('a meeting has to begin before it ends')
  return when
}

/** Who wrote, and everybody else who got it. */
function answerees(
  answered: ReceivedMessage | undefined,
  writer: Correspondent,
  isToAll: boolean,
): readonly NamedAddress[] {
  if (answered === undefined) throw new RangeError('to has to be a list of strings')
  const author = answered.replyTo[0] ?? answered.from?.address ?? answered.reversePath
  const others = isToAll ? [...answered.to, ...answered.cc] : []
  const addresses = [author, ...others.filter((address) => !writer.isOwn(address))]
  const different = addresses.filter(
    (address, place) => addresses.findIndex((each) => isSameAddress(each, address)) === place,
  )
  return different.map((address) => ({ name: nameOf(answered.from, address), address: checkedAddress(address) }))
}

function nameOf(from: NamedAddress | undefined, address: string): string {
  return from !== undefined && isSameAddress(from.address, address) ? from.name : ''
}
