// How our application proves itself at the token endpoint: a JWT signed with its certificate's key (RFC 7523; microsoft-365.md §2.1). No client
// secrets (EC-1). Made anew for each request, by our own clock: MSAL, given the certificate, would send one assertion for ten minutes.
import { X509Certificate, createHash, createPrivateKey, randomUUID } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'

export interface AppCredential {
  readonly certificate: X509Certificate
  readonly privateKey: KeyObject
}

const ASSERTION_LIFE_S = 600
const MIN_RSA_BITS = 2048 // KM-6

/**
 * @param pem  certificate (the first one counts) and private key in PEM, RSA of 2048 bits at least
 * @throws Error without anything of the key in it
 */
export function readAppCredential(pem: { certificate: string; privateKey: string }): AppCredential {
  let certificate: X509Certificate
  let privateKey: KeyObject
  try {
    certificate = new X509Certificate(pem.certificate)
    privateKey = createPrivateKey(pem.privateKey)
  } catch {
    throw new Error('the application credential is not a certificate and a private key in PEM') // the cause may quote the key
  }
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0
  if (privateKey.asymmetricKeyType !== 'rsa' || bits < MIN_RSA_BITS) {
    throw new Error(`the application credential has to be an RSA key of ${MIN_RSA_BITS} bits at least`)
  }
  if (!certificate.checkPrivateKey(privateKey)) throw new Error('private key and certificate do not belong together')
  return { certificate, privateKey }
}

/** @param tokenEndpoint  its URL at the pinned origin. @param now  ms since the epoch */
export function clientAssertion(
  { certificate, privateKey }: AppCredential,
  clientId: string,
  tokenEndpoint: string,
  now: number,
): Promise<string> {
  const issuedAt = Math.floor(now / 1000)
  return new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({
      alg: 'PS256',
      typ: 'JWT',
      'x5t#S256': createHash('sha256').update(certificate.raw).digest('base64url'),
      // Lets an application trust by subject name and issuer, so that a renewed certificate needs no visit to the portal.
      x5c: [certificate.raw.toString('base64')],
    })
    .setAudience(tokenEndpoint)
    .setIssuer(clientId)
    .setSubject(clientId)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(issuedAt + ASSERTION_LIFE_S)
    .sign(privateKey)
}
