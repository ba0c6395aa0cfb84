// A whole message signed as the relay does it, for the tests.
import { scanHeader } from '../../../rewrite-rules/index.ts'
import type { HeaderBlock } from '../../../rewrite-rules/index.ts'
import { planSeal } from '../../../mta/sign/arc.ts'
import { authenticationResults } from '../../../mta/sign/authentication-results.ts'
import { BodyHash } from '../../../mta/sign/body-hash.ts'
import { planSignatures } from '../../../mta/sign/dkim.ts'
import type { DkimKeys } from '../../../mta/sign/dkim-keys.ts'
import { signMessage } from '../../../mta/sign/sign-message.ts'
import type { JudgedSignature, Verification } from '../../../mta/sign/verification.ts'
import { hasSignatures } from '../../../mta/sign/verification.ts'
import { MessageVerifier } from '../../../mta/sign/verify.ts'
import type { ResolveTxt } from '../../../mta/sign/verify.ts'
import { PROJECT_DOMAIN, RSA_ONLY } from './project-keys.ts'

export const AT = Date.UTC(2026, 10, 22, 10)

export function splitMessage(message: Buffer): { header: HeaderBlock; body: Buffer } {
  const header = scanHeader(message)
  return { header, body: message.subarray(header.bytes.length) }
}

export function bodyHashOf(body: Uint8Array): string {
  const hash = new BodyHash()
  hash.update(body)
  return hash.digest()
}

/** The message with our signatures on top: those of its From's domain, as mail `out` by MX. */
export async function signed(message: Buffer, keys: DkimKeys = RSA_ONLY): Promise<Buffer> {
  const { header, body } = splitMessage(message)
  const signatures = planSignatures({
    header,
    direction: 'out',
    route: 'mx',
    keys,
    isProjectDomain: (domain) => domain === PROJECT_DOMAIN,
    isOfDeliverer: () => false,
    verification: undefined,
  })
  if (signatures.kind !== 'sign') throw new Error(`not signed: ${JSON.stringify(signatures)}`)
  const seal = { kind: 'unsealed', why: 'policy' } as const
  const request = { header, bodyHash: bodyHashOf(body), signatures, seal, results: '', at: AT }
  return Buffer.concat([Buffer.from(await signMessage(request), 'latin1'), message])
}

export async function verified(message: Buffer, resolve: ResolveTxt): Promise<Verification> {
  const { header, body } = splitMessage(message)
  const verifier = new MessageVerifier(header, { resolve, now: AT })
  verifier.update(body)
  return verifier.finish()
}

/** The message with one more ARC set on top. */
export async function sealed(message: Buffer, resolve: ResolveTxt, keys: DkimKeys = RSA_ONLY): Promise<Buffer> {
  const { header, body } = splitMessage(message)
  const verification = hasSignatures(header) ? await verified(message, resolve) : undefined
  const seal = planSeal({
    policy: 'on',
    direction: 'in',
    route: 'mailbox',
    contentChanged: false,
    header,
    verification,
    key: keys.find(PROJECT_DOMAIN)?.[0],
  })
  if (seal.kind !== 'seal') throw new Error(`not sealed: ${seal.why}`)
  const fields = await signMessage({
    header,
    bodyHash: bodyHashOf(body),
    signatures: { kind: 'unsigned', why: 'foreign-author' },
    seal,
    results: authenticationResults('relay.example', verification),
    at: AT,
  })
  return Buffer.concat([Buffer.from(fields, 'latin1'), message])
}

/** One that verified, but for what is given. */
export function judgedSignature(given: Partial<JudgedSignature>): JudgedSignature {
  return {
    index: 0,
    result: 'pass',
    reason: undefined,
    domain: PROJECT_DOMAIN,
    selector: 's1',
    algorithm: 'rsa-sha256',
    alignment: 'exact',
    signedFields: ['from'],
    headerCanonicalization: 'relaxed',
    bodyCanonicalization: 'relaxed',
    bodyHash: '',
    signatureStart: 'AbCd/+12',
    ...given,
  }
}
