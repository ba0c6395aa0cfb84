// Who may connect? (SP-2, SP-3) Pure. On a loopback listener the address range alone admits (product.md §8).
import { BlockList, isIP } from 'node:net'

export interface AddressRanges {
  /** IPv4 addresses also in their IPv6-mapped form. */
  includes(address: string): boolean
}

/** @param ranges  addresses and CIDR ranges as the settings take them; none at all means nobody (SP-3) */
export function addressRanges(ranges: readonly string[]): AddressRanges {
  const list = new BlockList()
  for (const range of ranges) {
    const [network = '', bits] = range.split('/')
    const isV4 = isIP(network) === 4
    list.addSubnet(network, bits === undefined ? (isV4 ? 32 : 128) : Number(bits), isV4 ? 'ipv4' : 'ipv6')
  }
  return {
    includes(address) {
      const version = isIP(address)
      return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
    },
  }
}
