// Validate-OutboundConnector at work: reaches every smart host, then sends a test message through the connector, past all rules.
import { initialDomainOf } from '../exchange/recipient-facts.ts'
import { connectToHost } from '../internet/send-mail.ts'
import { flagOf } from '../mail-flow/object-properties.ts'
import type { ValidationTask } from '../services.ts'
import type { ExchangeObject } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { tlsTermsOf } from './connector-tls.ts'
import { overConnector, replyOf, smartHostsOf } from './tenant-delivery.ts'
import type { TenantDeliveryDeps } from './tenant-delivery.ts'
import { mailDate } from './trace-fields.ts'

export interface Validation {
  readonly tenant: SimulatedTenant
  readonly connector: ExchangeObject
  readonly recipients: readonly string[]
  /** A new GUID. */
  readonly id: string
  readonly nowMs: number
}

/** Never fails: each task says how it went. */
export async function validateConnector(
  deps: TenantDeliveryDeps,
  { tenant, connector, recipients, id, nowMs }: Validation,
  signal: AbortSignal,
): Promise<readonly ValidationTask[]> {
  const options = { ...deps.sending, tls: tlsTermsOf(connector, deps.tls), signal }
  const tasks: ValidationTask[] = []
  for (const host of flagOf(connector, 'UseMXRecord') ? [] : smartHostsOf(connector)) {
    const name = `Check connectivity to '${host}'`
    try {
      const connection = await connectToHost(host, options)
      connection.close()
      tasks.push({ name, isSuccessful: true, detail: '' })
    } catch (error) {
      tasks.push({ name, isSuccessful: false, detail: error instanceof Error ? error.message : String(error) })
    }
  }
  const sender = `O365ConnectorValidation@${defaultDomainOf(tenant)}`
  const content = [
    `From: <${sender}>`,
    `To: ${recipients.map((each) => `<${each}>`).join(', ')}`,
    `Date: ${mailDate(nowMs)}`,
    'Subject: Test email for connector validation',
    `Message-ID: <${id}@${initialDomainOf(tenant)}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset="us-ascii"',
    '',
    'This test email message was sent to validate a connector of Office 365.',
    '',
  ].join('\r\n')
  const outcomes = await overConnector(deps, connector, { sender, recipients, content: Buffer.from(content) }, signal)
  for (const outcome of outcomes) {
    const isSuccessful = outcome.kind === 'accepted'
    tasks.push({ name: `Send test email to '${outcome.recipient}'`, isSuccessful, detail: replyOf(outcome) })
  }
  return tasks
}

function defaultDomainOf(tenant: SimulatedTenant): string {
  return tenant.data.domains.find(({ isDefault }) => isDefault)?.id ?? initialDomainOf(tenant)
}
