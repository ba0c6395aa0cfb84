// Kinds of findings about the coexistence switch: what a dry run of it looks at beside what is known of the tenants already. Data only.
// (coexistence.md §1.6–§1.8, §2.1 row 0, §3)
import type { FindingKind } from './finding-kind.ts'

export const COEXISTENCE_FINDINGS = {
  // ── Who is in scope ──────────────────────────────────────────────────────────────────────────────────────────────
  'nobody-in-scope': {
    severity: 'blocker',
    about: 'project',
    title: 'Nobody is in scope of coexistence',
    explanation:
      'No entry of the mapping table presents somebody whose mailbox is in one tenant with an address of the other that has an object there. Nothing would be routed.',
    remedy: 'Confirm pairs or write mapping entries, and let the tenants be discovered.',
  },
  'people-without-presented-object': {
    severity: 'warning',
    about: 'tenant',
    title: 'Presented addresses without an object',
    explanation:
      'Nobody in the tenant that owns the domain has these presented addresses: it would refuse mail to them before any rule. The people stay out of scope, under their old identity.',
    remedy: 'Create mail users with these addresses in the tenant (account migration does), and discover again.',
  },

  'people-without-mailbox': {
    severity: 'warning',
    about: 'tenant',
    title: 'Entries whose mailbox nobody has seen',
    explanation:
      'The mapping table names mailboxes that no account of the tenant had at its last discovery. They stay out of scope.',
    remedy: 'Discover the tenant again, or correct the entries.',
  },

  // ── How much may be sent ─────────────────────────────────────────────────────────────────────────────────────────
  'external-recipients-forecast': {
    severity: 'notice',
    about: 'tenant',
    title: 'External recipients a day with coexistence',
    explanation:
      'Exchange Online lets a tenant write to 500 × licences^0.7 + 9,500 external recipients in 24 hours. What is expected by the chosen route stays below four fifths of it. `atMost` has besides what a rule brings to a relay for recipients in the tenant’s own domains: whether that counts is not published.',
    remedy: 'Compare `own` with the Exchange admin center (Tenant Outbound External Recipients); name the real figure.',
  },
  'external-recipients-near-limit': {
    severity: 'warning',
    about: 'tenant',
    title: 'External recipients a day come near the limit',
    explanation:
      'What is expected by the chosen route is more than four fifths of what the tenant may send in 24 hours. A busy day would have mail refused with 550 5.7.233.',
    remedy: 'Put fewer people in scope at once, deliver through the other tenant, or buy licences.',
  },
  'external-recipients-over-limit': {
    severity: 'blocker',
    about: 'tenant',
    title: 'More external recipients a day than the tenant may write to',
    explanation:
      'What is expected by the chosen route is over the limit of the tenant (500 × licences^0.7 + 9,500 in 24 hours). Mail beyond it is refused with 550 5.7.233, that of people who are not in scope too.',
    remedy: 'Choose the other route, put fewer people in scope, or buy licences.',
  },
  'external-recipients-limit-unknown': {
    severity: 'warning',
    about: 'tenant',
    title: 'How many external recipients the tenant may write to is unknown',
    explanation:
      'No licence with Exchange Online was seen in the tenant, and the limit goes by their number: whether `expected` stays below it could not be judged.',
    remedy:
      'Discover the tenant (subscriptions are read with its users), and compare with the limit that the Exchange admin center shows (Tenant Outbound External Recipients).',
  },
  'presented-onmicrosoft': {
    severity: 'warning',
    about: 'domain',
    title: 'People presented in an onmicrosoft.com domain',
    explanation:
      'All senders of a tenant in its onmicrosoft.com domain together may write to 100 external recipients a day; what is beyond is refused with 550 5.7.236.',
    remedy: 'Present these people in a domain of your own.',
  },

  // ── What rules that go by members of a group do not see ──────────────────────────────────────────────────────────
  'alias-senders-unseen': {
    severity: 'warning',
    about: 'tenant',
    title: 'Mail from aliases may miss the relay',
    explanation:
      'The tenant lets people send from their aliases, and people in scope have some. Rules that go by members of a group know primary addresses only: such mail leaves with the old identity.',
    remedy: 'Choose mode all-outbound, or switch SendFromAliasEnabled off while coexistence is on.',
  },
  'alias-recipients-unseen': {
    severity: 'notice',
    about: 'tenant',
    title: 'Aliases in To and Cc are not seen',
    explanation:
      'Somebody out of scope who writes to outsiders and names a person in scope by an alias shows that alias to them: the rule for people who are mentioned knows primary addresses only.',
    remedy: 'Choose mode all-outbound if none may be shown.',
  },
  'bcc-unseen': {
    severity: 'notice',
    about: 'tenant',
    title: 'People in Bcc are not seen by the rules',
    explanation:
      'The rule for people who are mentioned looks at To and Cc. A Bcc shows the address to nobody, but answers to all of such mail may name it later.',
    remedy: 'Choose mode all-outbound if that matters.',
  },
  'membership-lags': {
    severity: 'notice',
    about: 'tenant',
    title: 'Membership of groups takes effect late',
    explanation:
      'Exchange keeps members of groups for a while: mail of somebody who was added or removed follows the old state for minutes, sometimes for hours.',
    remedy: 'Add people some hours before they are told, or choose mode all-outbound.',
  },

  // ── What the route brings with it ────────────────────────────────────────────────────────────────────────────────
  'direct-send-refused-on-return': {
    severity: 'warning',
    about: 'tenant',
    title: 'Mail that returns to its tenant is refused here',
    explanation:
      'With route return the tenant of the mailboxes delivers mail under addresses of this one, to its people as well. This tenant refuses mail from its own domains that comes without a connector (RejectDirectSend): with 550 5.7.68.',
    remedy: 'Choose route owner-tenant, or Set-OrganizationConfig -RejectDirectSend $false while coexistence is on.',
  },

  // ── Presented domains in DNS ─────────────────────────────────────────────────────────────────────────────────────
  'presented-domain-unsigned': {
    severity: 'warning',
    about: 'domain',
    title: 'No DKIM key for a presented domain',
    explanation:
      'The relays have no active key for the domain: mail comes back to Exchange unsigned. With route return nobody can sign it afterwards; Exchange may send it by its pool for mail of low standing.',
    remedy: 'Make a DKIM key for the domain, publish its record, and activate it.',
  },
  'dkim-record-wrong': {
    severity: 'blocker',
    about: 'domain',
    title: 'DNS does not have the DKIM key that relays sign with',
    explanation: 'Whoever receives mail of the domain would find a signature that does not verify.',
    remedy: 'Publish the record as `…/dkim-keys` shows it, and look again.',
  },
  'spf-missing': {
    severity: 'warning',
    about: 'domain',
    title: 'Presented domain without SPF',
    explanation: 'DNS has no `v=spf1` record of the domain: many receivers take its mail for suspicious.',
    remedy: 'Publish `v=spf1 include:spf.protection.outlook.com -all`, with what else sends for the domain.',
  },
  'spf-several': {
    severity: 'warning',
    about: 'domain',
    title: 'Presented domain with more than one SPF record',
    explanation: 'Receivers answer several `v=spf1` records with a permanent error, which counts as a failure.',
    remedy: 'Merge them into one.',
  },
  'spf-without-exchange': {
    severity: 'warning',
    about: 'domain',
    title: 'SPF of a presented domain leaves Exchange Online out',
    explanation:
      'Neither the record nor what it includes names `spf.protection.outlook.com`. Both tenants send by these servers, by either route.',
    remedy: 'Add `include:spf.protection.outlook.com` (of a national cloud its own name).',
  },
  'dmarc-missing': {
    severity: 'notice',
    about: 'domain',
    title: 'Presented domain without DMARC',
    explanation:
      'Neither the domain nor one above it says what becomes of mail that fails. Large receivers ask senders of much mail for a record.',
    remedy: 'Publish `v=DMARC1; p=none` with an address for reports, and look at them while people move.',
  },
  'dmarc-strict-unsigned': {
    severity: 'warning',
    about: 'domain',
    title: 'DMARC asks receivers to refuse, and DKIM is not in order',
    explanation:
      'The policy is quarantine or reject, and DNS has no key by which the relays, or the tenant that delivers, could sign. Mail passes by SPF alone: what is forwarded on its way is refused.',
    remedy: 'Bring DKIM in order first, or weaken the policy until then.',
  },
  'mx-missing': {
    severity: 'warning',
    about: 'domain',
    title: 'Presented domain without MX',
    explanation:
      'Answers of outsiders can not be delivered, and Exchange sends mail of domains that have neither MX nor A by its pool for high risk.',
    remedy: 'Publish the MX record that the tenant shows for the domain.',
  },
  'mx-elsewhere': {
    severity: 'notice',
    about: 'domain',
    title: 'Mail of a presented domain comes in by other servers',
    explanation:
      'The MX records name servers that are not Exchange Online’s. Answers reach the rules only if these hand them to the tenant; what they rewrite or quarantine is rewritten before us.',
    remedy: 'Make sure that they deliver to the tenant, and that its inbound connector for them is limited to them.',
  },
  'dns-unreachable': {
    severity: 'warning',
    about: 'domain',
    title: 'DNS could not be asked',
    explanation: 'The resolver gave no answer: nothing is said of `records` of the domain.',
    remedy: 'See DNS_SERVERS of the control plane, and look again.',
  },

  // ── What is in the tenant already ────────────────────────────────────────────────────────────────────────────────
  'rules-take-mail': {
    severity: 'warning',
    about: 'tenant',
    title: 'Rules that redirect, hold or refuse mail',
    explanation:
      'Enabled mail flow rules redirect, delete, reject, quarantine or moderate mail. Mail that such a rule takes does not reach the relay, or reaches it for other recipients.',
    remedy: 'Look at which mail they take, and whether it is that of people in scope.',
  },
  'rules-touch-our-fields': {
    severity: 'blocker',
    about: 'tenant',
    title: 'Rules that set or remove fields of ours',
    explanation:
      'Enabled mail flow rules that are not ours set or remove header fields that begin with X-Causeway-: mail would circle, or be refused by the relay.',
    remedy: 'Remove these rules, or name other fields in them.',
  },
  'relay-certificate-claimed': {
    severity: 'blocker',
    about: 'tenant',
    title: 'Another inbound connector for the relay’s certificate',
    explanation:
      'An enabled inbound connector that is not ours names the certificate that relays show the tenant, or covers it. Which connector Exchange takes mail of the relay for is open.',
    remedy: 'Remove the connector, or use a certificate with a name of its own.',
  },

  // ── The relays and their certificates ────────────────────────────────────────────────────────────────────────────
  'relay-certificate-missing': {
    severity: 'blocker',
    about: 'tenant',
    title: 'No certificate for the relays towards the tenant',
    explanation: 'Exchange knows the relays by their certificate alone. Without one they can hand the tenant nothing.',
    remedy: 'Make a signing request under `…/certificates` with purpose tenant, have it signed, and activate it.',
  },
  'relay-certificate-ended': {
    severity: 'blocker',
    about: 'tenant',
    title: 'The relays’ certificate towards the tenant has ended',
    explanation: 'Exchange refuses it, and mail waits in the relays.',
    remedy: 'Rotate the certificate.',
  },
  'relay-certificate-ends-soon': {
    severity: 'warning',
    about: 'tenant',
    title: 'The relays’ certificate towards the tenant ends soon',
    explanation: 'It ends in less than 30 days. Then mail would wait in the relays.',
    remedy: 'Rotate the certificate; its name stays, so that nothing changes in the tenant.',
  },
  'relay-certificate-not-accepted': {
    severity: 'blocker',
    about: 'tenant',
    title: 'The certificate’s name is no accepted domain of the tenant alone',
    explanation:
      'Exchange gives mail from a connector to the tenant that has the domain of the certificate as an accepted domain. No other tenant of the project may have it.',
    remedy:
      'Add the name to the tenant as a domain and verify it, or make a certificate whose name is an accepted domain of this tenant only.',
  },
  'relay-host-uncertified': {
    severity: 'warning',
    about: 'tenant',
    title: 'No listener certificate for a name of the relay',
    explanation:
      'The outbound connector of the tenant checks the name of the relay’s certificate. None that was given to the relays has it: unless their own configuration holds one, mail waits in Exchange.',
    remedy: 'Activate a certificate with purpose listener and this name under `…/certificates`.',
  },
  'relay-host-unresolved': {
    severity: 'warning',
    about: 'tenant',
    title: 'A name of the relay has no address',
    explanation: 'DNS knows no A or AAAA record of the name that the outbound connector of the tenant sends to.',
    remedy: 'Publish the address of the relays, and wait for DNS.',
  },
  'relays-none': {
    severity: 'blocker',
    about: 'project',
    title: 'No relay is at work',
    explanation: 'No relay of the project was heard from in the last five minutes.',
    remedy: 'Enrol a relay, or start those there are.',
  },
  'relays-silent': {
    severity: 'warning',
    about: 'project',
    title: 'Relays that are not heard from',
    explanation:
      'They are enrolled and were silent for more than five minutes. If they still run, they keep an old table and old settings, and nobody waits for them.',
    remedy: 'Start or mend them; revoke those that will not come back.',
  },
  'relays-behind': {
    severity: 'warning',
    about: 'project',
    title: 'Relays on an old revision',
    explanation: 'They do not have the newest mapping table or settings, or refused them. The switch waits for them.',
    remedy: 'See `…/relays` for the reason.',
  },
  'relays-not-ready': {
    severity: 'warning',
    about: 'project',
    title: 'Relays that are not ready for mail',
    explanation: 'They are heard from, and say themselves that they take no mail now, or are being drained.',
    remedy: 'See `…/relays` for the reasons that they give.',
  },
  'smart-host-missing': {
    severity: 'warning',
    about: 'tenant',
    title: 'Relays do not know where the tenant takes mail',
    explanation: 'The relay settings name no smart host of the tenant. What relays have for it would wait.',
    remedy: 'Add `smartHosts` for the tenant to `…/relay-settings`: the name that its MX record shows.',
  },

  'relay-host-unnamed': {
    severity: 'blocker',
    about: 'project',
    title: 'The relay has no names yet',
    explanation: 'Outbound connectors send to `relayHosts` of the setting, which is not set.',
    remedy: 'Set `relayHosts`: the names by which Exchange reaches the relays, one for each direction or one for both.',
  },

  // ── The setting itself ───────────────────────────────────────────────────────────────────────────────────────────
  'arc-seal-missing': {
    severity: 'warning',
    about: 'project',
    title: 'Tenants would trust seals that nobody makes',
    explanation:
      'The setting names a domain whose ARC seals the tenants shall trust, and the relays do not seal with it: their settings name another domain or none, or there is no active RSA key of it.',
    remedy: 'Set `seal` of the relay settings to the domain and activate an RSA key of it, or leave the domain out.',
  },
  'connector-hold-short': {
    severity: 'notice',
    about: 'project',
    title: 'Connectors are kept for less than a day when it is switched off',
    explanation:
      'Mail that Exchange has routed to a connector and could not deliver is tried again for up to 24 hours. Without the connector it bounces.',
    remedy: 'Leave the hold at 48 hours, unless nothing is at stake.',
  },
} as const satisfies Readonly<Record<string, FindingKind>>
