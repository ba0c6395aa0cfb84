// How long the certificates of the api itself still hold: those in files, which no inventory of the database has. What is measured is what the process
// read at its start and works with, not what lies there since. (KM-7, OP-1)
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Settings } from '../settings.ts'

export interface CertificateFile {
  /** Name of the setting. */
  readonly setting: string
  readonly file: string
  /** Where its private key is, if not in the same file. */
  readonly keyFile: string | undefined
}

/** Every certificate that the settings name. */
export function certificateFiles({ tls, entra, keys }: Pick<Settings, 'tls' | 'entra' | 'keys'>): CertificateFile[] {
  return [
    ...(tls === undefined
      ? []
      : [{ setting: 'TLS_CERTIFICATE_FILE', file: tls.certificateFile, keyFile: tls.keyFile }]),
    ...(entra === undefined
      ? []
      : [{ setting: 'ENTRA_CERTIFICATE_FILE', file: entra.certificateFile, keyFile: entra.keyFile }]),
    ...(keys.kind === 'key-vault' && keys.identity.kind === 'certificate'
      ? [{ setting: 'KEY_VAULT_CERTIFICATE_FILE', file: keys.identity.certificateFile, keyFile: undefined }]
      : []),
  ]
}

export function watchCertificates(
  settings: Pick<Settings, 'tls' | 'entra' | 'keys'>,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Log },
): void {
  const ends = new Gauge({
    name: 'causeway_service_certificate_not_after_seconds',
    help: 'When the certificate ends that this process read from the file of the setting, in seconds since 1970.',
    labelNames: ['certificate'],
    registers: [metrics],
  })
  for (const { setting: certificate, file } of certificateFiles(settings)) {
    try {
      const { validToDate } = new X509Certificate(readFileSync(file))
      ends.set({ certificate }, validToDate.getTime() / 1_000)
    } catch (error) {
      // Whoever needs it refuses by himself, or does without until it is needed.
      log.warn('certificate.unreadable', { certificate, error })
    }
  }
}
