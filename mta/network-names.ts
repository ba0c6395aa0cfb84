// Host names, addresses and ranges as a configuration writes them.
import { BlockList, isIP } from 'node:net'
import { normaliseDomain } from '../rewrite-rules/index.ts'

/** The name as it goes on the wire, lower case and in A-labels; undefined when it is none. */
export function parseHostName(written: string): string | undefined {
  const name = normaliseDomain(written)
  if (name === undefined || name.length > 253) return undefined
  return name.split('.').every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) ? name : undefined
}

/** An IPv4 or IPv6 address without a zone: a zone means something on one machine only. */
export function isAddress(written: string): boolean {
  return isIP(written) !== 0 && !written.includes('%')
}

export interface AddressRange {
  readonly address: string
  readonly bits: number
  readonly family: 'ipv4' | 'ipv6'
}

/** An address, or one with a prefix length; undefined when it is neither. Host bits after the prefix are allowed and mean the range. */
export function parseAddressRange(written: string): AddressRange | undefined {
  const [address = '', digits, ...rest] = written.split('/')
  if (!isAddress(address) || rest.length > 0) return undefined
  const [family, most] = isIP(address) === 4 ? (['ipv4', 32] as const) : (['ipv6', 128] as const)
  if (digits === undefined) return { address, bits: most, family }
  return /^\d{1,3}$/.test(digits) && Number(digits) <= most ? { address, bits: Number(digits), family } : undefined
}

/** The machine itself and nobody else can reach such an address. */
export function isLoopback(written: string): boolean {
  const loopback = new BlockList()
  loopback.addSubnet('127.0.0.0', 8, 'ipv4')
  loopback.addAddress('::1', 'ipv6')
  return isAddress(written) && loopback.check(written, isIP(written) === 4 ? 'ipv4' : 'ipv6')
}
