// The token of each request to the control plane (RC-1): signed with the relay's own key, for this installation, for a minute, for once.
import { randomUUID } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { MAX_TOKEN_LIFE_S } from '../../common/relay-contract.ts'

export interface TokenSubject {
  readonly relay: string
  readonly installation: string
}

/** @param nowMs  since the epoch */
export function relayToken({ relay, installation }: TokenSubject, signing: KeyObject, nowMs: number): Promise<string> {
  const now = Math.floor(nowMs / 1000)
  return new SignJWT()
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
    .setIssuer(relay)
    .setSubject(relay)
    .setAudience(installation)
    .setIssuedAt(now)
    .setExpirationTime(now + MAX_TOKEN_LIFE_S)
    .setJti(randomUUID())
    .sign(signing)
}
