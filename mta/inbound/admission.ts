// Who may relay through us, and to whom? (SP-2, SP-3, SP-5, SP-8, SP-10) Pure. Where only this machine gets and nobody wants more, the address
// range alone admits (product.md §8); everywhere else a certificate over TLS as well. What a message must prove comes after that.
import { BlockList, isIP } from 'node:net'
import type { X509Certificate } from 'node:crypto'
import { fingerprintOf } from '../certificates.ts'
import { isLoopback } from '../network-names.ts'
import type { StaticPeer } from '../settings-listeners.ts'
import { judgeClientCertificate } from './client-certificate.ts'
import { certificateRefusal, REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'

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

/** Which way a client was admitted: by its range on a loopback listener, by Exchange Online's certificate, or by one of its own. */
export type Peer = 'local' | 'exchange' | 'static'

export type PeerVerdict =
  { readonly kind: 'admitted'; readonly peer: Peer } | { readonly kind: 'refused'; readonly reply: Reply }

/** A listener, as far as it says who may come. */
export interface ListenerPeers {
  readonly address: string
  readonly tls: 'none' | 'starttls'
  /** Addresses and CIDR ranges. */
  readonly allow: readonly string[]
  readonly clientNames: readonly string[]
  readonly staticPeers: readonly StaticPeer[]
}

/** What the configuration says for all listeners. */
export interface RelayPeers {
  readonly requireTls: boolean
  /** Mail is known by its tenant: not the two-route configuration. */
  readonly hasTenants: boolean
}

/** A client that asks to send. */
export interface Applicant {
  readonly address: string
  /** undefined: in cleartext. */
  readonly certificates: readonly X509Certificate[] | undefined
  readonly trust: readonly X509Certificate[]
  /** ms since the epoch */
  readonly now: number
}

export class Admission {
  readonly #listener: ListenerPeers
  readonly #requiresTls: boolean
  readonly #exchange: AddressRanges
  readonly #static: readonly { readonly ranges: AddressRanges; readonly fingerprint: string }[]
  /** TLS can be had. */
  readonly offersTls: boolean
  /** A client that comes by TLS must show who it is. */
  readonly asksForCertificate: boolean

  constructor(listener: ListenerPeers, { requireTls, hasTenants }: RelayPeers) {
    this.#listener = listener
    this.offersTls = listener.tls === 'starttls'
    this.#requiresTls = this.offersTls && requireTls
    this.asksForCertificate =
      this.offersTls && (hasTenants || !isLoopback(listener.address) || listener.staticPeers.length > 0)
    this.#exchange = addressRanges(listener.allow)
    this.#static = listener.staticPeers.map(({ address, fingerprint }) => ({
      ranges: addressRanges([address]),
      fingerprint,
    }))
  }

  /** Nobody else is greeted. */
  mayConnect(address: string): boolean {
    return this.#exchange.includes(address) || this.#static.some(({ ranges }) => ranges.includes(address))
  }

  /** Whether it may send mail, asked at MAIL. */
  admit({ address, certificates, trust, now }: Applicant): PeerVerdict {
    if (certificates === undefined && this.#requiresTls) return refused(REPLIES.tlsFirst)
    const isInRange = this.#exchange.includes(address)
    if (certificates === undefined || !this.asksForCertificate) {
      // The settings take no listener like this on an address that others reach; a mistake there must not open the relay.
      return isInRange && isLoopback(this.#listener.address) ? admitted('local') : refused(REPLIES.tlsFirst)
    }
    const [leaf] = certificates
    if (leaf !== undefined && this.#isStatic(address, leaf)) return admitted('static')
    if (!isInRange) return refused(certificateRefusal(leaf === undefined ? 'missing' : 'unknown'))
    const verdict = judgeClientCertificate(certificates, { trust, names: this.#listener.clientNames, now })
    return verdict.kind === 'admitted' ? admitted('exchange') : refused(certificateRefusal(verdict.reason))
  }

  /** Known by its very certificate: who signed it, its names and its dates say nothing more (SP-8). */
  #isStatic(address: string, leaf: X509Certificate): boolean {
    const fingerprint = fingerprintOf(leaf)
    return this.#static.some((peer) => peer.fingerprint === fingerprint && peer.ranges.includes(address))
  }
}

function admitted(peer: Peer): PeerVerdict {
  return { kind: 'admitted', peer }
}

function refused(reply: Reply): PeerVerdict {
  return { kind: 'refused', reply }
}
