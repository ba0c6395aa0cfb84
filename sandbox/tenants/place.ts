// What the objects of one simulated tenant have in common, and how Exchange names things in it.
import type { SeededRandom } from './seeded-random.ts'

export interface Place {
  /** `contoso`: of the initial domain, and of names in Exchange. */
  readonly label: string
  /** Of people of whom nothing else is said. */
  readonly domain: string
  readonly companyName: string
  readonly city: string
  readonly country: string
  /** ISO 3166 */
  readonly usageLocation: string
  readonly random: SeededRandom
}

/** As much of a place as names are made from. */
export type NamingPlace = Pick<Place, 'label' | 'domain'> & { readonly random: Pick<SeededRandom, 'guid'> }

export const MADE_AT = '2023-03-01T08:00:00Z'
const ADMINISTRATIVE_GROUP = '/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients'

export function initialDomain({ label }: Pick<Place, 'label'>): string {
  return `${label}.onmicrosoft.com`
}

/** As Exchange Online makes them: 32 random digits and what the object is called. */
export function legacyName({ random }: Pick<NamingPlace, 'random'>, name: string): string {
  return `${ADMINISTRATIVE_GROUP}/cn=${random.guid().replaceAll('-', '')}-${name.slice(0, 20)}`
}

/** What every recipient answers to `Identity` and the like. */
export function distinguishedName({ label }: Pick<Place, 'label'>, name: string): string {
  return `CN=${name.replaceAll(/([\\,+"<>;=])/g, String.raw`\$1`)},OU=${label}.onmicrosoft.com,OU=Microsoft Exchange Hosted Organizations,DC=EURPR01A001,DC=PROD,DC=OUTLOOK,DC=COM`
}

/** `36 MB (37,748,736 bytes)`, as Exchange writes sizes; other languages write other separators. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'] as const
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${Number(value.toPrecision(4))} ${units[unit] ?? ''} (${bytes.toString().replaceAll(/\B(?=(\d{3})+$)/g, ',')} bytes)`
}
