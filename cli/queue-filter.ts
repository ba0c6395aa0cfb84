// Which messages a `queue` command is about, when they aren't named by id.
import type { QueueFilter } from '../mta/admin/queue-operations.ts'
import { nextHopOf } from '../mta/outbound/route.ts'
import { smartHosts } from '../mta/route-names.ts'
import { loadSettings } from '../mta/settings.ts'
import { UsageError } from './command.ts'
import { durationMs } from './when.ts'

export const FILTER_OPTIONS = {
  dead: { type: 'boolean' },
  held: { type: 'boolean' },
  deferred: { type: 'boolean' },
  direction: { type: 'string' },
  route: { type: 'string' },
  'next-hop': { type: 'string' },
  'older-than': { type: 'string' },
  sender: { type: 'string' },
  recipient: { type: 'string' },
} as const

export const FILTER_HELP = `  --dead             only reports that could not be delivered (without it: only other mail)
  --held             only messages on hold
  --deferred         only messages that were tried and wait for another try
  --direction D      only messages of a direction: out, in
  --route NAME       only messages of a route: tenant:ID, mx:DOMAIN, owner-tenant, mailbox
  --next-hop HOST    only messages for a server: its name or address, with or without :PORT
  --older-than TIME  only messages accepted longer ago than 90s, 15min, 2h, 3d
  --sender A         only messages from an address, from @DOMAIN, or from <>; reads every message that the others let through
  --recipient A      only messages to an address, or to @DOMAIN; likewise`

export interface FilterValues {
  readonly dead?: boolean | undefined
  readonly held?: boolean | undefined
  readonly deferred?: boolean | undefined
  readonly direction?: string | undefined
  readonly route?: string | undefined
  readonly 'next-hop'?: string | undefined
  readonly 'older-than'?: string | undefined
  readonly sender?: string | undefined
  readonly recipient?: string | undefined
}

export function isFiltered(values: object): boolean {
  return Object.keys(values).some((name) => Object.hasOwn(FILTER_OPTIONS, name))
}

/** @throws UsageError; SettingsFault where the configuration is needed */
export async function filterOf(values: FilterValues, configFile: string, now: number): Promise<QueueFilter> {
  const { dead, held, deferred, direction, route, sender, recipient } = values
  if (direction !== undefined && direction !== 'out' && direction !== 'in')
    throw new UsageError('--direction must be out or in')
  const olderThan = values['older-than']
  const before = olderThan === undefined ? undefined : Math.max(0, now - durationMs(olderThan, '--older-than'))
  const nextHop = values['next-hop']
  return {
    isDead: dead === true,
    ...(held === true ? { isHeld: true } : {}),
    ...(deferred === true ? { isDeferred: true } : {}),
    ...(direction === undefined ? {} : { direction }),
    ...(route === undefined ? {} : { route }),
    ...(before === undefined ? {} : { receivedBefore: before }),
    ...(sender === undefined ? {} : { sender: pattern(sender, '--sender') }),
    ...(recipient === undefined ? {} : { recipient: pattern(recipient, '--recipient') }),
    ...(nextHop === undefined ? {} : { routes: await routesTo(nextHop, configFile) }),
  }
}

/** What isn't an address or a domain would match nothing, and `queue list` would look as if all were well. */
function pattern(text: string, option: string): string {
  if (text === '<>' && option === '--sender') return text
  const bare = text.startsWith('<') && text.endsWith('>') ? text.slice(1, -1) : text
  if (!/^[^\s]{0,256}@[^\s@]{1,255}$/.test(bare))
    throw new UsageError(`${option} takes an address, or @DOMAIN${option === '--sender' ? ', or <>' : ''}`)
  return bare
}

/** Routes that lead to a server; mail to a domain by its MX has a route of the domain's own. */
async function routesTo(nextHop: string, configFile: string): Promise<string[]> {
  const wanted = nextHop.toLowerCase()
  const configured = Object.entries(smartHosts(await loadSettings(configFile))).filter(([, route]) => {
    const { host, hostPort } = nextHopOf(route)
    return [host.toLowerCase(), hostPort.toLowerCase()].includes(wanted)
  })
  return [...configured.map(([name]) => name), `mx:${wanted}`]
}
