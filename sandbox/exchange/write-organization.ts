// What an organisation has one of: the sealers that it trusts, and whether it is still as every new one. (coexistence.md §2.1 row 4c; microsoft-365.md §15)
import type { Cmdlet } from './cmdlet.ts'
import { findSetting } from './configuration.ts'
import { absentObject, alreadyCustomised } from './exchange-error.ts'
import { requireHydrated } from './write-rules.ts'
import { changed, givenProperties, identityIn } from './write-settings.ts'

export const organizationCmdlets: readonly Cmdlet[] = [
  {
    name: 'Set-ArcConfig',
    isWrite: true,
    heeds: ['Identity', 'ArcTrustedSealers'],
    run: (call) => {
      requireHydrated(call.tenant)
      const before = findSetting(call, 'ArcConfig', identityIn(call))
      const { ArcTrustedSealers: sealers } = givenProperties(
        call,
        'Set-ArcConfig',
        ['ArcTrustedSealers'],
        before.properties,
      )
      // One that was never set is told as empty text.
      const value = Array.isArray(sealers) && sealers.length > 0 ? sealers : ''
      return changed(call, { ...before, properties: { ...before.properties, ArcTrustedSealers: value } })
    },
  },
  {
    name: 'Enable-OrganizationCustomization',
    isWrite: true,
    heeds: [],
    run: (call) => {
      const [organisation] = call.tenant.exchangeObjects('OrganizationConfig')
      if (organisation === undefined) throw absentObject('OrganizationConfig', call.behaviour.absentStatus)
      if (organisation.properties['IsDehydrated'] !== true) throw alreadyCustomised()
      return changed(call, { ...organisation, properties: { ...organisation.properties, IsDehydrated: false } })
    },
  },
]
