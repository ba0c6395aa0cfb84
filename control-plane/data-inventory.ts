// Everything that the control plane keeps, logs, measures or hands out: of what class it is, and how long it stays (PR-1). Data only. A test compares
// it with the live schema and with the source, so that nothing new goes without a class; docs/data-inventory.md is made from it.

/** The higher class wins where a value is of two. */
export const DATA_CLASSES = {
  public: 'Anybody may know it: public keys, what is in DNS, what Microsoft publishes.',
  metadata:
    'Ids, states, times, counts, digests, settings, and names that administrators gave to things. Names a person by an opaque id at most.',
  PII: 'Names or addresses people, or may: display names, mail addresses, source addresses.',
  content: 'What messages, documents or meetings say: bodies, subjects, titles, file names.',
  secret:
    'Lets whoever has it in, or open something. In the database only sealed, wrapped by the key service, or hashed.',
} as const
export type DataClass = keyof typeof DATA_CLASSES

/** Names with a space between. */
export type ByClass = Readonly<Partial<Record<DataClass, string>>>

export interface TableInventory {
  readonly retention: string
  readonly columns: ByClass
  /** Of columns that don't stay as long as their row. */
  readonly sooner?: Readonly<Record<string, string>>
}

export interface Artefact {
  readonly what: string
  readonly class: DataClass
  readonly retention: string
}

const PROJECT = 'until the project is deleted'
const ORGANISATION = 'until the organization is deleted'
const INSTALLATION = 'as long as the installation'
const THIRTY_DAYS = '30 days'

export const TABLES: Readonly<Record<string, TableInventory>> = {
  account: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id project_id tenant_id id object_id valid_from valid_to kind is_synced digest created_at',
      PII: 'display_name user_principal_name mail primary_key sort_key nickname_key snapshot',
    },
  },
  account_address: {
    retention: PROJECT,
    columns: { metadata: 'organisation_id project_id tenant_id kind account_id', PII: 'key' },
  },
  account_part: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id tenant_id object_id source digest changed_in seen_in',
      PII: 'part upn_key',
    },
  },
  api_key: {
    retention: `${ORGANISATION}; a personal key until its member is removed`,
    columns: {
      metadata:
        'organisation_id id name prefix principal is_service member_id permissions project_id allows_dangerous created_at expires_at last_used_at revoked_at',
      secret: 'key_hash',
    },
    sooner: { key_hash: 'opens nothing after 365 days at most, 24 hours for dangerous actions' },
  },
  audit_chain: { retention: INSTALLATION, columns: { metadata: 'organisation_id size head' } },
  audit_checkpoint: {
    retention: INSTALLATION,
    columns: { metadata: 'organisation_id size hash time key_id signature exported_at' },
  },
  audit_event: {
    retention: INSTALLATION,
    columns: {
      metadata: 'organisation_id sequence id time action actor project_id object result header hash',
      PII: 'payload',
    },
    sooner: { payload: '400 days, or 90 to 3,650 days as the organization has set; then cleared (AU-4)' },
  },
  audit_key: {
    retention: INSTALLATION,
    columns: {
      public: 'id public_key',
      metadata: 'organisation_id ordinal signature created_at',
      secret: 'private_key_sealed',
    },
    sooner: { private_key_sealed: 'until the next key takes over' },
  },
  audit_verification: {
    retention: INSTALLATION,
    columns: { metadata: 'organisation_id size hash round_started_at verified_at fault fault_event' },
  },
  break_glass: {
    retention: INSTALLATION,
    columns: { metadata: 'only_row code_expires_at used_at is_open', secret: 'code_hash' },
    sooner: { code_hash: 'opens nothing after an hour; gone once there is an installation administrator' },
  },
  certificate: {
    retention: PROJECT,
    columns: {
      public: 'names algorithm public_key request chain fingerprint',
      metadata:
        'organisation_id project_id id purpose tenant_id state not_before expires_at replaces version created_at created_by activated_at retired_at',
      secret: 'key_sealed',
    },
    sooner: { key_sealed: 'until the certificate is retired' },
  },
  coexistence_event: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id project_id sequence switch event from_state to_state actor cause operation_id created_at',
    },
  },
  coexistence_object: {
    retention: 'until it is gone from the tenant, or as it was',
    columns: {
      metadata: 'organisation_id project_id tenant_id noun object_key name ownership object_guid written_at',
      PII: 'written intended before',
    },
  },
  coexistence_switch: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id project_id state since free_busy free_busy_state free_busy_since step waiting_for confirms_drift operation_id baseline_operation_id marks runner observed_at looked_revision version author changed_at problems drift setting',
      PII: 'proof',
    },
  },
  coexistence_evidence: {
    retention: 'until its run has ended',
    columns: { metadata: 'organisation_id project_id nonce maker index relay_id verdict seen_at' },
  },
  coexistence_run: {
    retention: 'until the switch has no use for it any more',
    columns: {
      metadata: 'organisation_id project_id nonce kind tenant_id direction host nonce_id started_at expires_at',
    },
  },
  collection: {
    retention: PROJECT,
    columns: { metadata: 'organisation_id project_id id name name_key version created_by created_at' },
  },
  collection_member: {
    retention: PROJECT,
    columns: { metadata: 'organisation_id project_id collection_id account_id tenant_id added_at' },
  },
  connection_certificate: {
    retention: PROJECT,
    columns: {
      public: 'thumbprint certificate',
      metadata:
        'organisation_id project_id tenant_id id state expires_at created_at created_by activated_at retired_at version',
      secret: 'private_key_sealed',
    },
    sooner: { private_key_sealed: 'until the certificate is retired' },
  },
  consent: {
    retention: 'until the tenant is removed or gets another application',
    columns: {
      metadata:
        'organisation_id project_id tenant_id state choices granted missing exchange problem problem_details domains_problem proved_at proved_by connected_at state_since checked_at version',
    },
  },
  consent_flow: {
    retention: '24 hours',
    columns: { metadata: 'created_at expires_at', secret: 'secret_hash flow_sealed' },
  },
  deletion_certificate: {
    retention: `${ORGANISATION}; of an organization: ${INSTALLATION}`,
    columns: { metadata: 'organisation_id id subject document created_at' },
  },
  discovery: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id project_id id tenant_id number mode state operation_id statistics_for counts gaps author started_at finished_at',
    },
  },
  discovery_checkpoint: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id tenant_id collection discovery_id state is_full link updated_at',
    },
  },
  dkim_key: {
    retention: PROJECT,
    columns: {
      public: 'domain selector algorithm public_key',
      metadata:
        'organisation_id project_id id state replaces version created_at created_by expires_at checked_at check_result activated_at retired_at',
      secret: 'private_sealed',
    },
    sooner: { private_sealed: 'until the key is retired' },
  },
  event: {
    retention: '24 hours',
    columns: { metadata: 'organisation_id id project_id type body created_at position' },
  },
  event_horizon: { retention: ORGANISATION, columns: { metadata: 'organisation_id position' } },
  exchange_range: {
    retention: '30 days after Microsoft last named it (SP-3)',
    columns: { public: 'cloud range', metadata: 'first_seen_at last_seen_at' },
  },
  finding: {
    retention: `${PROJECT}; 30 days from when it was resolved`,
    columns: {
      metadata:
        'organisation_id project_id id fingerprint pass code severity rank about tenant_id account_id other_account_id domain details first_seen_at last_seen_at resolved_at acknowledged_at acknowledged_by version',
      PII: 'sort_key note',
    },
  },
  finding_run: {
    retention: PROJECT,
    columns: { metadata: 'organisation_id project_id asked began judged place asked_at finished_at' },
  },
  group_member: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id tenant_id group_object_id member_object_id valid_from valid_to seen_in',
    },
  },
  idempotency_key: {
    retention: '24 hours',
    columns: {
      metadata: 'organisation_id caller key request_hash status created_at',
      secret: 'answer_sealed',
    },
  },
  installation: { retention: INSTALLATION, columns: { metadata: 'only_row id' } },
  installation_administrator: {
    retention: 'until the administrator is removed',
    columns: { metadata: 'principal added_by added_at', PII: 'display_name' },
  },
  job: {
    retention: `until it is done; failed: ${THIRTY_DAYS}`,
    columns: {
      metadata:
        'organisation_id id project_id kind object_id state attempts fence run_after published_at lease_until failed_reason failed_at created_at',
    },
  },
  job_schedule: { retention: INSTALLATION, columns: { metadata: 'name requested_at' } },
  job_step: { retention: 'as long as the job', columns: { metadata: 'organisation_id job_id step' } },
  key_inventory: {
    retention: 'as long as the key or certificate',
    columns: { metadata: 'organisation_id kind id project_id owner created_at expires_at last_used_at alarmed_days' },
  },
  kysely_migration: { retention: INSTALLATION, columns: { metadata: 'name timestamp' } },
  kysely_migration_lock: { retention: INSTALLATION, columns: { metadata: 'id is_locked' } },
  mapping_address: { retention: PROJECT, columns: { metadata: 'organisation_id project_id entry_id', PII: 'key' } },
  mapping_entry: {
    retention: `in force: ${PROJECT}; replaced or removed: 400 days`,
    columns: {
      metadata: 'organisation_id project_id id valid_from valid_to mailbox_domain source source_ref author created_at',
      PII: 'presented_key presented mailbox keys wire',
    },
  },
  mapping_horizon: { retention: PROJECT, columns: { metadata: 'organisation_id project_id revision' } },
  mapping_import: {
    retention: 'until its operation ends; broken off: 24 hours',
    columns: {
      metadata:
        'organisation_id project_id id mode validates_only confirm expected_revision restored_revision result author created_at',
      PII: 'rules',
    },
  },
  mapping_import_row: {
    retention: 'until it is applied; broken off: 24 hours',
    columns: {
      metadata: 'organisation_id project_id import_id row path line col id mailbox_domain source_ref',
      PII: 'presented_key presented mailbox keys wire',
    },
  },
  mapping_revision: {
    retention: `${PROJECT}; once its table can not be had any more and nothing kept is of it: 400 days`,
    columns: {
      metadata:
        'organisation_id project_id revision author cause restored_from created changed removed rules_changed entries created_at',
    },
  },
  mapping_rule: {
    retention: `in force: ${PROJECT}; replaced or removed: 400 days`,
    columns: {
      metadata: 'organisation_id project_id id valid_from valid_to kind author created_at',
      PII: 'rule_key wire',
    },
  },
  match_exclusion: {
    retention: PROJECT,
    columns: { metadata: 'organisation_id project_id account_id tenant_id author created_at' },
  },
  match_result: {
    retention: 'of the five newest matchings of a project',
    columns: {
      metadata:
        'organisation_id project_id matching_id source_account_id source_tenant_id outcome reason rule confidence target_account_id pair_id candidates candidate_count',
      PII: 'sort_key',
    },
  },
  matching: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id id operation_id options discoveries counts author created_at completed_at',
    },
  },
  member: {
    retention: 'until the member is removed',
    columns: {
      metadata: 'organisation_id id principal invited_by version created_at disabled_at',
      PII: 'display_name',
    },
  },
  message_event: {
    retention: THIRTY_DAYS,
    columns: {
      metadata: 'organisation_id project_id relay_id time id received_at class event queue_id',
      PII: 'message_id sender fields',
    },
  },
  message_recipient: {
    retention: THIRTY_DAYS,
    columns: { metadata: 'organisation_id project_id time relay_id queue_id', PII: 'address' },
  },
  notification: {
    retention: `until it is removed, or ${ORGANISATION}`,
    columns: {
      metadata: 'organisation_id id project_id events is_enabled version created_at created_by',
      secret: 'recipients_sealed',
    },
  },
  notification_delivery: {
    retention: THIRTY_DAYS,
    columns: {
      metadata:
        'organisation_id id notification_id project_id event_type body state attempts last_fault retry_until created_at finished_at',
    },
  },
  operation: {
    retention: `${THIRTY_DAYS} after its end`,
    columns: {
      metadata:
        'organisation_id id project_id kind permission object_id state done total unit step started_by created_at updated_at finished_at is_cancellable fence attempts lease_until version',
      PII: 'problem result',
    },
  },
  organisation: {
    retention: `${ORGANISATION}; then its id and times: ${INSTALLATION}`,
    columns: {
      metadata:
        'organisation_id name region version created_at deletion_requested_at deletion_requested_by settings_version deletion_started_at deleted_at',
      PII: 'settings',
    },
  },
  outbox: {
    retention: 'until it is handed on',
    columns: { metadata: 'organisation_id id project_id kind object_id created_at' },
  },
  pair: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id project_id id source_tenant_id source_account_id target_tenant_id target_account_id origin state rule confidence matching_id presents holds mapping_state mapping_reason mapping_seen source_version target_version content_copied_at version created_by created_at decided_by decided_at',
      PII: 'sort_key',
    },
  },
  pair_import: {
    retention: 'until its operation ends; broken off: 24 hours',
    columns: {
      metadata: 'organisation_id project_id id kind confirm validates_only result author created_at',
      PII: 'filter',
    },
  },
  pair_import_row: {
    retention: 'until it is applied; broken off: 24 hours',
    columns: {
      metadata:
        'organisation_id project_id import_id line source_column target_column action collection collection_key source_id target_id source_count target_count pair_id',
      PII: 'source_key target_key',
    },
  },
  project: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id id name description shows_titles settings version mapping_revision held_revision held_since settings_version snapshot_version created_at created_by deletion_requested_at deletion_requested_by deletion_forced_by deletion_started_at deletion_steps',
    },
  },
  project_key: {
    retention: `${PROJECT}; the installation key: ${INSTALLATION}`,
    columns: {
      metadata:
        'organisation_id id project_id version state provider provider_key provider_version created_at replaced_at resealed_at destroyed_at provider_destroyed_at purge_at',
      secret: 'wrapped',
    },
    sooner: { wrapped: 'until the key is destroyed (KM-3)' },
  },
  proof_token: {
    retention: `until it is replaced, or ${PROJECT}`,
    columns: { metadata: 'organisation_id project_id id tenant_id direction state created_at', secret: 'token_sealed' },
  },
  relay: {
    retention: PROJECT,
    columns: {
      public: 'signing_key sealing_key',
      metadata:
        'organisation_id project_id id name state software_version version enrolled_at state_changed_at pinned_key seen_at is_stale reported_at snapshot_version mapping_revision mapping_digest mapping_entries settings_version refused_version refused_reason started_at is_ready reasons reported_state queue_messages queue_oldest_ms queue_quarantined queue_dead certificate_not_after dropped_metric dropped_message dropped_audit',
    },
  },
  relay_enrolment: {
    retention: '30 days after it opens nothing any more',
    columns: {
      metadata: 'organisation_id project_id id name created_at created_by expires_at cancelled_at used_at relay_id',
      secret: 'code_hash',
    },
    sooner: { code_hash: 'opens nothing after 15 minutes' },
  },
  relay_marker: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id version created_at token_at secret_at token_pending_since',
      secret: 'keys_sealed',
    },
  },
  relay_nonce: {
    retention: 'until its end',
    columns: { metadata: 'organisation_id project_id id created_at expires_at', secret: 'nonce_sealed' },
  },
  relay_settings: {
    retention: `in force, or with a relay: ${PROJECT}; replaced: 400 days`,
    columns: { metadata: 'organisation_id project_id version created_at created_by', PII: 'document' },
  },
  relay_token_use: {
    retention: 'until the token has run out',
    columns: { metadata: 'organisation_id project_id relay_id jti expires_at' },
  },
  role: {
    retention: `until it is removed, or ${ORGANISATION}`,
    columns: { metadata: 'organisation_id id name permissions version created_at' },
  },
  role_assignment: {
    retention: 'until it is taken back or the member is removed',
    columns: { metadata: 'organisation_id member_id role_id project_id assigned_by assigned_at' },
  },
  session: {
    retention: '12 hours, or 20 minutes without use',
    columns: {
      metadata: 'principal is_break_glass created_at authenticated_at checked_at last_used_at expires_at',
      PII: 'display_name',
      secret: 'id_hash csrf_hash refresh_sealed',
    },
  },
  sign_in_flow: {
    retention: '10 minutes',
    columns: { metadata: 'created_at expires_at', secret: 'state_hash flow_sealed' },
  },
  tenant_change: {
    retention: PROJECT,
    columns: {
      metadata:
        'organisation_id project_id sequence tenant_id noun object_key object_guid cmdlet state problem operation_id author created_at settled_at',
      PII: 'parameters before after',
    },
  },
  tenant_facts: {
    retention: PROJECT,
    columns: { metadata: 'organisation_id project_id tenant_id discovery_number facts created_at' },
  },
  tenant_state: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id tenant_id operation_id moment observed_at',
      PII: 'objects',
    },
  },
  snapshot_applied: {
    retention: PROJECT,
    columns: {
      metadata: 'organisation_id project_id snapshot_version mapping_revision settings_version relays applied_at',
    },
  },
  snapshot_key: {
    retention: INSTALLATION,
    columns: {
      public: 'public_key',
      metadata: 'organisation_id id state introduced_by introduction created_at',
      secret: 'private_sealed',
    },
    sooner: { private_sealed: 'until the next key takes over' },
  },
  support_grant: {
    retention: ORGANISATION,
    columns: { metadata: 'organisation_id id principal granted_by created_at expires_at revoked_at', PII: 'reason' },
  },
  tenant_claim: {
    retention: 'until no project has the tenant',
    columns: { metadata: 'entra_tenant_id organisation_id' },
  },
  tenant_connection: {
    retention: `until it is removed, or ${PROJECT}`,
    columns: {
      metadata:
        'organisation_id project_id id side label name cloud entra_tenant_id app_model client_id accepted_domains initial_domain version created_at created_by',
    },
  },
  webhook: {
    retention: `until it is removed, or ${ORGANISATION}`,
    columns: {
      metadata:
        'organisation_id id project_id url description events is_enabled previous_secret_until failures rests_until version created_at created_by',
      secret: 'secret_sealed previous_secret_sealed',
    },
  },
  webhook_delivery: {
    retention: THIRTY_DAYS,
    columns: {
      metadata:
        'organisation_id id webhook_id project_id event_type body state attempts last_attempt_at last_status last_fault retry_until created_at finished_at',
    },
  },
}

/** Schemas whose tables are not in the list, and why that is right. */
export const OTHER_SCHEMAS: Readonly<Record<string, string>> = {
  bullmq:
    "the queue's own, in an evaluation without Redis: an organization's id, a job's id and its kind, no more (JQ-4); gone when the job is done",
}

/** Of the log of api and worker: `error` is an error's name, code and message, with those of its causes and, at level error, the places in the source. */
export const LOG_FIELDS: ByClass = {
  metadata: [
    'time level event error name message code syscall stack errors cause',
    'requestId route method status ms reason why fault faults now',
    'organization project relay key keys job kind attempt notification webhook delivery',
    'mode port metricsPort queue expired forgotten reconciler sweeper entraCode',
    'tenant service operation outcome serviceCode serviceRequestId clientRequestId waitedMs warnings',
    'retryAfter units usedShare throttleScope throttleReason rateLimit',
    'sequence certificate',
    'held version revision bytes cloud ranges added removed column values',
  ].join(' '),
}

/** What a log call takes from elsewhere as a whole: `file: expression`, and the names of fields that may come with it. */
export const LOG_SPREADS: Readonly<Record<string, string>> = {
  'control-plane/access/sign-in-record.ts: details': 'error entraCode fault',
  'control-plane/access/sign-in-routes.ts: details': 'error entraCode fault',
  'control-plane/jobs/reconcile-all.ts: found': 'expired forgotten',
}

export const METRIC_LABELS: ByClass = {
  metadata: 'certificate component kind method operation outcome result route service standing state status',
}

export const LOG_RETENTION = 'written to stderr and not kept: as long as whoever collects it keeps it'
export const METRIC_RETENTION = 'in memory until the process ends: as long as whoever collects them keeps them'

export const ARTEFACTS: readonly Artefact[] = [
  {
    what: "answers of the API, live events and exports of an organization's own data",
    class: 'PII',
    retention: 'not kept',
  },
  {
    what: 'answers to POSTs with an Idempotency-Key',
    class: 'secret',
    retention: '24 hours, sealed by a key that only the caller has',
  },
  {
    what: 'snapshots and deltas for relays',
    class: 'PII',
    retention: 'in memory of the api; on the relay, encrypted, until the next one (RC-4)',
  },
  {
    what: "secrets in a snapshot, sealed to the relay's key",
    class: 'secret',
    retention: 'as the snapshot',
  },
  { what: 'posts to webhooks', class: 'metadata', retention: `${THIRTY_DAYS}, with their delivery` },
  {
    what: 'notifications by mail: ids, states and counts to the addresses asked for',
    class: 'PII',
    retention: 'not kept; ids and states 30 days, with their delivery',
  },
  {
    what: 'checkpoints in write-once storage',
    class: 'metadata',
    retention: 'as long as the storage keeps them',
  },
  { what: 'certificates of deletion', class: 'metadata', retention: INSTALLATION },
  {
    what: 'files of the file key provider',
    class: 'secret',
    retention: 'until the key is destroyed',
  },
  {
    what: 'the one-time code, printed once on the standard output of the server',
    class: 'secret',
    retention: 'of no use after an hour, or once there is an installation administrator',
  },
  { what: "backups of the database, the operator's", class: 'PII', retention: '35 days at most (PR-5)' },
]
