// Kinds of findings about two accounts, and about groups. Data only. (migration-semantics.md §3, §4)
import type { FindingKind } from './finding-kind.ts'

export const COLLISION_FINDINGS = {
  'address-in-two-tenants': {
    severity: 'warning',
    about: 'pair',
    title: 'The same address in two tenants',
    explanation:
      'An account of another tenant has one of its addresses, and the two are not paired. An address can stand in one mapping entry only.',
    remedy: 'If they are one person, match them. If not, take the address from one of them.',
  },
  'contact-of-other-tenant': {
    severity: 'notice',
    about: 'pair',
    title: 'Contact or mail user that stands for an account of another tenant',
    explanation:
      'One of the two is a contact or mail user with an address of the other. After the migration there would be two entries of one person in the address list.',
    remedy: 'Pair the account with the contact or mail user if it is to become the person, or delete it at cutover.',
  },
  'guest-of-other-tenant': {
    severity: 'notice',
    about: 'pair',
    title: 'Guest who is an account of another tenant of the project',
    explanation:
      'One of the two is a guest with an address of the other. The person is in both tenants already, with access of a guest.',
    remedy: 'Allow guests in matching, or convert the guest when the person is created.',
  },
  'address-claimed-twice': {
    severity: 'warning',
    about: 'pair',
    title: 'The same address twice in one tenant',
    explanation:
      'Two objects of one tenant have an address in common, such as a user and a contact. Which of them gets the mail is not certain, and only one can be mapped with it.',
    remedy: 'Take the address from one of them.',
  },
  'upn-is-address-of-another': {
    severity: 'warning',
    about: 'pair',
    title: "User principal name that is another's address",
    explanation:
      'Mail to the name by which the one signs in reaches the other. Rules that match by user principal name and by address disagree.',
    remedy: 'Change the user principal name, or give its owner the address.',
  },
  'upn-taken-in-target': {
    severity: 'warning',
    about: 'pair',
    title: 'User principal name that is taken in the target',
    explanation:
      'The account has no pair, and its name with the default domain of the target belongs to somebody there. It can not be created, and after a domain move it can not have its name.',
    remedy: 'If they are one person, match them. If not, rename one of them, or choose a pattern for new names.',
  },
  'nickname-taken-in-target': {
    severity: 'warning',
    about: 'pair',
    title: 'Mail nickname that is taken in the target',
    explanation:
      'The account has no pair, and its mail nickname belongs to another recipient of the target, where it must be unique.',
    remedy: 'If they are one person, match them. If not, choose a pattern for new names.',
  },
  'display-name-double': {
    severity: 'notice',
    about: 'pair',
    title: 'The same display name more than once in a tenant',
    explanation:
      'People choose by name, and take the wrong one. Matching by display name can suggest nothing for them.',
    remedy: 'Tell them apart by department or place in the display name.',
  },
  'x500-in-two-accounts': {
    severity: 'warning',
    about: 'pair',
    title: 'The same X.500 name on two accounts',
    explanation:
      'Two accounts that are not paired have an X.500 name in common: a trace of an earlier migration. It can stand in one mapping entry only.',
    remedy: 'Remove the X500 address from the account that replies should not reach.',
  },
  'receive-size-lower-in-target': {
    severity: 'warning',
    about: 'pair',
    title: 'The target takes smaller messages',
    explanation:
      'The paired mailbox in the target takes smaller messages than the one in the source: larger ones can not be copied.',
    remedy: 'Raise MaxReceiveSize of the target mailbox to 150 MB before mail is copied.',
  },
} as const satisfies Readonly<Record<string, FindingKind>>

export const GROUP_FINDINGS = {
  'dynamic-group': {
    severity: 'notice',
    about: 'group',
    title: 'Group with a membership rule',
    explanation:
      'Entra ID computes its members by a rule. The rule is copied as text only where its values mean the same in the target; else its present members are.',
    remedy: 'Read the rule, and decide which it shall be.',
  },
  'dynamic-rule-names-source-domain': {
    severity: 'warning',
    about: 'group',
    title: 'Membership rule that names a domain of a source',
    explanation:
      'The rule compares with a domain of a source. In the target it would take in nobody, or the wrong people.',
    remedy: 'Rewrite the rule for the target, or copy the present members.',
  },
  'dynamic-distribution-group': {
    severity: 'warning',
    about: 'group',
    title: 'Dynamic distribution group',
    explanation:
      'Exchange computes its members anew with each message, from a filter over attributes of this tenant. It is not migrated.',
    remedy: 'Make it anew in the target with a filter that fits there.',
  },
  'group-nested': {
    severity: 'notice',
    about: 'group',
    title: 'Group with groups in it',
    explanation:
      'Groups are among its members. They have to be created before it, and rules of Exchange look into them with a delay.',
    remedy: 'Nothing, if all of them are migrated.',
  },
  'group-cycle': {
    severity: 'warning',
    about: 'group',
    title: 'Groups that contain each other',
    explanation:
      'Following members from group to group leads back to where it began. Programs that expand such groups may never end.',
    remedy: 'Take one of the memberships away. They are copied as they are, in a second pass.',
  },
  'group-over-5000': {
    severity: 'notice',
    about: 'group',
    title: 'Group of more than 5,000 members',
    explanation:
      'Mail to a distribution group of more than 5,000 members is limited to 25 MB, and its members take long to copy.',
    remedy: 'Nothing; allow time.',
  },
  'group-over-10000': {
    severity: 'warning',
    about: 'group',
    title: 'Group of more than 10,000 members',
    explanation:
      'It is too large for some uses: free/busy can not be limited to it, and Exchange may not expand it in a rule.',
    remedy: 'Split it, or use another one for coexistence.',
  },
  'group-empty': {
    severity: 'notice',
    about: 'group',
    title: 'Group without members',
    explanation: 'Nobody is in it.',
    remedy: 'Leave it out, or find out what it was for.',
  },
  'group-without-owner': {
    severity: 'notice',
    about: 'group',
    title: 'Group without owner',
    explanation: 'Nobody answers for it, and nobody can say whether it is still needed.',
    remedy: 'Name an owner in the source, or leave it out.',
  },
  'group-needs-exchange': {
    severity: 'notice',
    about: 'group',
    title: 'Group that Microsoft Graph can not write',
    explanation: 'Distribution lists and mail-enabled security groups are created and filled through Exchange only.',
    remedy: 'Give the application its Exchange roles in the target.',
  },
  'synced-group': {
    severity: 'notice',
    about: 'group',
    title: 'Group that is synchronised from an on-premises directory',
    explanation: 'The on-premises directory writes it and its members.',
    remedy: 'In a source: nothing. In the target: change it on premises.',
  },
} as const satisfies Readonly<Record<string, FindingKind>>
