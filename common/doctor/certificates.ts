// How long certificates still hold, and whether the keys beside them are theirs. (OP-5, KM-7)
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { codeOf, fault, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

export interface CertificateFile {
  /** What it is for, in the configuration's words: `certificates[0]`. */
  readonly use: string
  readonly certificate: string
  readonly key?: string
}

export type CertificateFacts =
  | { readonly kind: 'read'; readonly from: number; readonly to: number; readonly isKeyIts: boolean | undefined }
  | { readonly kind: 'unusable'; readonly why: string }

const DAY_MS = 86_400_000
const SOON_DAYS = 30
const URGENT_DAYS = 7

/** @param renew  how another one is taken into use */
export function judgeCertificate(
  { use, certificate }: CertificateFile,
  facts: CertificateFacts,
  now: number,
  renew = 'renew it, put it in place, and send the relay SIGHUP',
): Finding {
  const check = 'certificate'
  if (facts.kind === 'unusable')
    return fault(check, `${use}: ${certificate}: ${facts.why}`, 'put a PEM certificate with its key in place')
  if (facts.isKeyIts === false)
    return fault(check, `${use}: the key is not that of ${certificate}`, 'put certificate and key of one pair in place')
  if (now < facts.from) return fault(check, `${use}: ${certificate} is not valid yet`, 'check it, and the clock')
  const days = Math.floor((facts.to - now) / DAY_MS)
  if (now >= facts.to) return fault(check, `${use}: ${certificate} has expired`, renew)
  const says = `${use}: ${certificate} holds for ${days} more ${days === 1 ? 'day' : 'days'}`
  if (days <= URGENT_DAYS) return fault(check, says, renew)
  return days <= SOON_DAYS ? warning(check, says, renew) : ok(check, says)
}

export async function observeCertificate({ certificate, key }: CertificateFile): Promise<CertificateFacts> {
  try {
    // The first of the file is the server's own; what follows is its chain.
    const parsed = new X509Certificate(await readFile(certificate))
    const isKeyIts = key === undefined ? undefined : parsed.checkPrivateKey(createPrivateKey(await readFile(key)))
    return { kind: 'read', from: parsed.validFromDate.getTime(), to: parsed.validToDate.getTime(), isKeyIts }
  } catch (error) {
    return { kind: 'unusable', why: `it, or its key, can't be read (${codeOf(error)})` }
  }
}
