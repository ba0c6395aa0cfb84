// `queue`: the operator's view of the spool. (product.md §8)
import type {
  ChangeResult,
  ChangeTarget,
  QueueChange,
  QueueFilter,
  QueueItem,
  QueueItemDetail,
  QueueOperations,
} from '../mta/admin/queue-operations.ts'
import { QUEUE_CHANGES } from '../mta/admin/queue-operations.ts'
import { parseQueueId } from '../mta/queue-id.ts'
import type { QueueId } from '../mta/queue-id.ts'
import { routeFinder } from '../mta/outbound/route.ts'
import { smartHosts } from '../mta/route-names.ts'
import { loadSettings } from '../mta/settings.ts'
import { DONE, FAILED, needed, parseOptions, print, printable, say, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { FILTER_HELP, FILTER_OPTIONS, filterOf, isFiltered } from './queue-filter.ts'
import { AGE_MINUTES, summarise } from './queue-summary.ts'
import { timeText } from './when.ts'
import { withQueue } from './spool-access.ts'

const USAGE = 'queue list|summary|show|retry|hold|release|remove [ID… | FILTERS | --all] --config FILE'

export const queue: Command = {
  help: `Usage: causeway ${USAGE} [--json]

  list             what waits in the spool, oldest first, and why
  summary          how much waits for which next hop, by age
  show ID…         envelope, recipients and replies of messages
  retry            delivers now, whatever the schedule says
  hold, release    keeps messages from being delivered; lets them go again
  remove           forgets messages for good; nobody is told

  --config FILE      the relay's configuration; it names the spool
  --all              every message, in place of IDs or filters
${FILTER_HELP}
  --json             data as JSON

Filters go together: each must hold. A change takes IDs, or filters, or --all; nothing is changed without one of them. A running relay is
asked over its socket in the spool directory; without one the spool itself is opened. Exit code 1: a message that was named is not in the
queue, or is being delivered right now.`,

  async run([action, ...args]) {
    const { values, positionals } = parseOptions(args, {
      config: { type: 'string' },
      all: { type: 'boolean' },
      json: { type: 'boolean' },
      ...FILTER_OPTIONS,
    })
    const change = QUEUE_CHANGES.find((each) => each === action)
    if (action === undefined || (change === undefined && !['list', 'summary', 'show'].includes(action)))
      throw new UsageError(USAGE)
    const config = needed(values.config, '--config FILE')
    const ids = positionals.map(readId)
    const asJson = values.json === true
    const hasFilter = isFiltered(values)

    if (action === 'show') {
      if (ids.length === 0 || hasFilter || values.all === true) throw new UsageError('queue show takes IDs')
      return withQueue(config, (operations) => show(operations, ids, asJson))
    }
    const filter = await filterOf(values, config, Date.now())
    if (change === undefined) {
      if (ids.length > 0) throw new UsageError(`queue ${action} takes no IDs; queue show does`)
      return action === 'list'
        ? withQueue(config, (operations) => list(operations, filter, asJson))
        : withQueue(config, (operations) => summary(operations, filter, config, asJson))
    }
    if (ids.length > 0 === (values.all === true || hasFilter))
      throw new UsageError(`queue ${change} takes either IDs, or filters, or --all`)
    const target = ids.length > 0 ? { ids } : { all: filter }
    return withQueue(config, (operations) => apply(operations, change, target, asJson))
  },
}

function readId(text: string): QueueId {
  const id = parseQueueId(text)
  if (id === undefined) throw new UsageError(`${JSON.stringify(text)} is no queue id`)
  return id
}

const COLUMNS = ['ID', 'ACCEPTED', 'OCTETS', 'DIR', 'ROUTE', 'RCPTS', 'TRIES', 'NEXT TRY', 'STATE', 'WHY'] as const
const WIDTHS = [16, 20, 11, 3, 13, 5, 5, 20, 8, 0] as const

async function list(operations: QueueOperations, filter: QueueFilter, asJson: boolean): Promise<number> {
  let count = 0
  for await (const item of operations.list(filter)) {
    if (asJson) await print(`${count === 0 ? '[' : ','}\n${JSON.stringify(item)}`)
    else await print(`${count === 0 ? `${row(COLUMNS)}\n` : ''}${row(cells(item))}\n`)
    count++
  }
  if (asJson) await print(count === 0 ? '[]\n' : '\n]\n')
  else if (count === 0) say('nothing is queued')
  return DONE
}

function cells(item: QueueItem): string[] {
  const { state } = item
  return [
    item.queueId,
    timeText(item.receivedAt),
    String(item.sizeBytes),
    item.direction,
    item.routes.join(',') || '-',
    String(item.recipientCount),
    String(state.attempts),
    state.isHeld || state.isDead ? '-' : timeText(state.nextAttemptAt),
    stateText(item),
    whyText(item),
  ]
}

function stateText({ state, isActive }: QueueItem): string {
  if (isActive) return 'active'
  if (state.isDead) return 'dead'
  if (state.isHeld) return 'held'
  return state.attempts > 0 ? 'deferred' : 'queued'
}

function whyText({ status = '', deaths }: QueueItem): string {
  return [printable(status), deaths > 0 ? `${deaths} process deaths with it in hand` : '']
    .filter((part) => part !== '')
    .join(', ')
}

async function summary(
  operations: QueueOperations,
  filter: QueueFilter,
  configFile: string,
  asJson: boolean,
): Promise<number> {
  const hopOf = routeFinder(smartHosts(await loadSettings(configFile)), undefined)
  const lines = await summarise(operations.list(filter), (route) => hopOf(route)?.hostPort ?? route, Date.now())
  if (asJson) await print(`${JSON.stringify({ ageMinutes: AGE_MINUTES, lines }, null, 2)}\n`)
  else {
    const rows = [
      ['NEXT HOP', 'TOTAL', 'HELD', ...AGE_MINUTES.map((minutes) => `≤${minutes}min`), `>${AGE_MINUTES.at(-1)}min`],
      ...lines.map(({ nextHop, messages, held, byAge }) => [
        printable(nextHop),
        ...[messages, held, ...byAge].map(String),
      ]),
    ]
    const width = Math.max(...rows.map(([name = '']) => name.length))
    for (const [name = '', ...figures] of rows)
      await print(`${name.padEnd(width)}${figures.map((text) => text.padStart(9)).join('')}\n`)
  }
  return DONE
}

function row(texts: readonly string[]): string {
  return texts
    .map((text, column) => text.padEnd(WIDTHS[column] ?? 0))
    .join('  ')
    .trimEnd()
}

async function show(operations: QueueOperations, ids: readonly QueueId[], asJson: boolean): Promise<number> {
  const found: QueueItemDetail[] = []
  for (const id of ids) {
    const detail = await operations.show(id)
    if (detail === undefined) say(`${id} is not in the queue`)
    else found.push(detail)
  }
  if (asJson) await print(`${JSON.stringify(found, null, 2)}\n`)
  else for (const detail of found) await print(detailText(detail))
  return found.length === ids.length ? DONE : FAILED
}

function detailText({ record, state }: QueueItemDetail): string {
  const lines: [name: string, value: string][] = [
    ['id', record.queueId],
    ['accepted', timeText(record.receivedAt)],
    ['direction', record.direction],
    ['project', `${record.project}, table version ${record.tableVersion}`],
    ['size', `${record.headerBytes + record.bodyBytes} octets`],
    [
      'sender',
      `<${record.reversePath}>${record.reversePath === record.receivedReversePath ? '' : ` (received <${record.receivedReversePath}>)`}`,
    ],
    ['tries', String(state.attempts)],
    ['next try', state.isHeld ? 'held' : state.isDead ? 'dead letter' : timeText(state.nextAttemptAt)],
    ...record.recipients.map((recipient, index): [string, string] => {
      const now = state.recipients[index]
      const reply = now === undefined || now.kind === 'queued' ? now?.lastReply : now.reply
      const received = recipient.path === recipient.received ? '' : ` (received <${recipient.received}>)`
      const said = reply === undefined ? '' : `: ${reply.code} ${printable(reply.text)}`
      return ['recipient', `<${recipient.path}>${received} by ${recipient.route}, ${now?.kind ?? 'queued'}${said}`]
    }),
  ]
  return `${lines.map(([name, value]) => `${`${name}:`.padEnd(11)}${value}`).join('\n')}\n\n`
}

const DONE_TO: Record<QueueChange, string> = {
  retry: 'will be tried now',
  hold: 'on hold',
  release: 'released',
  remove: 'removed',
}

async function apply(
  operations: QueueOperations,
  change: QueueChange,
  target: ChangeTarget,
  asJson: boolean,
): Promise<number> {
  const result: ChangeResult = await operations.change(change, target)
  if (asJson) await print(`${JSON.stringify(result)}\n`)
  for (const id of result.unknown) say(`${id} is not in the queue`)
  for (const id of result.busy) say(`${id} is being delivered right now`)
  say(`${result.changed.length} ${result.changed.length === 1 ? 'message' : 'messages'} ${DONE_TO[change]}`)
  // With --all, what left or was busy meanwhile is no failure of what was asked.
  return 'ids' in target && result.unknown.length + result.busy.length > 0 ? FAILED : DONE
}
