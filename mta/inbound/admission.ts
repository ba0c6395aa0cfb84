// Who may relay through us, and to whom? (SP-2, SP-3, SP-5) Pure. On a loopback listener the address range alone admits (product.md §8);
// other listeners, which the configuration refuses so far, will also want certificate, tenant proof and domains.
import { BlockList, isIP } from 'node:net'
import { formatMailbox } from './address-grammar.ts'
import type { Mailbox } from './address-grammar.ts'

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

/**
 * Who gets the mail of a recipient. On a loopback listener nobody is refused but the unqualified postmaster, and he only where the operator
 * didn't say who he is. (RFC 5321 §4.5.1)
 * @param postmaster  addr-spec
 * @returns undefined: refused
 */
export function admitRecipient(mailbox: Mailbox, postmaster: string | undefined): string | undefined {
  return mailbox.domain === '' ? postmaster : formatMailbox(mailbox)
}
