// When the relay's certificates end: its listeners', and those it shows to next hops. A date, not days left, so that whoever reads it does the
// arithmetic with his own clock at the time he asks. (OP-1)
import { Gauge } from '../common/metrics.ts'
import type { Metrics } from '../common/metrics.ts'

export interface CertificateValidity {
  /** What the configuration calls it, for example `certificates[0]` or `tenants[a].clientCertificate`: never what a peer sent. */
  readonly name: string
  readonly notAfter: Date
}

/** @param inUse  called at each scrape: what was replaced must not go on warning */
export function certificateMetrics(metrics: Metrics, inUse: () => readonly CertificateValidity[]): void {
  const gauge = new Gauge({
    name: 'causeway_certificate_not_after_seconds',
    help: 'When a certificate ends, in seconds since the epoch',
    labelNames: ['certificate'],
    aggregator: 'min',
    registers: [metrics],
    collect() {
      gauge.reset()
      for (const [certificate, ms] of earliestEnds(inUse())) gauge.set({ certificate }, ms / 1000)
    },
  })
}

/** A chain, or an RSA and an ECDSA certificate side by side, are as good as the first of them to end. */
function earliestEnds(certificates: readonly CertificateValidity[]): Map<string, number> {
  const ends = new Map<string, number>()
  for (const { name, notAfter } of certificates) {
    ends.set(name, Math.min(ends.get(name) ?? Infinity, notAfter.getTime()))
  }
  return ends
}
