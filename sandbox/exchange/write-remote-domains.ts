// Remote domains: in which format, and with which automatic messages, mail goes to somebody else's domain. (coexistence.md §2.1 row 7)
import { SETTING_DEFAULTS } from '../tenants/exchange-settings.ts'
import type { CmdletCall } from './cmdlet.ts'
import { alreadyExists, invalidValue } from './exchange-error.ts'
import type { Properties } from './properties.ts'
import { settingCmdlets } from './write-settings.ts'

export const remoteDomainCmdlets = settingCmdlets({
  noun: 'RemoteDomain',
  defaults: SETTING_DEFAULTS.RemoteDomain,
  parameters: {
    both: '',
    onlyNew: 'DomainName',
    onlySet: `AllowedOOFType AutoForwardEnabled AutoReplyEnabled ByteEncoderTypeFor7BitCharsets CharacterSet ContentType
      DeliveryReportEnabled DisplaySenderName IsInternal LineWrapSize MeetingForwardNotificationEnabled
      NDRDiagnosticInfoEnabled NDREnabled NonMimeCharacterSet PreferredInternetCodePageForShiftJis
      RequiredCharsetCoverage TargetDeliveryDomain TNEFEnabled TrustedMailInboundEnabled TrustedMailOutboundEnabled
      UseSimpleDisplayName`,
  },
  // InternalLegacy makes the domain internal; another type takes that back.
  complete: (after, given) =>
    given['AllowedOOFType'] === undefined || given['IsInternal'] !== undefined
      ? after
      : { ...after, IsInternal: given['AllowedOOFType'] === 'InternalLegacy' },
  check: requireFreeDomain,
  checkRemoval: (_call, { properties }) => {
    if (properties['DomainName'] === '*') throw invalidValue('Identity', "the default remote domain can't be removed.")
  },
})

function requireFreeDomain({ tenant }: CmdletCall, after: Properties, guid: string | undefined): void {
  const domain = String(after['DomainName']).toLowerCase()
  const isTaken = tenant
    .exchangeObjects('RemoteDomain')
    .some((each) => each.guid !== guid && String(each.properties['DomainName']).toLowerCase() === domain)
  if (isTaken) throw alreadyExists(domain)
}
