// Organization relationships: whose free/busy and mail tips may be asked for by another organisation. (coexistence.md §2.1 row 8; microsoft-365.md §16)
import { SETTING_DEFAULTS } from '../tenants/exchange-settings.ts'
import type { CmdletCall } from './cmdlet.ts'
import { alreadyExists, invalidValue } from './exchange-error.ts'
import type { Properties } from './properties.ts'
import { findRecipient } from './recipients.ts'
import { isMailGroup } from './recipient-facts.ts'
import { settingCmdlets } from './write-settings.ts'

const MAX_DOMAINS = 238

export const relationshipCmdlets = settingCmdlets({
  noun: 'OrganizationRelationship',
  defaults: SETTING_DEFAULTS.OrganizationRelationship,
  parameters: {
    both: `ArchiveAccessEnabled DeliveryReportEnabled DomainNames Enabled FreeBusyAccessEnabled FreeBusyAccessLevel
      FreeBusyAccessScope MailboxMoveCapability MailboxMoveEnabled MailboxMovePublishedScopes MailTipsAccessEnabled
      MailTipsAccessLevel MailTipsAccessScope OAuthApplicationId OrganizationContact PhotosEnabled TargetApplicationUri
      TargetAutodiscoverEpr TargetOwaURL TargetSharingEpr`,
  },
  check: (call, after, guid) => {
    requireFreeDomains(call, after, guid)
    for (const scope of ['FreeBusyAccessScope', 'MailTipsAccessScope']) {
      const group = after[scope]
      if (typeof group === 'string')
        findRecipient(call, group, (each) => isMailGroup(each) && call.isVisible(each.guid))
    }
  },
})

function requireFreeDomains({ tenant }: CmdletCall, after: Properties, guid: string | undefined): void {
  const wanted = domainsOf(after)
  if (wanted.length === 0) throw invalidValue('DomainNames', 'a relationship is with at least one domain.')
  if (wanted.length > MAX_DOMAINS)
    throw invalidValue('DomainNames', `there can't be more than ${MAX_DOMAINS} domains in a relationship.`)
  const taken = new Set(
    tenant
      .exchangeObjects('OrganizationRelationship')
      .filter((each) => each.guid !== guid)
      .flatMap(({ properties }) => domainsOf(properties)),
  )
  const shared = wanted.find((domain) => taken.has(domain))
  if (shared !== undefined) throw alreadyExists(shared)
}

/** Lower case. */
function domainsOf({ DomainNames: domains }: Properties): readonly string[] {
  return Array.isArray(domains) ? domains.map((domain) => String(domain).toLowerCase()) : []
}
