// TLS names of the relays: what a certificate is for, and what may become of it. Pure. (control-plane.md §2, SP-2, KM-7)
import { badRequest } from '../http/problem.ts'
import type { CertificateId, TenantId } from '../ids.ts'
import { parseHostName } from '../relays/network-names.ts'

export const CERTIFICATE_PURPOSES = ['tenant', 'listener'] as const
/**
 * - `tenant`: relays show it to the servers of one tenant, whose inbound connector names it
 * - `listener`: relays show it to who connects to its names
 */
export type CertificatePurpose = (typeof CERTIFICATE_PURPOSES)[number]

export const CERTIFICATE_STATES = ['requested', 'issued', 'active', 'replaced', 'retired'] as const
/**
 * - `requested`: there is a key and a signing request, no certificate yet
 * - `issued`: the chain is there
 * - `active`: relays show it
 * - `replaced`: another one took its place; it can be activated again
 * - `retired`: its key is gone
 */
export type CertificateState = (typeof CERTIFICATE_STATES)[number]

export interface Certificate {
  readonly id: CertificateId
  readonly purpose: CertificatePurpose
  readonly tenant: TenantId | undefined
  /** A-labels. */
  readonly names: readonly [string, ...string[]]
  readonly algorithm: string
  readonly state: CertificateState
  /** SPKI DER, base64. */
  readonly publicKey: string
  readonly request: string | undefined
  readonly chain: string | undefined
  readonly fingerprint: string | undefined
  readonly notBefore: Date | undefined
  readonly expiresAt: Date | undefined
  readonly replaces: CertificateId | undefined
  readonly version: number
  readonly createdAt: Date
  readonly createdBy: string
  readonly activatedAt: Date | undefined
  readonly retiredAt: Date | undefined
  /** To the hour; undefined: never pushed to a relay. */
  readonly lastUsedAt: Date | undefined
}

/** Not retired ones in a project: all of them fit into one push. */
export const MAX_CERTIFICATES = 60
export const MAX_NAMES = 20
const DAY_MS = 86_400_000

/** Whole days until the end; below 0: it is over. */
export const daysLeft = (expiresAt: Date, now: number): number => Math.floor((expiresAt.getTime() - now) / DAY_MS)

/** Lower case, A-labels, each once. @throws Problem 400 with every fault */
export function readNames(written: readonly string[]): [string, ...string[]] {
  const names = written.map((name) => parseHostName(name))
  const faults = names.flatMap((name, index) =>
    name?.includes('.') === true ? [] : [{ pointer: `/names/${index}`, code: 'name', detail: 'is no full host name' }],
  )
  const [first, ...others] = new Set(names.filter((name) => name !== undefined))
  if (faults.length > 0 || first === undefined) throw badRequest(faults)
  return [first, ...others]
}

export type CertificateAct = 'chain' | 'activate' | 'rotate' | 'retire'

/** Why a certificate in this state can't be acted on so; undefined: it can. */
export function actFault(act: CertificateAct, state: CertificateState): string | undefined {
  if (state === 'retired') return 'It was retired: its key is gone.'
  switch (act) {
    case 'chain':
      return state === 'requested' || state === 'issued'
        ? undefined
        : 'It was in use: rotate it, and give the new one its chain.'
    case 'activate':
      if (state === 'active') return 'It is active already.'
      return state === 'requested' ? 'It has not been issued: give it its chain first.' : undefined
    case 'rotate':
    case 'retire':
      return undefined
    default:
      return act satisfies never
  }
}
