// Groups of every kind in Contoso, nested and in circles, and its contacts. Members are named by handle (assemble.ts).
import type { ContactRecipe, GroupRecipe } from './group.ts'

export const CONTOSO_GROUPS: readonly GroupRecipe[] = [
  {
    kind: 'microsoft-365',
    name: 'Project Atlas',
    local: 'atlas',
    visibility: 'Private',
    owners: ['alice'],
    members: ['alice', 'bob', 'carol', 'dana-guest'],
  },
  {
    kind: 'microsoft-365',
    name: 'Marketing',
    local: 'marketing',
    owners: ['adele'],
    members: ['adele', 'maria.rossi', 'omar.haddad'],
  },
  { kind: 'microsoft-365', name: 'Nobody owns this', local: 'ownerless', members: ['trent'], isHidden: true },
  {
    kind: 'microsoft-365',
    name: 'Sales team',
    local: 'sales-team',
    members: ['maria.rossi', 'priya.nair'],
    owners: ['adele'],
    rule: '(user.department -eq "Sales") -and (user.accountEnabled -eq true)',
  },
  { kind: 'security', name: 'VPN users', local: 'vpn-users', members: ['alice', 'bob', 'ivan', 'heidi'] },
  // Names of security groups need not differ.
  { kind: 'security', name: 'VPN users', local: 'vpn-users-2', members: ['laura'] },
  { kind: 'security', name: 'Empty', local: 'empty', members: [] },
  { kind: 'security', name: 'Nested', local: 'nested', members: ['#vpn-users', '#vpn-users-2', 'ken'] },
  { kind: 'security', name: 'Circle A', local: 'circle-a', members: ['#circle-b', 'alice'] },
  { kind: 'security', name: 'Circle B', local: 'circle-b', members: ['#circle-c'] },
  { kind: 'security', name: 'Circle C', local: 'circle-c', members: ['#circle-a', '#circle-c', 'bob'] },
  {
    kind: 'security',
    name: 'Members in Germany',
    local: 'germany',
    members: ['erika', 'heidi'],
    rule: 'user.usageLocation -eq "DE" -and user.companyName -eq "Contoso"',
  },
  {
    kind: 'security',
    name: 'On-premises admins',
    local: 'onprem-admins',
    members: ['ivan', 'rupert'],
    group: {
      onPremisesSyncEnabled: true,
      onPremisesSamAccountName: 'onprem-admins',
      onPremisesLastSyncDateTime: '2026-11-01T06:00:00Z',
    },
  },
  {
    kind: 'security',
    name: 'Helpdesk roles',
    local: 'helpdesk-roles',
    members: ['adele'],
    group: { isAssignableToRole: true },
  },
  {
    kind: 'mail-enabled-security',
    name: 'Finance',
    local: 'finance',
    owners: ['adele'],
    members: ['carol', 'lucas.silva', '#nested'],
  },
  { kind: 'distribution-list', name: 'All of Contoso', local: 'all', owners: ['adele'], members: ['*', '@supplier'] },
  {
    kind: 'distribution-list',
    name: 'Announcements',
    local: 'announcements',
    aliases: ['news@contoso.com'],
    owners: ['adele'],
    members: ['#all', '@dana', '@petra', '#announcements-eu'],
    exchange: { RequireSenderAuthenticationEnabled: false, ModerationEnabled: true },
  },
  {
    kind: 'distribution-list',
    name: 'Announcements EU',
    local: 'announcements-eu',
    members: ['#announcements', 'sybil'],
    visibility: 'HiddenMembership',
  },
  {
    kind: 'distribution-list',
    name: 'Synced list',
    local: 'synced-list',
    domain: 'corp.contoso.com',
    members: ['rupert'],
    group: { onPremisesSyncEnabled: true, onPremisesLastSyncDateTime: '2026-11-01T06:00:00Z' },
  },
  // In Fabrikam this address is a person's.
  {
    kind: 'distribution-list',
    name: 'Support',
    local: 'support',
    members: ['carol', 'ken'],
    otherAddresses: ['X500:/o=OldCorp/cn=Recipients/cn=support'],
  },
  {
    kind: 'distribution-list',
    name: '<img src=x onerror=alert(1)>',
    local: 'hostile-list',
    members: ['mallory', 'eve', 'formula'],
  },
]

export const CONTOSO_CONTACTS: readonly ContactRecipe[] = [
  { name: 'Supplier', local: 'supplier', external: 'orders@supplier.example' },
  { name: 'Dana Outside (contact)', local: 'dana', external: 'dana.contact@example.net', isHidden: true },
  // Somebody of Fabrikam: an address in common.
  {
    name: 'Petra Lang',
    local: 'petra',
    external: 'vera.lang@fabrikam.com',
    contact: { companyName: 'Fabrikam', givenName: 'Petra', surname: 'Lang' },
  },
  {
    name: 'Synced contact',
    local: 'synced-contact',
    external: 'partner@example.org',
    contact: { onPremisesSyncEnabled: true },
  },
]
