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
import { DONE, FAILED, needed, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { withQueue } from './spool-access.ts'

export const queue: Command = {
  help: `Usage: causeway queue list|show|retry|hold|release|remove [ID… | --all] --config FILE [--json]

  list             what waits in the spool, oldest first
  show ID…         envelope, recipients and replies of messages
  retry            delivers now, whatever the schedule says
  hold, release    keeps messages from being delivered; lets them go again
  remove           forgets messages for good; nobody is told

  --config FILE    the relay's configuration; it names the spool
  --all            every message that the filters let through, in place of IDs
  --dead           only reports that could not be delivered (without it: only other mail)
  --held           only messages on hold
  --direction D    only messages of a direction: out, in
  --route NAME     only messages of a route: owner-tenant, mailbox
  --json           data as JSON

A running relay is asked over its socket in the spool directory; without one the spool itself is opened. Exit code 1: a message that
was named is not in the queue, or is being delivered right now.`,

  async run([action, ...args]) {
    const { values, positionals } = parseOptions(args, {
      config: { type: 'string' },
      all: { type: 'boolean' },
      dead: { type: 'boolean' },
      held: { type: 'boolean' },
      direction: { type: 'string' },
      route: { type: 'string' },
      json: { type: 'boolean' },
    })
    const change = QUEUE_CHANGES.find((each) => each === action)
    if (action === undefined || (action !== 'list' && action !== 'show' && change === undefined)) {
      throw new UsageError('queue list|show|retry|hold|release|remove [ID… | --all] --config FILE')
    }
    const config = needed(values.config, '--config FILE')
    const ids = positionals.map(readId)
    const filter = filterOf(values)
    const isFiltered = Object.keys(values).some((name) => ['dead', 'held', 'direction', 'route'].includes(name))
    const asJson = values.json === true

    if (action === 'list') {
      if (ids.length > 0) throw new UsageError('queue list takes no IDs; queue show does')
      return withQueue(config, (operations) => list(operations, filter, asJson))
    }
    if (isFiltered && values.all !== true) throw new UsageError('filters go with --all')
    if (change === undefined) {
      if (ids.length === 0) throw new UsageError('queue show takes IDs')
      return withQueue(config, (operations) => show(operations, ids, asJson))
    }
    if (ids.length > 0 === (values.all === true)) throw new UsageError(`queue ${change} takes either IDs or --all`)
    const target = values.all === true ? { all: filter } : { ids }
    return withQueue(config, (operations) => apply(operations, change, target, asJson))
  },
}

function readId(text: string): QueueId {
  const id = parseQueueId(text)
  if (id === undefined) throw new UsageError(`${JSON.stringify(text)} is no queue id`)
  return id
}

function filterOf({
  dead,
  held,
  direction,
  route,
}: {
  dead?: boolean
  held?: boolean
  direction?: string
  route?: string
}): QueueFilter {
  if (direction !== undefined && direction !== 'out' && direction !== 'in')
    throw new UsageError('--direction must be out or in')
  return {
    isDead: dead === true,
    ...(held === true ? { isHeld: true } : {}),
    ...(direction === undefined ? {} : { direction }),
    ...(route === undefined ? {} : { route }),
  }
}

const COLUMNS = ['ID', 'ACCEPTED', 'OCTETS', 'DIR', 'ROUTE', 'RCPTS', 'TRIES', 'NEXT TRY', 'STATE'] as const
const WIDTHS = [16, 20, 11, 3, 13, 5, 5, 20, 0] as const

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
  ]
}

function stateText({ state, isActive, deaths }: QueueItem): string {
  const word = isActive
    ? 'active'
    : state.isDead
      ? 'dead'
      : state.isHeld
        ? 'held'
        : state.attempts > 0
          ? 'deferred'
          : 'queued'
  return deaths > 0 ? `${word}, ${deaths} process deaths with it in hand` : word
}

function row(texts: readonly string[]): string {
  return texts
    .map((text, column) => text.padEnd(WIDTHS[column] ?? 0))
    .join('  ')
    .trimEnd()
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
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

/** What a next hop wrote must not act on the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, '?')
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
