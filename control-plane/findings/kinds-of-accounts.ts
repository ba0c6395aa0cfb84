// Kinds of findings about one account, and what an administrator reads of each. Data only. (microsoft-365.md §4, migration-semantics.md §4–§6)
import type { FindingKind } from './finding-kind.ts'

export const ACCOUNT_FINDINGS = {
  // ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────────────
  'address-missing': {
    severity: 'warning',
    about: 'account',
    title: 'Mailbox without an SMTP address',
    explanation: 'It has a mailbox, and no SMTP address. Nothing can be mapped or delivered.',
    remedy: 'Give it a primary SMTP address, then discover again.',
  },
  'address-invalid': {
    severity: 'warning',
    about: 'account',
    title: 'Address with characters that are not allowed',
    explanation: 'One of its addresses is no address by RFC 5321. It is left out of mapping entries.',
    remedy: 'Remove or correct the address in the tenant that has it.',
  },
  'address-not-ascii': {
    severity: 'warning',
    about: 'account',
    title: 'Address outside ASCII',
    explanation:
      'One of its addresses has a local part that is not ASCII. Mail with it reaches only servers that offer SMTPUTF8; all others refuse it.',
    remedy: 'Give it a primary address in ASCII. The other can stay as an alias.',
  },
  'address-plus': {
    severity: 'notice',
    about: 'account',
    title: 'Address with a plus sign',
    explanation:
      'A `+` stands in one of its own addresses. Where plus addressing is on, what follows the `+` is a tag for the mailbox before it; matching compares addresses whole.',
    remedy: 'Make sure that the part before the `+` is nobody else, or rename the address.',
  },
  'address-outside-domains': {
    severity: 'warning',
    about: 'account',
    title: 'Address in a domain that its tenant has not verified',
    explanation:
      'A mailbox has an address in a domain that is not verified in its tenant. Exchange Online takes such addresses away when a licence is assigned.',
    remedy: 'Verify the domain in the tenant, or remove the address.',
  },
  'addresses-too-many': {
    severity: 'warning',
    about: 'account',
    title: 'More than 400 addresses',
    explanation: 'It has more addresses than the 400 that Exchange Online lets a mailbox have.',
    remedy: 'Remove addresses that nobody uses; otherwise some of them can not be added in the target.',
  },
  'onmicrosoft-sender': {
    severity: 'warning',
    about: 'account',
    title: 'Sends from an onmicrosoft.com address',
    explanation:
      'Its primary address is in the initial domain of the tenant. All such senders together may write to 100 external recipients a day; what is beyond is refused with 550 5.7.236.',
    remedy: 'Give it a primary address in a domain of your own before mail is routed or the domain is moved.',
  },
  'presented-without-object': {
    severity: 'warning',
    about: 'account',
    title: 'Presented address that nobody has',
    explanation:
      'The mapping table presents it with an address in a domain of another tenant, where no object has this address. That tenant would refuse mail to it: coexistence leaves this person out.',
    remedy:
      'Create a mail user with the address in the tenant that owns the domain (account migration does), and discover again.',
  },
  'x500-missing': {
    severity: 'warning',
    about: 'account',
    title: 'Mailbox without X.500 name',
    explanation:
      'Neither LegacyExchangeDN nor an X500 address is known of this mailbox. Replies to old mail, and entries of old address caches, will bounce after the move.',
    remedy:
      "Read LegacyExchangeDN with the Exchange role, and add it as an X500 address to the person's target account.",
  },

  // ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────
  'name-empty': {
    severity: 'notice',
    about: 'account',
    title: 'No display name',
    explanation: 'It has no display name: nobody finds it in the address list, and matching can suggest nothing.',
    remedy: 'Give it a display name.',
  },
  'name-too-long': {
    severity: 'notice',
    about: 'account',
    title: 'Display name of more than 256 characters',
    explanation:
      'Entra ID and Exchange Online take display names of at most 256 characters. It can not be created so in the target.',
    remedy: 'Shorten the name in the source, or the target gets its beginning.',
  },
  'name-invisible-characters': {
    severity: 'warning',
    about: 'account',
    title: 'Display name with control or invisible characters',
    explanation:
      'Its display name holds characters that can not be seen. Two such names can look the same and be two; some break headers and files.',
    remedy: 'Type the name anew.',
  },
  'name-direction-override': {
    severity: 'warning',
    about: 'account',
    title: 'Display name that turns the direction of writing',
    explanation:
      'Its display name holds a character that turns the direction of what follows. It is used to pass one name or address off as another.',
    remedy: 'Look at who made the account. Type the name anew.',
  },
  'name-markup': {
    severity: 'notice',
    about: 'account',
    title: 'Display name that looks like markup',
    explanation:
      'Its display name holds what a browser could take for a tag. Here it is shown as text; other programs may run it.',
    remedy: 'Look at who made the account, and rename it.',
  },
  'name-formula': {
    severity: 'notice',
    about: 'account',
    title: 'Display name that a spreadsheet takes for a formula',
    explanation:
      'Its display name begins with `=`, `+`, `-` or `@`. Files from here neutralise it; those of other programs may not.',
    remedy: 'Rename it, or take care with exports of other programs.',
  },
  'value-cut': {
    severity: 'notice',
    about: 'account',
    title: 'A value was too long to be kept whole',
    explanation:
      'A name, address or attribute is longer than 4,096 characters. What is kept of it is its beginning, which no rule should compare.',
    remedy: 'Correct the attribute in the tenant.',
  },

  // ── Licences and services ────────────────────────────────────────────────────────────────────────────────────────
  'mailbox-without-licence': {
    severity: 'warning',
    about: 'account',
    title: 'Mailbox of a person without licence',
    explanation:
      'A user mailbox without a licence that includes Exchange Online is deleted 30 days after the licence went.',
    remedy: 'Assign a licence, or turn it into a shared mailbox before it is migrated.',
  },
  'licensed-without-mailbox': {
    severity: 'warning',
    about: 'account',
    title: 'Licensed for Exchange Online, without a mailbox',
    explanation:
      'It has a licence with Exchange Online, and no mailbox: it was never made, or the plan is switched off for it. A mailbox task can not use it.',
    remedy: 'Wait until the mailbox is there, switch the plan on, or leave the account out.',
  },
  'no-mailbox': {
    severity: 'notice',
    about: 'account',
    title: 'Account without a mailbox',
    explanation:
      'It is an enabled account without a mailbox: there is no mail to migrate, and nothing can be delivered to it.',
    remedy: 'Nothing, if that is meant; else assign a licence.',
  },
  'no-drive': {
    severity: 'notice',
    about: 'account',
    title: 'No OneDrive yet',
    explanation:
      'It is licensed for OneDrive, and the usage report knows no drive of it. A drive is made when its owner first opens it, or by an administrator.',
    remedy: 'Request the drive before files are copied to it.',
  },
  'usage-location-missing': {
    severity: 'warning',
    about: 'account',
    title: 'No usage location',
    explanation: 'Entra ID assigns no licence to an account without usageLocation.',
    remedy: 'Set the usage location, or choose one for all accounts when they are created.',
  },
  'data-location-set': {
    severity: 'notice',
    about: 'account',
    title: 'Preferred data location',
    explanation:
      'Its data is kept in a place of its own (multi-geo). A target without multi-geo keeps it where the tenant is.',
    remedy: 'Ask whoever answers for the place of data, before it is migrated.',
  },

  // ── Holds, archives, sizes ───────────────────────────────────────────────────────────────────────────────────────
  'litigation-hold': {
    severity: 'warning',
    about: 'account',
    title: 'Litigation hold',
    explanation:
      'Nothing in this mailbox may be lost. A copy in the target is not on hold by itself, and the source must stay as long as the hold.',
    remedy: 'Agree with the legal department; set the hold in the target; keep the source mailbox as inactive mailbox.',
  },
  'retention-hold': {
    severity: 'warning',
    about: 'account',
    title: 'Retention hold',
    explanation:
      'Retention policies are suspended for this mailbox. In the target they would act at once on what arrives.',
    remedy: 'Set the retention hold in the target before the first pass.',
  },
  archive: {
    severity: 'notice',
    about: 'account',
    title: 'Archive mailbox',
    explanation: 'It has an archive. The target needs one too, or its content goes into a folder of the mailbox.',
    remedy: 'Decide where archives go, and assign licences that include one.',
  },
  'archive-over-100-gb': {
    severity: 'warning',
    about: 'account',
    title: 'Archive of more than 100 GB',
    explanation: 'Its archive is larger than an archive that does not expand can be.',
    remedy: 'Enable the auto-expanding archive in the target in good time, or shorten what is copied by date.',
  },
  'auto-expanding-archive': {
    severity: 'warning',
    about: 'account',
    title: 'Auto-expanding archive',
    explanation:
      'Its archive consists of several mailboxes. It is read like one, but the archive of the target grows more slowly than it can be filled: allow 30 days and more.',
    remedy: 'Enable the auto-expanding archive in the target first, and plan this person early.',
  },
  'mailbox-over-100-gb': {
    severity: 'blocker',
    about: 'account',
    title: 'Mailbox of more than 100 GB',
    explanation:
      'No plan of Exchange Online has a mailbox of more than 100 GB: the whole of it fits into no target mailbox.',
    remedy: 'Move old mail into an archive, or shorten what is copied by date.',
  },
  'mailbox-over-50-gb': {
    severity: 'warning',
    about: 'account',
    title: 'Mailbox of more than 50 GB',
    explanation:
      'Plan 1 and shared mailboxes without licence end at 50 GB. At the pace that Microsoft allows, the first pass takes more than a day.',
    remedy: 'Assign a plan of 100 GB in the target, and begin early.',
  },
  'mailbox-many-items': {
    severity: 'warning',
    about: 'account',
    title: 'Mailbox of more than a million items',
    explanation: 'A folder of Exchange Online takes one million items at most, and so many take days to enumerate.',
    remedy: 'Shorten what is copied by date, or let the owner clear out; begin early.',
  },
  'recoverable-items-large': {
    severity: 'warning',
    about: 'account',
    title: 'Recoverable items of 30 GB or more',
    explanation:
      'Its Recoverable Items folder has reached the quota of a mailbox that is not on hold. Its owner may be unable to delete, and the assistant is behind.',
    remedy: 'Look at holds and the assistant. They are not copied unless that is chosen.',
  },
  'drive-over-1-tb': {
    severity: 'warning',
    about: 'account',
    title: 'OneDrive of more than 1 TB',
    explanation: 'It is larger than the quota that most plans give to begin with.',
    remedy: 'Raise the quota of the target before files are copied.',
  },
  'drive-over-5-tb': {
    severity: 'blocker',
    about: 'account',
    title: 'OneDrive of more than 5 TB',
    explanation: 'An administrator can raise the quota of a OneDrive to 5 TB, and no further.',
    remedy: 'Move files to a SharePoint site, or choose folders.',
  },
  'drive-many-files': {
    severity: 'notice',
    about: 'account',
    title: 'OneDrive of more than 300,000 files',
    explanation:
      'Microsoft recommends to synchronise no more than 300,000 files. So many take long to copy, and long to appear on a computer.',
    remedy: 'Begin early; tell the owner to synchronise folders only.',
  },

  // ── Forwarding and delegation ────────────────────────────────────────────────────────────────────────────────────
  'forwarding-set': {
    severity: 'notice',
    about: 'account',
    title: 'Forwards its mail',
    explanation:
      'Mail to it is forwarded to another recipient of the project. Cutover sets forwarding too, and forwarding both ways is a loop.',
    remedy: 'Decide what is to become of it; cutover keeps what it replaces.',
  },
  'forwarding-outside': {
    severity: 'warning',
    about: 'account',
    title: 'Forwards its mail outside',
    explanation:
      'Mail to it is forwarded to a domain of none of the tenants. That is how mail is taken away unseen; and it is not copied to the target.',
    remedy:
      'Ask the owner whether it is meant. If so, set it again in the target, where the outbound spam policy has to allow it.',
  },
  'forwarding-blocked': {
    severity: 'warning',
    about: 'account',
    title: 'Forwarding that a remote domain blocks',
    explanation:
      'It forwards to a domain for which the remote domain of its tenant has automatic forwarding switched off: nothing arrives.',
    remedy: 'Allow automatic forwarding for that remote domain, or remove the forwarding.',
  },
  'forwarding-to-unknown': {
    severity: 'notice',
    about: 'account',
    title: 'Forwards to somebody unknown',
    explanation:
      'It forwards to a recipient that the discovery has not seen: a public folder, or an object that is gone.',
    remedy: 'Look up the recipient in Exchange, and decide what is to become of it.',
  },
  'send-on-behalf-unknown': {
    severity: 'notice',
    about: 'account',
    title: 'Somebody unknown may send on its behalf',
    explanation:
      'One of those who may send on its behalf is nobody that the discovery has seen. The permission can not be copied.',
    remedy: 'Remove the permission, or find out whose it is.',
  },

  // ── What it is ───────────────────────────────────────────────────────────────────────────────────────────────────
  'synced-account': {
    severity: 'notice',
    about: 'account',
    title: 'Synchronised from an on-premises directory',
    explanation:
      'The on-premises directory writes it. It is matched like any other, and can not be changed through Microsoft Graph.',
    remedy: 'In a source: nothing. In the target: change it on premises, or turn its synchronisation off.',
  },
  'disabled-with-mailbox': {
    severity: 'notice',
    about: 'account',
    title: 'Disabled account with a mailbox',
    explanation: 'Nobody can sign in, and the mailbox still takes mail. Often somebody has left.',
    remedy: 'Decide whether it is migrated, becomes a shared mailbox, or is left behind.',
  },
  'hidden-account': {
    severity: 'notice',
    about: 'account',
    title: 'Hidden from address lists',
    explanation: 'It is hidden from address lists. In the target it is shown after cutover unless it is left hidden.',
    remedy: 'Decide whether it stays hidden.',
  },
  'guest-account': {
    severity: 'notice',
    about: 'account',
    title: 'Guest',
    explanation:
      'It is a guest: a person of another organization. Guests have no mailbox here, and what they were given access to is not in the target.',
    remedy: 'Invite those whom people of the target go on working with.',
  },
  'guest-pending': {
    severity: 'notice',
    about: 'account',
    title: 'Guest who never accepted',
    explanation: 'The invitation of this guest was not accepted.',
    remedy: 'Leave the guest out, or invite anew in the target.',
  },
  'unsupported-mailbox-type': {
    severity: 'warning',
    about: 'account',
    title: 'Mailbox of a type that is not migrated',
    explanation: 'Mailboxes of this type (system, discovery, public folder, scheduling, linked …) are not migrated.',
    remedy: 'Migrate what is in it by the tools that Microsoft has for it, or leave it.',
  },
} as const satisfies Readonly<Record<string, FindingKind>>
