import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptyMetrics } from '../../common/metrics.ts'
import { certificateMetrics } from '../../mta/certificate-metrics.ts'
import type { CertificateValidity } from '../../mta/certificate-metrics.ts'

async function scraped(metrics: ReturnType<typeof emptyMetrics>): Promise<string[]> {
  return (await metrics.metrics()).split('\n').filter((line) => line.startsWith('causeway_'))
}

test('OP-1 each certificate says when it ends; of several under one name the first to end counts', async () => {
  const metrics = emptyMetrics()
  certificateMetrics(metrics, () => [
    { name: 'certificates[0]', notAfter: new Date('2027-03-01T00:00:00Z') },
    { name: 'certificates[0]', notAfter: new Date('2027-01-01T00:00:00Z') },
    { name: 'certificates[1]', notAfter: new Date('2027-02-01T00:00:00Z') },
  ])
  assert.deepEqual(await scraped(metrics), [
    `causeway_certificate_not_after_seconds{certificate="certificates[0]"} ${Date.UTC(2027, 0, 1) / 1000}`,
    `causeway_certificate_not_after_seconds{certificate="certificates[1]"} ${Date.UTC(2027, 1, 1) / 1000}`,
  ])
})

test('OP-1 a certificate that was replaced or taken away is gone from the next scrape', async () => {
  const metrics = emptyMetrics()
  let inUse: CertificateValidity[] = [
    { name: 'certificates[0]', notAfter: new Date(1_000) },
    { name: 'certificates[1]', notAfter: new Date(2_000) },
  ]
  certificateMetrics(metrics, () => inUse)
  assert.equal((await scraped(metrics)).length, 2)
  inUse = [{ name: 'certificates[0]', notAfter: new Date(9_000) }]
  assert.deepEqual(await scraped(metrics), ['causeway_certificate_not_after_seconds{certificate="certificates[0]"} 9'])
})
