// Everything that may be held about a person: one entry a table. A test goes through the inventory of data, so that no table with personal data is
// left out; a new one joins by an entry here. (PR-6)
import { auditEvents } from './person-audit-store.ts'
import { installationAdministrators, recogniseMembers, sessions } from './person-access-store.ts'
import { recogniseAccounts, recognisePairs } from './person-directory-store.ts'
import { mappingEntries, mappingRules } from './person-mapping-store.ts'
import { mentionSource } from './person-mention-store.ts'
import { messageEvents } from './person-message-store.ts'
import { notificationRecipients } from './person-recipient-store.ts'
import type { PersonSource } from './person-source.ts'
import { tableSource } from './person-table-store.ts'

const IN_TENANT = { reason: 'in-tenant', goesWhenForced: true } as const
const IN_FORCE = { reason: 'in-force', goesWhenForced: true } as const

/** In the order in which they are shown, and erased: what others are found by comes last. */
export const PERSON_SOURCES: readonly PersonSource[] = [
  // ── What was read of the tenants, and made of it ──
  tableSource({
    table: 'finding',
    columns: 'id code severity about tenant_id account_id other_account_id details first_seen_at resolved_at note',
    by: { account_id: 'accounts', other_account_id: 'accounts' },
  }),
  tableSource({
    table: 'collection_member',
    columns: 'collection_id account_id added_at',
    by: { account_id: 'accounts' },
    stays: IN_FORCE,
  }),
  tableSource({
    table: 'match_exclusion',
    columns: 'account_id author created_at',
    by: { account_id: 'accounts' },
    stays: IN_FORCE,
  }),
  tableSource({
    table: 'match_result',
    columns: 'matching_id source_account_id target_account_id outcome reason rule confidence sort_key',
    by: { source_account_id: 'accounts', target_account_id: 'accounts' },
  }),
  tableSource({
    table: 'pair',
    columns: 'id source_account_id target_account_id origin state rule confidence sort_key created_at decided_at',
    by: { source_account_id: 'accounts', target_account_id: 'accounts' },
    stays: { where: `t.state <> 'unpaired'`, reason: 'paired' },
    recognise: recognisePairs,
  }),
  tableSource({
    table: 'pair_import_row',
    columns: 'import_id line action source_key target_key collection',
    by: { source_key: 'keys', target_key: 'keys', source_id: 'accounts', target_id: 'accounts' },
    stays: { reason: 'temporary' },
  }),
  mentionSource({
    table: 'pair_import',
    key: 'project_id id',
    columns: 'kind created_at',
    in: ['filter'],
    by: 'addresses',
    stays: { reason: 'temporary' },
  }),
  tableSource({
    table: 'group_member',
    columns: 'tenant_id group_object_id member_object_id valid_from valid_to',
    by: { member_object_id: 'objectIds' },
    stays: { where: 't.valid_to is null', ...IN_TENANT },
  }),
  tableSource({
    table: 'account_address',
    columns: 'tenant_id key kind account_id',
    by: { account_id: 'accounts' },
    stays: IN_TENANT,
  }),
  tableSource({
    table: 'account_part',
    columns: 'tenant_id object_id source part upn_key',
    by: { object_id: 'objectIds', upn_key: 'keys' },
    stays: IN_TENANT,
  }),
  tableSource({
    table: 'account',
    columns: 'tenant_id id object_id valid_from valid_to kind snapshot created_at',
    by: { id: 'accounts', object_id: 'objectIds' },
    stays: { where: 't.valid_to is null', ...IN_TENANT },
    recognise: recogniseAccounts,
  }),
  mentionSource({
    table: 'tenant_facts',
    key: 'project_id tenant_id discovery_number',
    in: ['facts'],
    by: 'addresses',
    stays: { reason: 'in-tenant' },
  }),
  // Rules name people. What is written back when coexistence goes off has to stay as it was.
  mentionSource({
    table: 'tenant_change',
    key: 'project_id sequence',
    columns: 'tenant_id noun cmdlet state created_at',
    in: ['parameters', 'before', 'after'],
    by: 'addresses',
    stays: { reason: 'in-tenant' },
  }),
  mentionSource({
    table: 'coexistence_object',
    key: 'project_id tenant_id noun object_key',
    columns: 'tenant_id noun name written_at',
    in: ['written', 'intended', 'before'],
    by: 'addresses',
    stays: { reason: 'in-tenant' },
  }),
  mentionSource({
    table: 'coexistence_switch',
    key: 'project_id',
    columns: 'state changed_at',
    in: ['proof'],
    by: 'addresses',
    stays: { reason: 'in-tenant' },
  }),
  mentionSource({
    table: 'tenant_state',
    key: 'project_id tenant_id operation_id moment',
    columns: 'observed_at',
    in: ['objects'],
    by: 'addresses',
    stays: { reason: 'in-tenant' },
  }),

  // ── The mapping ──
  mappingEntries,
  mappingRules,
  tableSource({
    table: 'mapping_import_row',
    columns: 'import_id row wire',
    by: { presented_key: 'keys' },
    stays: { reason: 'temporary' },
  }),
  mentionSource({
    table: 'mapping_import',
    key: 'project_id id',
    columns: 'mode author created_at',
    in: ['rules'],
    by: 'addresses',
    stays: { reason: 'temporary' },
  }),

  // ── Mail ──
  messageEvents,
  mentionSource({
    table: 'relay_settings',
    key: 'project_id version',
    columns: 'created_at created_by',
    in: ['document'],
    by: 'addresses',
    stays: {
      reason: 'in-force',
      where: `not exists (select from relay_settings n where n.organisation_id = t.organisation_id and n.project_id = t.project_id
                           and n.version > t.version)`,
    },
  }),

  // ── Work and news ──
  mentionSource({
    table: 'operation',
    key: 'id',
    columns: 'kind state created_at finished_at',
    in: ['problem', 'result'],
    by: 'addresses',
    stays: { reason: 'temporary', where: 't.finished_at is null' },
  }),
  mentionSource({
    table: 'event',
    key: 'id',
    columns: 'type created_at',
    in: ['body'],
    by: 'ids',
    stays: { reason: 'ids-only' },
  }),
  mentionSource({
    table: 'webhook_delivery',
    key: 'id',
    columns: 'webhook_id event_type state created_at finished_at',
    in: ['body'],
    by: 'ids',
    stays: { reason: 'ids-only' },
  }),
  mentionSource({
    table: 'notification_delivery',
    key: 'id',
    columns: 'notification_id event_type state created_at finished_at',
    in: ['body'],
    by: 'ids',
    stays: { reason: 'ids-only' },
  }),
  notificationRecipients,
  mentionSource({
    table: 'organisation',
    key: 'organisation_id',
    in: ['settings'],
    by: 'addresses',
    of: 'organisation',
    stays: { reason: 'in-force' },
  }),

  // ── Who may act here ──
  tableSource({
    table: 'role_assignment',
    columns: 'member_id role_id project_id assigned_by assigned_at',
    by: { member_id: 'members' },
    of: 'organisation',
    stays: { reason: 'membership' },
  }),
  tableSource({
    table: 'api_key',
    columns: 'id name prefix is_service permissions project_id created_at expires_at last_used_at revoked_at',
    by: { principal: 'principals' },
    of: 'organisation',
    stays: { reason: 'membership' },
  }),
  tableSource({
    table: 'support_grant',
    columns: 'id reason granted_by created_at expires_at revoked_at',
    by: { principal: 'principals' },
    of: 'organisation',
    stays: { where: 't.revoked_at is null and t.expires_at > now()', reason: 'membership' },
  }),
  sessions,
  installationAdministrators,
  tableSource({
    table: 'member',
    columns: 'id principal display_name invited_by created_at disabled_at',
    by: { id: 'members' },
    of: 'organisation',
    stays: { reason: 'membership' },
    recognise: recogniseMembers,
  }),
  auditEvents,
]
