// `trace`: where is my mail? One line for each thing that happened to a message, from the delivery journal. (product.md §8)
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { JournalEntry } from '../mta/journal/journal-entry.ts'
import { JOURNAL_EVENTS } from '../mta/journal/journal-entry.ts'
import { journalDirectories } from '../mta/journal/journal-files.ts'
import { readJournal } from '../mta/journal/read-journal.ts'
import { looksBack, traceFilter } from '../mta/journal/trace-filter.ts'
import type { TraceQuestion } from '../mta/journal/trace-filter.ts'
import { parseMarkerKeys } from '../mta/marker-keys.ts'
import { messageIdTag, privacyKey, recipientTag } from '../mta/privacy.ts'
import { parseQueueId } from '../mta/queue-id.ts'
import { loadSettings } from '../mta/settings.ts'
import type { Settings } from '../mta/settings.ts'
import { DONE, FAILED, needed, parseOptions, print, printable, say, UnusableFile, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { timeOf } from './when.ts'

export const trace: Command = {
  help: `Usage: causeway trace [FILTERS] --config FILE [--json]

What became of messages, from the delivery journal: accepted, then one line for each recipient and attempt, with the four delays in seconds
(before the queue / in the queue / connecting / sending), and what the operator did.

  --id ID              messages by queue id; may be given more than once
  --message-id ID      messages by their Message-ID field, with or without <>
  --sender ADDRESS     messages from an address, as it was received
  --recipient ADDRESS  messages to an address, as it was received or as it was delivered
  --outcome EVENT      only lines of a kind: ${JOURNAL_EVENTS.join(', ')}
  --since TIME         nothing before 2026-11-22T10:00 (UTC), or before 2h or 3d ago
  --config FILE        the relay's configuration
  --json               the journal's lines as they are, one JSON object each

Filters go together: each must hold. What is kept of addresses depends on \`privacy\`; those of the journal are hashed with the marker's
secret, so searching for one needs the marker file. A running relay writes within a second. Exit code 1: nothing is known of what was asked
for.`,

  async run(args) {
    const { values, positionals } = parseOptions(args, {
      config: { type: 'string' },
      id: { type: 'string', multiple: true },
      'message-id': { type: 'string' },
      sender: { type: 'string' },
      recipient: { type: 'string' },
      outcome: { type: 'string' },
      since: { type: 'string' },
      json: { type: 'boolean' },
    })
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const config = needed(values.config, '--config FILE')
    const { id: ids = [], sender, recipient, outcome, since } = values
    const messageId = values['message-id']
    const queueIds = ids.map(readId)
    if (outcome !== undefined && !JOURNAL_EVENTS.some((event) => event === outcome))
      throw new UsageError(`--outcome must be one of ${JOURNAL_EVENTS.join(', ')}`)
    const from = since === undefined ? undefined : new Date(timeOf(since, '--since', Date.now())).toISOString()

    const settings = await loadSettings(config)
    const { directory } = settings.spool
    if (!(await journalDirectories(directory)).some((each) => existsSync(each)))
      throw new UnusableFile(`there is no journal in ${directory}: no relay has run with this configuration`)
    const isAskedByAddress = sender !== undefined || recipient !== undefined
    if (isAskedByAddress && settings.privacy === 'off')
      say('privacy is off: the journal holds no address; --message-id and --id find messages')
    const tags =
      isAskedByAddress || messageId !== undefined
        ? await tagsWith(settings)
        : { address: () => [], messageId: () => [] }
    const question: TraceQuestion = {
      ids: queueIds,
      messageIds: messageId === undefined ? [] : tags.messageId(messageId),
      senders: sender === undefined ? [] : tags.address(sender),
      recipients: recipient === undefined ? [] : tags.address(recipient),
      events: outcome === undefined ? [] : [outcome],
      ...(from === undefined ? {} : { since: from }),
    }
    const entries = readJournal(directory, {
      filter: () => traceFilter(question),
      ...(from === undefined || looksBack(question) ? {} : { firstDay: from.slice(0, '2026-11-22'.length) }),
      ...(queueIds.length === 1 && queueIds[0] !== undefined ? { hint: queueIds[0] } : {}),
    })
    const count = await show(entries, values.json === true)
    if (count > 0) return DONE
    say('the journal has nothing of that')
    return queueIds.length > 0 || looksBack(question) ? FAILED : DONE
  },
}

function readId(text: string): string {
  const id = parseQueueId(text)
  if (id === undefined) throw new UsageError(`${JSON.stringify(text)} is no queue id`)
  return id
}

/** All forms that the journal may hold: lines written before the secret was replaced, or with another privacy, are still there. */
async function tagsWith({ marker }: Settings) {
  const keysText = await readFile(marker.file, 'utf8').catch((cause: unknown) => {
    throw new UnusableFile(`${marker.file} can't be read: without it nobody is found`, { cause })
  })
  const keys = parseMarkerKeys(marker.file, keysText).secrets.map(privacyKey)
  return {
    address: (written: string) => {
      const address = written.startsWith('<') && written.endsWith('>') ? written.slice(1, -1) : written
      const hashed = keys.map((key) => recipientTag(address, 'hashed', key))
      return [address === '' ? '<>' : address, ...hashed.filter((tag) => tag !== undefined)]
    },
    messageId: (id: string) => [
      messageIdTag(id.trim(), 'plain', ''),
      ...keys.map((key) => messageIdTag(id.trim(), 'hashed', key)),
    ],
  }
}

const COLUMNS = ['TIME', 'ID', 'EVENT', 'TRY', 'REPLY', 'DELAYS', 'RECIPIENT', 'WHERE'] as const
const WIDTHS = [24, 16, 11, 3, 10, 18, 26, 0] as const
/** Printed at once: a system call for each line would take longer than reading it. */
const LINES_AT_ONCE = 200

async function show(entries: AsyncIterable<JournalEntry>, asJson: boolean): Promise<number> {
  let count = 0
  let lines: string[] = []
  for await (const entry of entries) {
    if (count++ === 0 && !asJson) lines.push(row(COLUMNS))
    lines.push(asJson ? JSON.stringify(entry) : row(cells(entry)))
    if (lines.length < LINES_AT_ONCE) continue
    await print(`${lines.join('\n')}\n`)
    lines = []
  }
  if (lines.length > 0) await print(`${lines.join('\n')}\n`)
  return count
}

function row(texts: readonly string[]): string {
  return texts
    .map((text, column) => text.padEnd(WIDTHS[column] ?? 0))
    .join('  ')
    .trimEnd()
}

function cells(entry: JournalEntry): string[] {
  const { time, queueId, event, attempt, recipient, recipientIndex, delaysMs } = entry
  const who = shown(recipient) || (typeof recipientIndex === 'number' ? `#${recipientIndex + 1}` : '')
  return [time, shown(queueId), shown(event), shown(attempt), reply(entry), delays(delaysMs), who, where(entry)]
}

function reply({ code, status }: JournalEntry): string {
  return code === 0 ? shown(status) : [shown(code), shown(status)].filter((part) => part !== '').join(' ')
}

/** As Postfix writes them: a/b/c/d, in seconds. */
function delays(written: unknown): string {
  if (typeof written !== 'object' || written === null) return ''
  const { intake, queue, connect, send } = written as Partial<Record<string, unknown>>
  return [intake, queue, connect, send].map((ms) => (typeof ms === 'number' ? seconds(ms) : '?')).join('/')
}

function seconds(ms: number): string {
  const value = ms / 1_000
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : String(Number(value.toFixed(2)))
}

/** What else there is to say of an event. */
function where(entry: JournalEntry): string {
  const { event, remote, route, retryAt, client, bytes, recipients, from, to, report, reason } = entry
  const parts =
    event === 'accepted'
      ? [
          `from ${shown(from) || 'a sender'} at ${shown(client)}`,
          `to ${Array.isArray(to) && to.length === 1 ? shown(to[0]) : `${shown(recipients)} recipients`}`,
          `${shown(bytes)} octets`,
        ]
      : event === 'reported'
        ? [`its sender is told by ${shown(report)}`]
        : [
            shown(remote) || (route === undefined ? '' : `${shown(route)}: no server was reached`),
            retryAt === undefined ? '' : `again at ${shown(retryAt)}`,
            shown(reason),
          ]
  return parts.filter((part) => part !== '').join(', ')
}

/** A file can be written by others than us: nothing in it is trusted to be what it should be. */
function shown(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? printable(String(value)) : ''
}
