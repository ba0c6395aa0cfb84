// By which route a message goes on, and a report on it comes back: decided once, at intake, with the pinned table, and kept in the spool,
// for marker, signature and seal depend on it. (rewriting.md §13, R78, DL-11, SP-5) Pure.
import { normaliseDomain, parseAddrSpec } from '../../rewrite-rules/index.ts'
import type { AddrSpec, Direction, Envelope, MappingTable, Policy } from '../../rewrite-rules/index.ts'
import type { RouteName } from '../message-record.ts'
import { mxRoute, tenantRoute } from '../route-names.ts'
import type { Tenants } from '../tenants.ts'
import { mayBeSender } from './recipients.ts'
import { REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'

export interface RoutedMessage {
  readonly direction: Direction
  /** As received. */
  readonly reversePath: string
  readonly receivedPaths: readonly string[]
  /** Rewritten. */
  readonly envelope: Envelope
  /** Of the received header, in order. */
  readonly from: readonly AddrSpec[]
  readonly isSmtpUtf8: boolean
  readonly table: MappingTable
  readonly policy: Policy
  /** The tenant that handed it over; undefined on a listener where nothing proves it. */
  readonly handedBy: string | undefined
  /** undefined: the two-route configuration. */
  readonly tenants: Tenants | undefined
  readonly hasMx: boolean
  /** Whether everybody who reaches the listener is trusted: loopback without TLS (product.md §8). */
  readonly isLocal: boolean
}

/** What a route means for what the relay adds to a message. */
export type RouteKind = 'owner-tenant' | 'return' | 'mx' | 'mailbox'

export type RoutePlan =
  | {
      readonly kind: 'routed'
      readonly route: RouteKind
      /** In the order of the rewritten forward-paths. */
      readonly routes: readonly RouteName[]
      /** Of reports on the message: back through the tenant that handed it over. */
      readonly returnRoute: RouteName
    }
  | { readonly kind: 'refused'; readonly reply: Reply }

const refused = (reply: Reply): RoutePlan => ({ kind: 'refused', reply })

export function planRoutes(message: RoutedMessage): RoutePlan {
  const { direction, tenants, envelope } = message
  if (tenants === undefined) {
    const [route, returnRoute] =
      direction === 'out' ? (['owner-tenant', 'mailbox'] as const) : (['mailbox', 'owner-tenant'] as const)
    return { kind: 'routed', route, routes: envelope.forwardPaths.map(() => route), returnRoute }
  }
  return direction === 'out' ? planOut(message, tenants) : planIn(message, tenants)
}

function planOut(message: RoutedMessage, tenants: Tenants): RoutePlan {
  const { envelope, reversePath, handedBy, isLocal } = message
  if (!isLocal && !mayBeSender(reversePath, tenants)) return refused(REPLIES.senderNotOurs)
  // Where nothing proves who handed it over, its sender's tenant is the one that a report must reach.
  const home = handedBy ?? tenants.ownerOfAddress(reversePath) ?? ownerOfAuthor(message, tenants)
  if (home === undefined) return refused(REPLIES.noRoute)
  const returnRoute = tenantRoute(home)
  const wanted = routeOfSender(message)
  if (wanted === 'mx') {
    if (!message.hasMx) return refused(REPLIES.noRoute)
    const routes = envelope.forwardPaths.map(({ path }) => mxRoute(domainOf(path)))
    return { kind: 'routed', route: 'mx', routes, returnRoute }
  }
  const owner = wanted === 'owner-tenant' ? ownerOfSender(message, tenants) : undefined
  // A forwarded bounce has a sender whom nobody here owns: it goes back to where it came from.
  const route = owner === undefined ? 'return' : 'owner-tenant'
  return { kind: 'routed', route, routes: envelope.forwardPaths.map(() => tenantRoute(owner ?? home)), returnRoute }
}

/** `route` of the sender's entry, else the policy's. The sender is the reverse-path, or the first author that the table knows. */
function routeOfSender({ reversePath, from, table, policy }: RoutedMessage): Policy['route'] {
  const map = table.withPolicy(policy)
  const sender = parseAddrSpec(reversePath)
  for (const { local, domain } of sender === undefined ? from : [sender, ...from]) {
    if (map.entryOf(local, domain) !== undefined) return map.routeOf(local, domain) ?? policy.route
  }
  return policy.route
}

/** DL-11: the tenant that accepts mail for the rewritten reverse-path, or for the first author where that is null. */
function ownerOfSender(message: RoutedMessage, tenants: Tenants): string | undefined {
  const { reversePath } = message.envelope
  return reversePath === '' ? ownerOfAuthor(message, tenants) : tenants.ownerOfAddress(reversePath)
}

function ownerOfAuthor({ from, table, policy, isSmtpUtf8 }: RoutedMessage, tenants: Tenants): string | undefined {
  const [author] = from
  if (author === undefined) return undefined
  const mapped = table.withPolicy(policy).map('present', author.local, author.domain, isSmtpUtf8)
  return tenants.ownerOf(mapped.kind === 'replaced' ? mapped.domain : author.domain)
}

function planIn({ envelope, handedBy, receivedPaths }: RoutedMessage, tenants: Tenants): RoutePlan {
  const owners = envelope.forwardPaths.map(({ path }) => tenants.ownerOfAddress(path))
  const routes = owners.flatMap((owner) => (owner === undefined ? [] : [tenantRoute(owner)]))
  if (routes.length < owners.length) return refused(REPLIES.mayNotRelay)
  // R78: it says that the mailbox is elsewhere, the table says it is there.
  if (handedBy !== undefined && owners.includes(handedBy)) return refused(REPLIES.routedBack)
  // Where nothing proves who handed it over, it is the tenant that the outsider wrote to.
  const home = handedBy ?? tenants.ownerOfAddress(receivedPaths[0] ?? '') ?? owners[0]
  return home === undefined
    ? refused(REPLIES.noRoute)
    : { kind: 'routed', route: 'mailbox', routes, returnRoute: tenantRoute(home) }
}

function domainOf(path: string): string {
  const domain = path.slice(path.lastIndexOf('@') + 1)
  return normaliseDomain(domain) ?? domain.toLowerCase()
}
