// What the spool measures (OP-1): sync latency, group sizes, failures, damage.
import { Counter, Histogram } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'

export interface SpoolMetrics {
  synced(records: number, bytes: number, ms: number): void
  writeFailed(): void
  quarantined(reason: 'damaged' | 'poison'): void
  damaged(): void
}

export function spoolMetrics(registry: Metrics): SpoolMetrics {
  const registers = [registry]
  const sync = new Histogram({
    name: 'causeway_spool_sync_seconds',
    help: 'Write and sync of one commit group of the spool log',
    buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
    registers,
  })
  const records = new Counter({
    name: 'causeway_spool_records_total',
    help: 'Records made durable in the spool log',
    registers,
  })
  const written = new Counter({ name: 'causeway_spool_written_bytes_total', help: 'Bytes of those records', registers })
  const failures = new Counter({
    name: 'causeway_spool_write_failures_total',
    help: 'Failed writes and syncs of the spool',
    registers,
  })
  const quarantined = new Counter({
    name: 'causeway_spool_quarantined_total',
    help: 'Messages moved to quarantine',
    labelNames: ['reason'],
    registers,
  })
  const damage = new Counter({
    name: 'causeway_spool_damage_total',
    help: 'Places in the spool found damaged',
    registers,
  })
  return {
    synced(count, bytes, ms) {
      sync.observe(ms / 1000)
      records.inc(count)
      written.inc(bytes)
    },
    writeFailed: () => failures.inc(),
    quarantined: (reason) => quarantined.inc({ reason }),
    damaged: () => damage.inc(),
  }
}
