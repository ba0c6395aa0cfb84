// Which permissions each part of the product needs in a tenant, by side and level, and why: what an administrator is shown before he consents, what
// docs/permissions.md is made of, and what a granted consent is held against. Application permissions only. (EC-2, microsoft-365.md §2.5)
// Names and ids are Microsoft's; a test holds the table against the published sets.

export interface Permission {
  /** `User.Read.All` */
  readonly name: string
  /** Of the application role. */
  readonly id: string
  readonly why: string
  /** Asked for only where somebody chose it. */
  readonly isOptional?: boolean
}

export interface PermissionSet {
  readonly purpose: string
  readonly graph: readonly Permission[]
  /** `Exchange.ManageAsApp`, and what of Exchange's own roles the application is to hold. */
  readonly exchange?: ExchangePermission
}

export interface ExchangePermission {
  readonly isOptional: boolean
  readonly why: string
  readonly roles: readonly string[]
}

export const GRAPH_APP_ID = '00000003-0000-0000-c000-000000000000'
export const EXCHANGE_APP_ID = '00000002-0000-0ff1-ce00-000000000000'
export const EXCHANGE_MANAGE_AS_APP = { name: 'Exchange.ManageAsApp', id: 'dc50a0fb-09a3-484d-be87-e023b12c6440' }

export const PERMISSION_SETS = {
  'Basic Minimal': {
    purpose: 'discovery, assessment, matching; nothing is changed',
    graph: [
      {
        name: 'User.Read.All',
        id: 'df021288-bdef-4463-88db-98f22de89214',
        why: 'users, manager, licences, mailbox ids',
      },
      {
        name: 'GroupMember.Read.All',
        id: '98830695-27a2-44f7-8c18-0c3ebc9698f6',
        why: 'groups and members without group content',
      },
      { name: 'OrgContact.Read.All', id: 'e1a88a34-94c4-4418-be12-c87b00e26bea', why: 'organisation contacts' },
      { name: 'Domain.Read.All', id: 'dbb9058a-0e50-45d7-ae91-66909b5d4664', why: 'domains and DNS records' },
      {
        name: 'Organization.Read.All',
        id: '498476ce-e0fe-48b0-b801-37ba7e2685c6',
        why: 'tenant name, verified domains',
      },
      {
        name: 'LicenseAssignment.Read.All',
        id: 'e2f98668-2877-4f38-a2f4-8202e0717aa1',
        why: 'subscribed SKUs, licence details',
      },
      {
        name: 'CrossTenantInformation.ReadBasic.All',
        id: 'cac88765-0581-4025-9725-5ebc13f729ee',
        why: 'partner tenant id from a domain',
      },
      {
        name: 'Application.Read.All',
        id: '9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30',
        why: 'check which consents the tenant granted',
      },
      {
        name: 'Reports.Read.All',
        id: '230c1aed-a721-4c5d-9cb4-a90514e508ef',
        why: 'mailbox and OneDrive sizes for the assessment',
      },
      {
        name: 'ReportSettings.Read.All',
        id: 'ee353f83-55ef-4b78-82da-555bfa2b4b95',
        why: 'detects concealed names in reports',
      },
      {
        name: 'RoleManagement.Read.Directory',
        id: '483bed4a-2ad3-4361-a73b-c83ccdbdc53c',
        why: 'privileged role holders in the assessment',
        isOptional: true,
      },
      {
        name: 'Directory.Read.All',
        id: '7ab1d382-f21e-4acd-a863-ba3e13f7da61',
        why: 'fallback: only if a tenant refuses the narrow set; replaces six of the above',
        isOptional: true,
      },
    ],
    exchange: {
      isOptional: true,
      why: 'mailbox properties, connectors and rules in the assessment',
      roles: ['View-Only Configuration', 'View-Only Recipients'],
    },
  },
  'Basic Full': {
    purpose: 'discovery plus creation and update of accounts and groups',
    graph: [
      {
        name: 'User.Read.All',
        id: 'df021288-bdef-4463-88db-98f22de89214',
        why: 'users, manager, licences, mailbox ids',
      },
      { name: 'OrgContact.Read.All', id: 'e1a88a34-94c4-4418-be12-c87b00e26bea', why: 'organisation contacts' },
      { name: 'Domain.Read.All', id: 'dbb9058a-0e50-45d7-ae91-66909b5d4664', why: 'domains and DNS records' },
      {
        name: 'Organization.Read.All',
        id: '498476ce-e0fe-48b0-b801-37ba7e2685c6',
        why: 'tenant name, verified domains',
      },
      {
        name: 'LicenseAssignment.Read.All',
        id: 'e2f98668-2877-4f38-a2f4-8202e0717aa1',
        why: 'subscribed SKUs, licence details',
      },
      {
        name: 'CrossTenantInformation.ReadBasic.All',
        id: 'cac88765-0581-4025-9725-5ebc13f729ee',
        why: 'partner tenant id from a domain',
      },
      {
        name: 'Application.Read.All',
        id: '9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30',
        why: 'check which consents the tenant granted',
      },
      {
        name: 'Reports.Read.All',
        id: '230c1aed-a721-4c5d-9cb4-a90514e508ef',
        why: 'mailbox and OneDrive sizes for the assessment',
      },
      {
        name: 'ReportSettings.Read.All',
        id: 'ee353f83-55ef-4b78-82da-555bfa2b4b95',
        why: 'detects concealed names in reports',
      },
      {
        name: 'RoleManagement.Read.Directory',
        id: '483bed4a-2ad3-4361-a73b-c83ccdbdc53c',
        why: 'privileged role holders in the assessment',
        isOptional: true,
      },
      {
        name: 'Directory.Read.All',
        id: '7ab1d382-f21e-4acd-a863-ba3e13f7da61',
        why: 'fallback: only if a tenant refuses the narrow set; replaces six of the above',
        isOptional: true,
      },
      { name: 'User.ReadWrite.All', id: '741f803b-c850-494e-b5df-cde7c675a1ca', why: 'create and update users' },
      { name: 'User.EnableDisableAccount.All', id: '3011c876-62b7-4ada-afa2-506cbbecc68c', why: 'set accountEnabled' },
      {
        name: 'User.DeleteRestore.All',
        id: 'eccc023d-eccf-4e7b-9683-8813ab36cecc',
        why: 'undo: delete or restore what a migration created',
        isOptional: true,
      },
      { name: 'User.Invite.All', id: '09850681-111b-4a89-9bed-3f2cae46d706', why: 'guest invitations' },
      { name: 'LicenseAssignment.ReadWrite.All', id: '5facf0c1-8979-4e95-abcf-ff3d079771c0', why: 'assign licences' },
      { name: 'Group.Create', id: 'bf7b1a76-6e77-406b-b258-bf5c7720e98f', why: 'create groups' },
      {
        name: 'Group.ReadWrite.All',
        id: '62a82d76-70ea-41e2-9197-370581804d09',
        why: 'update groups, members, owners',
      },
      { name: 'ProfilePhoto.ReadWrite.All', id: '27baa7f6-5dfb-4ba8-b1d3-1e812c143013', why: 'copy photos' },
      {
        name: 'AppRoleAssignment.ReadWrite.All',
        id: '06b708a9-e830-4db3-a914-8e69da51d44f',
        why: 'give migrated users the same applications',
        isOptional: true,
      },
      {
        name: 'DelegatedPermissionGrant.ReadWrite.All',
        id: '8e8e4742-1d95-4f68-9d56-6ee75648c72a',
        why: 'copy delegated grants',
        isOptional: true,
      },
      {
        name: 'Domain.ReadWrite.All',
        id: '7e05723c-0bb0-42da-be95-ae9f08a6e53c',
        why: 'domain move at cut-over',
        isOptional: true,
      },
      {
        name: 'User.RevokeSessions.All',
        id: '77f3a031-c388-4f99-b373-dc68676a979e',
        why: 'cut-over sign-out',
        isOptional: true,
      },
    ],
    exchange: {
      isOptional: true,
      why: 'mailbox properties, connectors and rules in the assessment',
      roles: ['View-Only Configuration', 'View-Only Recipients'],
    },
  },
  'Mailbox Minimal': {
    purpose: 'read mailbox content',
    graph: [
      { name: 'User.Read.All', id: 'df021288-bdef-4463-88db-98f22de89214', why: 'primary and archive mailbox ids' },
      {
        name: 'Mail.Read',
        id: '810c84a8-4a9e-49e6-bf7d-12d183f40d01',
        why: 'message bodies and attachments (Mail.ReadBasic.All is the published least for some of these calls but omits bodies)',
      },
      { name: 'Calendars.Read', id: '798ee544-9d2d-430c-a058-570e29e34338', why: 'events' },
      { name: 'Contacts.Read', id: '089fe4d0-434a-44c5-8827-41ba8a0b17f5', why: 'contacts' },
      { name: 'Tasks.Read.All', id: 'f10e1f91-74ed-437f-a6fd-d6ae88e26c1f', why: 'tasks' },
      {
        name: 'MailboxSettings.Read',
        id: '40f97065-369a-49f4-947c-6a255697ae91',
        why: 'rules, categories, time zone, auto-reply',
      },
      {
        name: 'MailboxFolder.Read.All',
        id: '99280d24-a782-4793-93cc-0888549957f6',
        why: 'folder list of the import-export API',
      },
      {
        name: 'MailboxItem.Read.All',
        id: '7d9f353d-a7bd-4fbb-822a-26d5dd39a3ce',
        why: 'item list of the import-export API',
      },
      { name: 'MailboxItem.Export.All', id: '937550e9-33a3-494b-88ae-d9cd394b1fbb', why: 'full-fidelity export' },
    ],
    exchange: {
      isOptional: true,
      why: 'folder and mailbox statistics, delegate inventory',
      roles: ['View-Only Configuration', 'View-Only Recipients'],
    },
  },
  'Mailbox Full': {
    purpose: 'write mailbox content, forwarding, delegates',
    graph: [
      { name: 'User.Read.All', id: 'df021288-bdef-4463-88db-98f22de89214', why: 'mailbox ids' },
      { name: 'Mail.ReadWrite', id: 'e2a3a72e-5f79-4c64-b1b1-878b674786c9', why: 'write messages and folders' },
      { name: 'Calendars.ReadWrite', id: 'ef54d2bf-783f-4e0f-bca1-3210c0444d99', why: 'write events' },
      { name: 'Contacts.ReadWrite', id: '6918b873-d17a-4dc1-b314-35f528134491', why: 'write contacts' },
      { name: 'Tasks.ReadWrite.All', id: '44e666d1-d276-445b-a5fc-8815eeb81d55', why: 'write tasks' },
      {
        name: 'MailboxSettings.ReadWrite',
        id: '6931bccd-447a-43d1-b442-00a195474933',
        why: 'rules, categories, auto-reply',
      },
      {
        name: 'MailboxFolder.ReadWrite.All',
        id: 'fef87b92-8391-4589-9da7-eb93dab7dc8a',
        why: 'create folders through the import-export API',
      },
      { name: 'MailboxItem.Read.All', id: '7d9f353d-a7bd-4fbb-822a-26d5dd39a3ce', why: 'verify imported items' },
      {
        name: 'MailboxItem.ImportExport.All',
        id: '76577085-e73d-4f1d-b26a-85fb33892327',
        why: 'import; also covers export',
      },
    ],
    exchange: {
      isOptional: false,
      why: 'forwarding, delegates, archive, native moves',
      roles: [
        'Mail Recipients',
        'Move Mailboxes',
        'Recipient Policies',
        'View-Only Configuration',
        'View-Only Recipients',
      ],
    },
  },
  'OneDrive Minimal': {
    purpose: 'read OneDrive content and permissions',
    graph: [
      {
        name: 'Files.Read.All',
        id: '01d4889c-1287-42c6-ac1f-5d1e02578ef6',
        why: 'files, versions, sharing of every drive',
      },
      { name: 'User.Read.All', id: 'df021288-bdef-4463-88db-98f22de89214', why: 'resolve drive owners' },
    ],
  },
  'OneDrive Full': {
    purpose: 'write OneDrive content and permissions',
    graph: [
      {
        name: 'Files.ReadWrite.All',
        id: '75359482-378d-4052-8f01-80520e7db3cd',
        why: 'write files, versions, sharing',
      },
      {
        name: 'Sites.ReadWrite.All',
        id: '9492366f-7969-46a4-8d15-ed1a20078fff',
        why: 'the only application permission published for createUploadSession',
      },
      { name: 'User.Read.All', id: 'df021288-bdef-4463-88db-98f22de89214', why: 'resolve drive owners' },
      {
        name: 'Sites.FullControl.All',
        id: 'a82116e5-55eb-4c41-a434-62fe8a61c773',
        why: 'only for site-level permissions and locked drives',
        isOptional: true,
      },
    ],
  },
  Coexistence: {
    purpose: 'connectors, transport rules, organisation relationships, mail objects',
    graph: [
      { name: 'User.Read.All', id: 'df021288-bdef-4463-88db-98f22de89214', why: 'addresses for the mapping table' },
      {
        name: 'OrgContact.Read.All',
        id: 'e1a88a34-94c4-4418-be12-c87b00e26bea',
        why: 'contacts for the mapping table',
      },
      { name: 'GroupMember.Read.All', id: '98830695-27a2-44f7-8c18-0c3ebc9698f6', why: 'groups for the mapping table' },
      { name: 'Domain.Read.All', id: 'dbb9058a-0e50-45d7-ae91-66909b5d4664', why: 'accepted and verified domains' },
      {
        name: 'ExchangeMessageTrace.Read.All',
        id: '89b20d8a-76e2-4057-867b-9961f800b9a4',
        why: 'prove that relayed mail arrived',
        isOptional: true,
      },
    ],
    exchange: {
      isOptional: false,
      why: 'every Exchange change of domain coexistence',
      roles: [
        'Remote and Accepted Domains',
        'Transport Rules',
        'Federated Sharing',
        'Transport Hygiene',
        'Mail Recipient Creation',
        'Mail Recipients',
        'Distribution Groups',
        'Security Group Creation and Membership',
      ],
    },
  },
} as const satisfies Readonly<Record<string, PermissionSet>>
export type PermissionSetName = keyof typeof PERMISSION_SETS
