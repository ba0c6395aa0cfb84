// Kinds of findings about a tenant as a whole, and about its domains. Data only. (microsoft-365.md §1–§4, coexistence.md §1.6, §2.1, §3)
import type { FindingKind } from './finding-kind.ts'

export const TENANT_FINDINGS = {
  // ── Connection and what can be seen ──────────────────────────────────────────────────────────────────────────────
  'tenant-not-connected': {
    severity: 'blocker',
    about: 'tenant',
    title: 'The tenant is not connected',
    explanation:
      'No administrator of the tenant has consented, or the consent was refused or has not spread. Nothing can be read or done in it.',
    remedy: 'Ask for consent, and send the link to an administrator of the tenant.',
  },
  'tenant-paused': {
    severity: 'blocker',
    about: 'tenant',
    title: 'Work in the tenant is paused',
    explanation:
      'Microsoft does not let us in any more, for the reason that stands in `problem`. Work goes on by itself once it does.',
    remedy: 'See `…/health` of the tenant: it says what to do.',
  },
  'permission-missing': {
    severity: 'blocker',
    about: 'tenant',
    title: 'Permissions are missing',
    explanation: 'The tenant has not granted every permission that the chosen capabilities need.',
    remedy: 'Grant what `missing` names, or ask for consent again.',
  },
  'tenant-not-discovered': {
    severity: 'warning',
    about: 'tenant',
    title: 'The tenant has not been discovered',
    explanation: 'Nothing is known of its accounts: this assessment says nothing of them, and they can not be matched.',
    remedy: 'Start a discovery.',
  },
  'discovery-failed': {
    severity: 'warning',
    about: 'tenant',
    title: 'The last discovery did not go to its end',
    explanation: 'What is known of the tenant is what the one before has left.',
    remedy: 'See its operation for the reason, and start another.',
  },
  'discovery-old': {
    severity: 'notice',
    about: 'tenant',
    title: 'The last discovery is more than two weeks old',
    explanation: 'People have come and gone since.',
    remedy: 'Discover again: it reads only what has changed.',
  },
  'exchange-not-asked': {
    severity: 'warning',
    about: 'tenant',
    title: 'Exchange was not looked at',
    explanation:
      'Mailbox types, archives, holds, forwarding, X.500 names, connectors and rules are unknown: no finding about them does not mean that there is none.',
    remedy:
      'Ask for consent again with the optional permission Exchange.ManageAsApp, and run the commands that the consent shows.',
  },
  'exchange-role-missing': {
    severity: 'warning',
    about: 'tenant',
    title: 'The application lacks its roles in Exchange',
    explanation:
      'Mailbox types, archives, holds, forwarding, X.500 names, connectors and rules are unknown: no finding about them does not mean that there is none.',
    remedy: 'Run the commands that the consent shows, as an administrator of the tenant, and discover again.',
  },
  'report-names-concealed': {
    severity: 'warning',
    about: 'tenant',
    title: 'Usage reports hide names',
    explanation: 'Sizes of mailboxes and drives are unknown: no finding about them does not mean that there is none.',
    remedy:
      'In the Microsoft 365 admin center, Settings, Org settings, Reports: switch "Display concealed user, group, and site names" off, and discover again.',
  },
  'report-unavailable': {
    severity: 'notice',
    about: 'tenant',
    title: 'There was no usage report',
    explanation: 'Sizes of mailboxes and drives are unknown. New tenants have no report for some days.',
    remedy: 'Discover again later.',
  },
  'certificate-expires-soon': {
    severity: 'warning',
    about: 'tenant',
    title: 'The certificate of the connection ends soon',
    explanation: 'In less than 30 days Entra ID will not know us any more, and all work in the tenant will pause.',
    remedy: 'Make a new certificate, upload it to the app registration, activate it, and retire the old one.',
  },
  'certificate-expired': {
    severity: 'blocker',
    about: 'tenant',
    title: 'The certificate of the connection has ended',
    explanation: 'Entra ID does not know us any more.',
    remedy: 'Make a new certificate, upload it to the app registration, and activate it.',
  },
  'nesting-unjudged': {
    severity: 'notice',
    about: 'tenant',
    title: 'Too many groups in groups to be judged',
    explanation:
      'There are more memberships of groups in groups than are looked through. Nothing is said of nested groups and cycles.',
    remedy: 'Look at the groups of the tenant; so many hint at a program that makes them.',
  },

  // ── The tenant ───────────────────────────────────────────────────────────────────────────────────────────────────
  'national-cloud': {
    severity: 'warning',
    about: 'tenant',
    title: 'Tenant of a national cloud',
    explanation:
      'Microsoft offers no export and import of mailbox items there: mail is copied as MIME, which loses S/MIME bytes and some of the order of fields.',
    remedy: 'Try it with a few mailboxes, and agree on what is lost.',
  },
  'different-clouds': {
    severity: 'warning',
    about: 'tenant',
    title: 'Source and target are in different clouds',
    explanation: 'Free/busy, guests and rules between clouds of Microsoft 365 work in part only.',
    remedy: 'Check with Microsoft which of them the two clouds allow.',
  },
  'tenant-dehydrated': {
    severity: 'warning',
    about: 'tenant',
    title: 'The configuration of Exchange is not the tenant’s own yet',
    explanation:
      'The organization is dehydrated: roles, policies and some settings can not be changed until it has a configuration of its own.',
    remedy: 'An administrator runs Enable-OrganizationCustomization once; it can take a day.',
  },
  'tenant-synced': {
    severity: 'notice',
    about: 'tenant',
    title: 'The tenant is synchronised with an on-premises directory',
    explanation: 'Attributes of synchronised accounts and groups are written on premises.',
    remedy: 'Agree with whoever runs the on-premises directory on addresses and names in the target.',
  },
  'reject-direct-send': {
    severity: 'notice',
    about: 'tenant',
    title: 'Direct Send is refused',
    explanation:
      'The tenant refuses mail from its own domains that comes without a connector. The relay has one; devices and programs that the merger moves may not.',
    remedy: 'List devices that send directly, and give them a connector.',
  },
  'plus-addressing-off': {
    severity: 'notice',
    about: 'tenant',
    title: 'Plus addressing is off',
    explanation:
      'Mail to name+tag@domain is refused here. People who come from a tenant where it works lose their tags.',
    remedy: 'Switch it on (Set-OrganizationConfig -DisablePlusAddressInRecipients $false), or tell people.',
  },
  'send-from-alias': {
    severity: 'notice',
    about: 'tenant',
    title: 'People may send from their aliases',
    explanation:
      'Mail can leave with any address of a mailbox. Rules that go by members of a group see the primary address only, so that such mail may miss the relay.',
    remedy: 'Keep all aliases in the mapping; route all outbound mail if none may miss the relay.',
  },

  // ── Mail flow ────────────────────────────────────────────────────────────────────────────────────────────────────
  'inbound-connector-in-the-way': {
    severity: 'warning',
    about: 'tenant',
    title: 'Inbound connector that may take mail of the relay',
    explanation:
      'An enabled inbound connector is for all sender domains, or for a domain of another tenant of the project. Exchange may take mail from the relay for mail of that connector.',
    remedy: 'Limit the connector to the certificates or domains that it is for.',
  },
  'outbound-connector-in-the-way': {
    severity: 'warning',
    about: 'tenant',
    title: 'Outbound connector for mail that the relay should get',
    explanation:
      'An enabled outbound connector is for all recipient domains, or for a domain of another tenant of the project.',
    remedy: 'Limit it to the domains that it is for, or let rules use it.',
  },
  'connectors-many': {
    severity: 'notice',
    about: 'tenant',
    title: 'Ten connectors or more in one direction',
    explanation: 'Each is one more that Exchange may attribute mail to.',
    remedy: 'Remove what is not used any more.',
  },
  'rules-stop-processing': {
    severity: 'warning',
    about: 'tenant',
    title: 'Rules that stop the processing of others',
    explanation:
      'Enabled mail flow rules stop the processing of those that follow. Ours come last: mail that such a rule takes does not reach the relay.',
    remedy: 'Look at which mail they take, and let them go on.',
  },
  'rules-route-to-connector': {
    severity: 'warning',
    about: 'tenant',
    title: 'Rules that route to a connector',
    explanation:
      'Enabled mail flow rules route mail to a connector. Two rules that route one message are in each other’s way.',
    remedy: 'Decide which way such mail goes, and make an exception in one of them.',
  },
  'rules-near-limit': {
    severity: 'warning',
    about: 'tenant',
    title: 'Nearly as many rules as are allowed',
    explanation: 'Exchange Online allows 300 mail flow rules; more than 250 are there.',
    remedy: 'Merge or remove rules.',
  },
  'rules-no-room': {
    severity: 'blocker',
    about: 'tenant',
    title: 'No room for the rules of coexistence',
    explanation: 'Exchange Online allows 300 mail flow rules, and coexistence needs up to six.',
    remedy: 'Remove rules until there is room.',
  },
  'remote-domain-tnef': {
    severity: 'warning',
    about: 'tenant',
    title: 'Outsiders may get TNEF',
    explanation:
      'The remote domain for everybody else does not switch rich text off: mail may leave as winmail.dat, in which the relay can not rewrite everything.',
    remedy: 'Set-RemoteDomain Default -TNEFEnabled $false, once those who send rich text agree.',
  },
  'remote-domain-blocks-forwarding': {
    severity: 'warning',
    about: 'tenant',
    title: 'Automatic forwarding to another tenant of the project is off',
    explanation:
      'A remote domain that covers a domain of another tenant of the project has automatic forwarding switched off. Forwarding at cutover would not work.',
    remedy: 'Make a remote domain for the other organization’s domains with automatic forwarding allowed.',
  },
  'organization-relationship-exists': {
    severity: 'notice',
    about: 'tenant',
    title: 'Organization relationship with another tenant of the project',
    explanation:
      'Somebody has set up sharing with it already. Free/busy adds to it, and puts it back when it is switched off.',
    remedy: 'Nothing, if its access level is what you want.',
  },
  'terrl-forecast': {
    severity: 'notice',
    about: 'tenant',
    title: 'External recipients a day',
    explanation:
      'Exchange Online lets a tenant write to 500 × licences^0.7 + 9,500 external recipients in 24 hours. Mail that a rule routes out and that comes back is counted twice.',
    remedy: 'Compare with what is sent in a day (Exchange admin center, Tenant Outbound External Recipients).',
  },
  'terrl-tight': {
    severity: 'warning',
    about: 'tenant',
    title: 'External recipients a day may not suffice',
    explanation:
      'Counted twice, as routed mail is, the limit of the tenant (500 × licences^0.7 + 9,500 in 24 hours) leaves fewer than 20 external recipients to a person. What is beyond is refused with 550 5.7.233.',
    remedy:
      'Compare with what is sent in a day; deliver through the other tenant, or put fewer people in scope at once.',
  },

  // ── Licences ─────────────────────────────────────────────────────────────────────────────────────────────────────
  'licence-suspended': {
    severity: 'warning',
    about: 'tenant',
    title: 'Subscription that is suspended or about to be',
    explanation: 'Mailboxes and drives under it become read-only, then go.',
    remedy: 'Renew it before anything is migrated from it or to it.',
  },
  'licence-overused': {
    severity: 'warning',
    about: 'tenant',
    title: 'More licences assigned than bought',
    explanation: 'No more can be assigned, and Microsoft may take some back.',
    remedy: 'Buy more, or take them from accounts that need none.',
  },
  'licences-short-in-target': {
    severity: 'warning',
    about: 'tenant',
    title: 'Fewer free licences than people to come',
    explanation:
      'More people of the sources have a licence with Exchange Online, and no pair, than licences with it are free in the target.',
    remedy: 'Buy licences for the target before accounts are created.',
  },
  'licence-kind-missing-in-target': {
    severity: 'notice',
    about: 'tenant',
    title: 'Products that the target does not have',
    explanation: 'Accounts of this tenant have licences of products that the target has not subscribed to.',
    remedy: 'Decide which product takes their place, for the licence table.',
  },
} as const satisfies Readonly<Record<string, FindingKind>>

export const DOMAIN_FINDINGS = {
  'domain-unverified': {
    severity: 'warning',
    about: 'domain',
    title: 'Domain that is not verified',
    explanation: 'Nobody has proved that the domain is the tenant’s. No address in it works.',
    remedy: 'Verify it, or remove it.',
  },
  'domain-federated': {
    severity: 'warning',
    about: 'domain',
    title: 'Federated domain',
    explanation:
      'People of the domain sign in at another identity provider. It can not be moved so, and accounts made in it get no password.',
    remedy: 'Convert it to managed before it is moved, or set up federation in the target first.',
  },
  'domain-in-two-tenants': {
    severity: 'warning',
    about: 'domain',
    title: 'Domain in two tenants',
    explanation:
      'Another tenant of the project lists the domain too. A domain can be verified in one only: the other has begun to claim it.',
    remedy: 'Remove it where it is not verified until it is moved.',
  },
  'domain-relayed': {
    severity: 'warning',
    about: 'domain',
    title: 'Accepted domain that is relayed',
    explanation:
      'Mail to recipients that Exchange does not know goes on to another system. A wrong address does not bounce there, and can loop between the two.',
    remedy: 'Make it authoritative, unless some of its mailboxes are elsewhere.',
  },
  'domain-without-mail': {
    severity: 'notice',
    about: 'domain',
    title: 'Verified domain without mail',
    explanation: 'The domain is verified, and not meant for mail.',
    remedy: 'Nothing, unless addresses in it are to be presented.',
  },
  'mapped-domain-outside': {
    severity: 'blocker',
    about: 'domain',
    title: 'Mapped domain that no tenant accepts',
    explanation:
      'Entries of the mapping table present or use addresses in a domain that no tenant of the project has verified. Relays refuse such a table.',
    remedy: 'Verify the domain in the tenant, or change the entries.',
  },
} as const satisfies Readonly<Record<string, FindingKind>>
