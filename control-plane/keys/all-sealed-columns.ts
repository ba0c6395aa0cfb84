// Every column that holds values sealed by a project's key or the installation's: what a rotation goes through (KM-2). A test compares the list with
// the schema, so that a column which comes later can't be forgotten.
import { AUDIT_KEY_SEALED } from '../audit/audit-key-store.ts'
import { CERTIFICATE_COLUMN } from '../certificates/certificate-store.ts'
import { CONNECTION_CERTIFICATE_COLUMN } from '../tenants/connection-certificate-store.ts'
import { DKIM_COLUMN } from '../relays/dkim-key-store.ts'
import { MARKER_COLUMN, NONCE_COLUMN, PROOF_TOKEN_COLUMN } from '../relays/relay-secret-store.ts'
import { SNAPSHOT_KEY_COLUMN } from '../relays/snapshot-key-store.ts'
import { RECIPIENTS_COLUMN } from '../webhooks/notification.ts'
import { PREVIOUS_SECRET_COLUMN, SECRET_COLUMN } from '../webhooks/webhook.ts'
import { sealedColumns } from './sealed-columns.ts'

export const ALL_SEALED_COLUMNS = sealedColumns([
  AUDIT_KEY_SEALED,
  CERTIFICATE_COLUMN,
  CONNECTION_CERTIFICATE_COLUMN,
  DKIM_COLUMN,
  MARKER_COLUMN,
  NONCE_COLUMN,
  PREVIOUS_SECRET_COLUMN,
  PROOF_TOKEN_COLUMN,
  RECIPIENTS_COLUMN,
  SECRET_COLUMN,
  SNAPSHOT_KEY_COLUMN,
])

/** `table.column` of sealed columns that no rotation goes through, and why that is right. */
export const NOT_RESEALED: Readonly<Record<string, string>> = {
  'session.refresh_sealed':
    'of no organisation, and gone within 12 hours: until then the key that sealed it, which is kept, opens it',
  'consent_flow.flow_sealed': 'of no organisation, and gone within 24 hours',
  'sign_in_flow.flow_sealed': 'of no organisation, and gone within 10 minutes',
  'idempotency_key.answer_sealed': "sealed by a key of the caller's credential, not by ours; gone within 24 hours",
}
