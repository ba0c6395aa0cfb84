// Host names, addresses and ranges as relay settings write them: the rules of the relay's own configuration file. Pure.
import { BlockList, isIP } from 'node:net'
import { normaliseDomain } from '../../rewrite-rules/index.ts'

/** The name as it goes on the wire, lower case and in A-labels; undefined when it is none. */
export function parseHostName(written: string): string | undefined {
  const name = normaliseDomain(written)
  if (name === undefined || name.length > 253) return undefined
  return name.split('.').every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) ? name : undefined
}

/** An IPv4 or IPv6 address without a zone: a zone means something on one machine only. */
export const isAddress = (written: string): boolean => isIP(written) !== 0 && !written.includes('%')

/** An address, or one with a prefix length that leaves somebody out. */
export function isAddressRange(written: string): boolean {
  const [address = '', digits, ...rest] = written.split('/')
  if (!isAddress(address) || rest.length > 0) return false
  const most = isIP(address) === 4 ? 32 : 128
  return digits === undefined || (/^[1-9]\d{0,2}$/.test(digits) && Number(digits) <= most)
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** The machine itself and nobody else can reach such a host. */
export function isLoopbackHost(host: string): boolean {
  if (host === 'localhost') return true
  return isAddress(host) && LOOPBACK.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6')
}
