// Which addresses outbound requests may reach: public ones, and others only where the operator lists them. Pure. (WS-5)
import { BlockList, isIP } from 'node:net'

/** IPv4 that is no public host: IANA's special-purpose registry, multicast, and the host services of Azure. */
const SPECIAL_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '168.63.129.16/32',
]
/** IPv6 that is public, and within it what isn't or what leads to IPv4 behind our back (Teredo, 6to4). */
const GLOBAL_V6 = ['2000::/3']
const SPECIAL_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

const specialV4 = blockList(SPECIAL_V4)
const globalV6 = blockList(GLOBAL_V6)
const specialV6 = blockList(SPECIAL_V6)

/** @param address  an IP address as the resolver or a URL gives it */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !specialV4.check(address, 'ipv4')
    case 6:
      return globalV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6')
    default:
      return false
  }
}

export interface AddressRules {
  /** Public, or listed. */
  allows(address: string): boolean
  lists(address: string): boolean
}

/** @param allow  addresses or ranges, `10.1.0.0/16`, `fd00::5` @throws Error for what is neither */
export function addressRules(allow: readonly string[]): AddressRules {
  const listed = blockList(allow)
  const lists = (address: string): boolean => {
    const family = isIP(address)
    return family !== 0 && listed.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
  return { lists, allows: (address) => isPublicAddress(address) || lists(address) }
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', prefix, ...rest] = range.split('/')
    const family = isIP(address)
    const bits = family === 4 ? 32 : 128
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN
    if (family === 0 || rest.length > 0 || !(length <= bits)) throw new Error(`${range} is no address and no range`)
    list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}
