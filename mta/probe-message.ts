// The messages of a run of probes: each a pure function of nonce, relay and number, so that whoever takes it back knows every octet that it should have.
// Between them they hold the forms of fields and parts that are rewritten. Their people are the probe's own: nobody of the project is in them.
// (coexistence.md §2.1 row 12, SP-11)
import { PROBES_IN_A_RUN } from '../common/relay-contract.ts'
import { compileTable } from '../rewrite-rules/index.ts'
import type { MappingTable } from '../rewrite-rules/index.ts'

/** Lower case. What the mail flow rule looks for, the nonce, is in another field. */
export const PROBE_PART_FIELD = 'x-causeway-probe-part'

export interface ProbeName {
  readonly nonce: string
  /** Id of the relay that hands it over. */
  readonly relay: string
  /** Below PROBES_IN_A_RUN. */
  readonly index: number
}

/** @param host  a name of the relays */
export const probeRecipient = (nonce: string, host: string): string => `probe-${nonce}@${host}`

const PART = /^([A-Za-z0-9_-]{1,64}) (\d{1,3})$/

/** What `X-Causeway-Probe-Part` says; undefined: nothing of ours. */
export function parseProbePart(value: string): Pick<ProbeName, 'relay' | 'index'> | undefined {
  const [, relay, digits] = PART.exec(value.trim()) ?? []
  const index = Number(digits)
  return relay !== undefined && index < PROBES_IN_A_RUN ? { relay, index } : undefined
}

/** Ada's mailbox is at one place and is presented at another, and so is Ben's. */
export function probeTable(host: string): MappingTable {
  const entry = (name: string) => ({
    known: [`${name}@mailbox.${host}`, `${name}@presented.${host}`],
    presented: `${name}@presented.${host}`,
    mailbox: `${name}@mailbox.${host}`,
  })
  return compileTable({
    format: 'causeway-mapping-table/1',
    project: 'probe',
    version: 1,
    entries: [entry('ada'), entry('ben')],
  })
}

interface People {
  readonly ada: string
  readonly ben: string
  readonly eve: string
}

/** A pair of fields and a body for each number: those of the list in turn. */
const FIELDS: readonly ((people: People) => string)[] = [
  ({ ada, ben }) => `From: Ada <${ada}>\r\nTo: <${ben}>\r\n`,
  ({ ada, ben, eve }) => `From: "Probe, Ada" <${ada}>\r\nTo: Ben <${ben}>,\r\n Eve <${eve}>\r\n`,
  ({ ada, ben }) => `From: ${ada} (Ada)\r\nSender: <${ben}>\r\nTo: Friends: ${ada}, <${ben}>;\r\n`,
  ({ ada, ben, eve }) =>
    `From: =?utf-8?Q?Ada_Pr=C3=B6be?= <${ada}>\r\nReply-To: <${ada}>\r\nTo: <${eve}>\r\nCc: <${ben}>\r\n`,
  ({ ada, ben }) => `From: <${ada}>\r\nTo: <${ben}>\r\nDisposition-Notification-To: <${ada}>\r\n`,
]

const text = 'A probe of Causeway: it shows that mail finds its way.\r\n'
const html = '<p>A probe of <b>Causeway</b>: it shows that mail finds its way.</p>\r\n'
const base64 = (content: string): string =>
  Buffer.from(content)
    .toString('base64')
    .replaceAll(/.{1,76}/g, '$&\r\n')

const calendar = ({ ada, ben }: People, { nonce, index }: ProbeName): string =>
  [
    'BEGIN:VCALENDAR',
    'PRODID:-//Causeway//Probe//EN',
    'VERSION:2.0',
    'METHOD:REQUEST',
    'BEGIN:VEVENT',
    `UID:${nonce}-${index}`,
    'DTSTAMP:20260101T120000Z',
    'DTSTART:20260102T120000Z',
    'DTEND:20260102T123000Z',
    'SEQUENCE:0',
    'SUMMARY:A probe of Causeway',
    `ORGANIZER;CN=Ada:mailto:${ada}`,
    `ATTENDEE;CN=Ben;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:`,
    ` ${ben}`,
    'END:VEVENT',
    'END:VCALENDAR',
    '',
  ].join('\r\n')

const BODIES: readonly ((people: People, name: ProbeName) => string)[] = [
  () => `Content-Type: text/plain; charset=us-ascii\r\n\r\n${text}`,
  ({ ada }) =>
    `Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe, =\r\n${ada}\r\n${text}`,
  (_people, { nonce }) => {
    const part = (type: string, content: string) => `--${nonce}\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`
    return `Content-Type: multipart/alternative; boundary="${nonce}"\r\n\r\n${part('text/plain; charset=us-ascii', text)}${part('text/html; charset=us-ascii', html)}--${nonce}--\r\n`
  },
  (people, name) => {
    const part = (type: string, encoding: string, content: string) =>
      `--${name.nonce}\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${content}\r\n`
    const parts = [
      part('text/plain; charset=us-ascii', '7bit', text),
      part(
        'text/calendar; charset=utf-8; method=REQUEST',
        name.index % 2 === 0 ? 'base64' : '7bit',
        name.index % 2 === 0 ? base64(calendar(people, name)) : calendar(people, name),
      ),
    ]
    return `Content-Type: multipart/alternative; boundary="${name.nonce}"\r\n\r\n${parts.join('')}--${name.nonce}--\r\n`
  },
]

/**
 * One probe. 7-bit, lines of CR LF, without trace fields.
 *
 * @param host  a name of the relays
 * @param direction  of the run: people stand in it as they would in such mail
 */
export function probeMessage(name: ProbeName, host: string, direction: 'out' | 'in'): Buffer {
  const { nonce, relay, index } = name
  const at = direction === 'out' ? 'mailbox' : 'presented'
  const people = { ada: `ada@${at}.${host}`, ben: `ben@${at}.${host}`, eve: `eve@elsewhere.${host}` }
  const fields = FIELDS[index % FIELDS.length]?.(people) ?? ''
  const body = BODIES[index % BODIES.length]?.(people, name) ?? ''
  return Buffer.from(
    `${fields}Subject: Causeway probe ${index + 1} of ${PROBES_IN_A_RUN}\r\nDate: Thu, 1 Jan 2026 12:00:00 +0000\r\n` +
      `Message-ID: <${index}.${relay}.${nonce}@${host}>\r\nX-Causeway-Probe: ${nonce}\r\nX-Causeway-Probe-Part: ${relay} ${index}\r\n` +
      `Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n${body}`,
  )
}
