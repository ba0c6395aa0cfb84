// Which addresses may be connected to when somebody else's DNS named them: the public internet's, and what the operator has listed. An IPv4
// address inside an IPv6 one is judged as what it leads to. Pure. (DL-7, WS-5, RFC 6890)
import { BlockList, isIP } from 'node:net'
import { parseAddressRange } from '../network-names.ts'

/** Of the IANA special-purpose registries: what isn't globally reachable. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8',
  '100.64.0.0/10', // carrier-grade NAT
  '127.0.0.0/8',
  '169.254.0.0/16', // link-local: cloud metadata services live here
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays, deprecated
  '192.168.0.0/16',
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
]
/** Global unicast is all there is to connect to (RFC 4291 §2.4), but for these parts of it. */
const GLOBAL_IPV6 = ['2000::/3']
const SPECIAL_IPV6 = [
  '2001::/23', // protocol assignments, Teredo and ORCHID among them
  '2001:db8::/32', // documentation
  '3fff::/20',
]

const special4 = rangesOf(SPECIAL_IPV4)
const global6 = rangesOf(GLOBAL_IPV6)
const special6 = rangesOf(SPECIAL_IPV6)

export type MayConnect = (address: string) => boolean

/** @param allowed  ranges of the configuration, already parsed there */
export function addressRules(allowed: readonly string[]): MayConnect {
  const listed = rangesOf(allowed)
  return (address) => {
    const inner = embeddedIpv4(address)
    return has(listed, address) || (inner !== undefined && has(listed, inner)) || isPublic(address, inner)
  }
}

function isPublic(address: string, inner: string | undefined): boolean {
  switch (isIP(address)) {
    case 4:
      return !has(special4, address)
    case 6:
      if (inner !== undefined) return !has(special4, inner)
      return has(global6, address) && !has(special6, address)
    default:
      return false
  }
}

/** IPv4-mapped, NAT64 (RFC 6052) and 6to4 (RFC 3056) addresses: where they lead. */
export function embeddedIpv4(address: string): string | undefined {
  const words = isIP(address) === 6 ? wordsOf(address) : undefined
  if (words === undefined) return undefined
  const [a = 0, b = 0, c = 0] = words
  if (a === 0x2002) return dotted(b, c)
  const isMapped = words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff
  const isNat64 = a === 0x64 && b === 0xff9b && words.slice(2, 6).every((word) => word === 0)
  return isMapped || isNat64 ? dotted(words[6] ?? 0, words[7] ?? 0) : undefined
}

/** The eight words of a valid IPv6 address. */
function wordsOf(address: string): number[] | undefined {
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
    const [w, x, y, z] = bytes.slice(0, 4).map(Number)
    return `${(((w ?? 0) << 8) | (x ?? 0)).toString(16)}:${(((y ?? 0) << 8) | (z ?? 0)).toString(16)}`
  })
  const [head = '', tail] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const gap = tail === undefined ? 0 : 8 - left.length - right.length
  const words = [...left, ...Array.from({ length: Math.max(0, gap) }, () => '0'), ...right].map((word) =>
    parseInt(word, 16),
  )
  return words.length === 8 && words.every(Number.isInteger) ? words : undefined
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function rangesOf(written: readonly string[]): BlockList {
  const list = new BlockList()
  for (const each of written) {
    const range = parseAddressRange(each)
    if (range === undefined) throw new Error(`unreachable: ${each} is no range`)
    list.addSubnet(range.address, range.bits, range.family)
  }
  return list
}

function has(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}
