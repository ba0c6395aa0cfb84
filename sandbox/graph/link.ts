// Links that answers hand out (`@odata.nextLink`, `@odata.deltaLink`, download URLs): opaque to clients, and bound to the URL and the tenant they
// were made for, so that only one that comes back unchanged is good.
import { createHmac, timingSafeEqual } from 'node:crypto'

/** As the services call themselves in every link they hand out. */
export const GRAPH_ORIGIN = 'https://graph.sandbox.test'

export const TOKEN_OPTIONS = ['$skiptoken', '$deltatoken'] as const
export type TokenOption = (typeof TOKEN_OPTIONS)[number]

/** Nothing in here is secret: it only tells a link of ours from one that was changed. */
const KEY = 'simulated links'

export interface LinkPlace {
  /** `v1.0`, `beta` */
  readonly version: string
  /** After the version. */
  readonly path: string
  readonly query: URLSearchParams
  readonly tenantId: string
}

/** @param query  of the link, without the token */
export function makeLink({ version, path, query, tenantId }: LinkPlace, option: TokenOption, payload: unknown): string {
  const others = new URLSearchParams([...query].filter(([name]) => !isTokenOption(name)))
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url')
  const token = `${text}.${signature([version, path, others.toString(), tenantId, option, text])}`
  const before = others.size === 0 ? '' : `${readable(others)}&`
  return `${GRAPH_ORIGIN}/${version}${path}?${before}${option}=${token}`
}

/** What the link was made with; undefined: it has no token, or isn't as it was made. */
export function openLink({
  version,
  path,
  query,
  tenantId,
}: LinkPlace): { option: TokenOption; payload: unknown } | undefined {
  const option = TOKEN_OPTIONS.find((name) => query.has(name))
  if (option === undefined) return undefined
  const others = new URLSearchParams([...query].filter(([name]) => !isTokenOption(name)))
  const [text = '', signed = ''] = (query.get(option) ?? '').split('.', 2)
  const wanted = Buffer.from(signature([version, path, others.toString(), tenantId, option, text]))
  const given = Buffer.from(signed)
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined
  return { option, payload: JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) }
}

/** As Graph writes its links: option names with their dollar. */
function readable(query: URLSearchParams): string {
  return query.toString().replaceAll('%24', '$').replaceAll('%2C', ',')
}

function isTokenOption(name: string): boolean {
  return (TOKEN_OPTIONS as readonly string[]).includes(name)
}

function signature(parts: readonly string[]): string {
  return createHmac('sha256', KEY).update(JSON.stringify(parts)).digest('base64url').slice(0, 22)
}
