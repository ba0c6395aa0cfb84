// The addresses that Exchange Online sends from, as Microsoft publishes them (Microsoft Learn "Microsoft 365 IP Address and URL web service"). Pure.
// (SP-3)
import { randomUUID } from 'node:crypto'
import type { Cloud } from '../microsoft/clouds.ts'
import { isAddressRange } from './network-names.ts'

const INSTANCES: Readonly<Record<Cloud, string>> = {
  global: 'Worldwide',
  'gcc-high': 'USGovGCCHigh',
  dod: 'USGovDoD',
  china: 'China',
}

/** What Microsoft takes from its list may still send for a while; what it adds is let in at once. */
export const KEEP_RANGE_MS = 30 * 86_400_000
export const REFRESH_EVERY_MS = 86_400_000

export function endpointListUrl(cloud: Cloud): URL {
  const url = new URL(`https://endpoints.office.com/endpoints/${INSTANCES[cloud]}`)
  url.searchParams.set('ServiceAreas', 'Exchange')
  url.searchParams.set('ClientRequestId', randomUUID())
  return url
}

/** A range that lets in more than this was not meant for mail servers. */
const LEAST_PREFIX = { v4: 8, v6: 24 }
const MAX_RANGES = 2_000

/**
 * The ranges of the sets that speak SMTP between servers (port 25). undefined for anything that isn't such a list: then what is known stays.
 *
 * @param text  as the web service answered
 */
export function parseEndpointList(text: string): string[] | undefined {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    return undefined // no list
  }
  if (!Array.isArray(list)) return undefined
  const ranges = new Set<string>()
  for (const item of list as unknown[]) {
    const { ips, tcpPorts } =
      typeof item === 'object' && item !== null ? (item as Partial<Record<string, unknown>>) : {}
    if (
      !Array.isArray(ips) ||
      typeof tcpPorts !== 'string' ||
      !tcpPorts.split(',').some((port) => port.trim() === '25')
    )
      continue
    for (const range of ips as unknown[]) {
      if (typeof range !== 'string' || !isMailRange(range)) return undefined
      ranges.add(range)
    }
  }
  return ranges.size === 0 || ranges.size > MAX_RANGES ? undefined : [...ranges].toSorted()
}

function isMailRange(range: string): boolean {
  const [address = '', prefix] = range.split('/')
  const least = address.includes(':') ? LEAST_PREFIX.v6 : LEAST_PREFIX.v4
  return isAddressRange(range) && (prefix === undefined || Number(prefix) >= least)
}
