// What coexistence makes of the settings while it is not off: relays and tenants have to agree on who delivers to outsiders and whose seals are believed.
// What an administrator wrote himself stays where both can hold. Pure. (rewriting.md §13, coexistence.md §1)
import type { CoexistenceSetting, SwitchState } from '../coexistence/coexistence.ts'
import type { SettingsDocument } from './settings-document.ts'

export interface DerivedSettings {
  readonly document: SettingsDocument
  /** Names that connectors lead to. */
  readonly hosts: readonly string[]
}

export function derivedSettings(
  document: SettingsDocument,
  { state, setting }: { readonly state: SwitchState; readonly setting: CoexistenceSetting },
): DerivedSettings {
  if (state === 'off') return { document, hosts: [] }
  const { route, arcSealingDomain, relayHosts } = setting
  const seal = document.seal ?? (arcSealingDomain === undefined ? undefined : { domain: arcSealingDomain })
  return {
    document: { ...document, policy: { ...document.policy, route }, ...(seal === undefined ? {} : { seal }) },
    hosts: [relayHosts.out, relayHosts.in].filter((host) => host !== ''),
  }
}
