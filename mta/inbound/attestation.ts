// The signatures of one message: those it came with are judged where something depends on them, and what goes on is signed and sealed. Bodies
// are hashed as they stream by; what is left for the end is the header. (R79–R83, R35, SP-4, DL-9)
import { applyEdits, NO_HEADER_LIMITS, scanHeader } from '../../rewrite-rules/index.ts'
import type { Direction, HeaderBlock, Policy } from '../../rewrite-rules/index.ts'
import type { ProjectSettings } from '../active-snapshot.ts'
import type { SigningKeys } from '../credentials.ts'
import type { ProofSettings } from '../settings-routes.ts'
import { planSeal } from '../sign/arc.ts'
import { authenticationResults } from '../sign/authentication-results.ts'
import { BodyHash } from '../sign/body-hash.ts'
import { planSignatures } from '../sign/dkim.ts'
import { signMessage } from '../sign/sign-message.ts'
import { staleSignatures } from '../sign/stale-dkim.ts'
import { findDkimProof, hasSignatures } from '../sign/verification.ts'
import type { DkimProof, Verification } from '../sign/verification.ts'
import type { MessageVerifier } from '../sign/verify.ts'
import type { RouteKind } from './plan-routes.ts'

export interface AttestationDeps {
  readonly authservId: string
  readonly keys: SigningKeys
  /** undefined: this relay's settings never ask for it, and what it takes isn't loaded. */
  readonly verifierOf: VerifierOf | undefined
  /** @param domain  lower case, A-labels */
  readonly isProjectDomain: (domain: string) => boolean
  /** ms since the epoch */
  readonly now: () => number
}

export type VerifierOf = (received: HeaderBlock) => MessageVerifier

export interface AttestedMessage {
  readonly received: HeaderBlock
  readonly direction: Direction
  readonly policy: Policy
  /** undefined: nothing needs to be proven. */
  readonly need: ProofSettings['need'] | undefined
}

/** What is made of the header at last. */
export type Attested =
  | { readonly kind: 'done'; readonly header: Buffer }
  /** A domain of the project without a key, on a route where nobody else signs (R81). */
  | { readonly kind: 'no-key'; readonly domain: string }

export interface FinishedMessage {
  /** Rewritten, without the fields that the relay puts on top. */
  readonly header: Buffer
  /** Those that go below Authentication-Results, and above it; each with CR LF. */
  readonly below: string
  readonly above: string
  readonly route: RouteKind
  /** Whether the tenant that it goes to accepts mail for a domain. @param domain  lower case, A-labels */
  readonly isOfDeliverer: (domain: string) => boolean
  readonly hasChangedBody: boolean
}

export class Attestation {
  readonly #deps: AttestationDeps
  readonly #message: AttestedMessage
  readonly #isVerificationWanted: boolean
  readonly #verifier: MessageVerifier | undefined
  /** Of what goes on; undefined: nothing will be signed. */
  readonly #bodyHash: BodyHash | undefined
  #verification: Verification | undefined

  constructor(deps: AttestationDeps, message: AttestedMessage) {
    this.#deps = deps
    this.#message = message
    this.#isVerificationWanted = wantsVerification(message, deps.keys)
    this.#verifier =
      this.#isVerificationWanted && hasSignatures(message.received) ? deps.verifierOf?.(message.received) : undefined
    const { dkim, seal } = deps.keys
    const signs = dkim.domains.length > 0 || seal !== undefined || message.policy.staleDkim === 'remove-own'
    this.#bodyHash = signs ? new BodyHash('relaxed') : undefined
  }

  /** Octets of the body as they came. */
  received(chunk: Uint8Array): void {
    this.#verifier?.update(chunk)
  }

  /** Octets of the body as they go on. */
  sent(chunk: Uint8Array): void {
    this.#bodyHash?.update(chunk)
  }

  /** Judges what came, once all of it has. @returns undefined where nothing was asked, or nothing was there */
  async verify(): Promise<Verification | undefined> {
    this.#verification = await this.#verifier?.finish()
    return this.#verification
  }

  /** Whether a signature proves a tenant of the project (SP-4 (b)); after `verify`. */
  proof(): DkimProof {
    return findDkimProof(this.#verification, this.#deps.isProjectDomain)
  }

  /** The header with everything on top: nothing of the message may change afterwards. After `verify` and the last `sent`. */
  async finish({ header, below, above, route, isOfDeliverer, hasChangedBody }: FinishedMessage): Promise<Attested> {
    const { authservId, keys, isProjectDomain, now } = this.#deps
    const { received, direction, policy } = this.#message
    const verification = this.#verification
    const results = authenticationResults(authservId, verification)
    const resultsField = this.#isVerificationWanted ? `Authentication-Results: ${results}\r\n` : ''
    const onTop = Buffer.from(above + resultsField + below, 'latin1')
    if (this.#bodyHash === undefined) return { kind: 'done', header: Buffer.concat([onTop, header]) }

    const bodyHash = this.#bodyHash.digest()
    const kept = this.#withoutStale(header, bodyHash, hasChangedBody)
    const complete = scanHeader(Buffer.concat([onTop, kept]), NO_HEADER_LIMITS)
    const signatures = planSignatures({
      header: complete,
      direction,
      route,
      keys: keys.dkim,
      isProjectDomain,
      isOfDeliverer,
      verification,
    })
    if (signatures.kind === 'refuse') return { kind: 'no-key', domain: signatures.domain }
    const seal = planSeal({
      policy: policy.arc,
      direction,
      route,
      contentChanged: hasChangedBody || !kept.equals(received.bytes),
      header: complete,
      verification,
      key: keys.seal,
    })
    const signed = await signMessage({ header: complete, bodyHash, signatures, seal, results, at: now() })
    return { kind: 'done', header: Buffer.concat([Buffer.from(signed, 'latin1'), complete.bytes]) }
  }

  /** R82 */
  #withoutStale(header: Buffer, bodyHash: string, bodyChanged: boolean): Buffer {
    const { received, policy } = this.#message
    if (policy.staleDkim !== 'remove-own') return header
    const { isProjectDomain } = this.#deps
    const rewritten = scanHeader(header, NO_HEADER_LIMITS)
    const verification = this.#verification
    const stale = staleSignatures({ received, rewritten, verification, isProjectDomain, bodyChanged, bodyHash })
    return stale.length === 0
      ? header
      : applyEdits(
          header,
          stale.map(({ start, end }) => ({ start, end, text: '' })),
        )
  }
}

/** R79: where a policy or a proof needs it. */
function wantsVerification({ direction, policy, need }: AttestedMessage, { dkim, seal }: SigningKeys): boolean {
  if (need === 'dkim' || need === 'token+dkim') return true
  if (policy.staleDkim === 'remove-own') return true
  if (seal !== undefined && policy.arc !== 'off') return true
  // Of mail `in` a signature of ours only takes the place of one that verified; and `keep-dkim` asks what verified covers.
  return direction === 'in' && (policy.inHeaders === 'keep-dkim' || dkim.domains.length > 0)
}

/** Whether any message can want it. What it takes costs 30 MB and a quarter of a second to load. */
export function mayWantVerification(
  listeners: readonly { readonly direction: Direction | undefined }[],
  { policy, proof, signing: { dkim, seal } }: Pick<ProjectSettings, 'policy' | 'proof' | 'signing'>,
): boolean {
  return (
    proof.need !== 'token' ||
    policy.staleDkim === 'remove-own' ||
    policy.inHeaders === 'keep-dkim' ||
    (seal !== undefined && policy.arc !== 'off') ||
    (dkim.domains.length > 0 && listeners.some(({ direction }) => direction !== 'out'))
  )
}
