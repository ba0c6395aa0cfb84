// Certificates and keys as PEM files give them: read whole, checked to belong together, with what an operator must know of each. (KM-7)
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SettingsFault } from './settings-fault.ts'
import type { KeyPairFiles } from './settings-parts.ts'

/** A certificate with what leads to its root, and its key. */
export interface KeyPair {
  readonly certificateFile: string
  /** PEM, the leaf first. */
  readonly chain: string
  readonly key: KeyObject
  readonly leaf: X509Certificate
  /** Hexadecimal SHA-256 of the leaf. */
  readonly fingerprint: string
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g
/** More than any chain or bundle takes. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

/** @throws SettingsFault */
export function loadKeyPair(files: KeyPairFiles): KeyPair {
  return parseKeyPair(files, { certificate: readText(files.certificate), key: readText(files.key) })
}

/**
 * @param names  where the texts come from, for faults
 * @throws SettingsFault
 */
export function parseKeyPair(
  { certificate, key }: KeyPairFiles,
  { certificate: chain, key: keyText }: { readonly certificate: string; readonly key: string },
): KeyPair {
  const [leaf] = parseCertificates(certificate, chain)
  if (leaf === undefined) throw fault(certificate, 'holds no certificate in PEM form')
  const privateKey = parseKey(key, keyText)
  if (!leaf.checkPrivateKey(privateKey)) throw fault(key, `is not the key of the certificate in ${certificate}`)
  return {
    certificateFile: certificate,
    chain,
    key: privateKey,
    leaf,
    fingerprint: fingerprintOf(leaf),
  }
}

/** The certificates of a bundle, in its order. @throws SettingsFault when there is none */
export function loadAuthorities(file: string): readonly X509Certificate[] {
  return parseAuthorities(file, readText(file))
}

/** The same of a text. @param file  where it comes from, for faults. @throws SettingsFault */
export function parseAuthorities(file: string, pem: string): readonly X509Certificate[] {
  const certificates = parseCertificates(file, pem)
  if (certificates.length === 0) throw fault(file, 'holds no certificate in PEM form')
  return certificates
}

/** Hexadecimal SHA-256, lower case, without colons. */
export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}

/** @param key  PKCS#8, PKCS#1 or SEC1. @throws SettingsFault; nothing of the key is in its text */
function parseKey(file: string, key: string): KeyObject {
  try {
    return createPrivateKey(key)
  } catch (cause) {
    throw fault(file, 'holds no private key in PEM form that can be read without a passphrase', cause)
  }
}

function parseCertificates(file: string, text: string): X509Certificate[] {
  try {
    return [...text.matchAll(PEM_CERTIFICATE)].map(([pem]) => new X509Certificate(pem))
  } catch (cause) {
    throw fault(file, 'holds a certificate that can not be read', cause)
  }
}

/** A file of the operator's with keys, certificates or tokens. @throws SettingsFault */
export function readText(file: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw fault(file, `can't be read (${code})`, cause)
  }
  if (bytes.length > MAX_FILE_BYTES) throw fault(file, 'is larger than 4 MiB')
  return bytes.toString('latin1')
}

export function fault(file: string, rule: string, cause?: unknown): SettingsFault {
  return new SettingsFault([{ file, path: '', value: '', rule }], { cause })
}
