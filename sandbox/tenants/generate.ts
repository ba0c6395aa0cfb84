// Tenants of any size for load and delta tests: plain people with E3, groups over them, a few shared mailboxes and contacts. Two of the same seed, one
// for each side, have a known part of their people in common.
import { CONTOSO, FABRIKAM } from './constants.ts'
import { acceptedDomains, organizationConfig, singletons } from './exchange-settings.ts'
import { makeContact, makeGroup } from './group.ts'
import type { GroupKind } from './group.ts'
import { SKUS } from './licences.ts'
import type { DirectoryObject, Drive, Recipient, TenantData } from './objects.ts'
import { makePerson } from './person.ts'
import type { Place } from './place.ts'
import { plainDomain } from './plain-domain.ts'
import { SeededRandom } from './seeded-random.ts'

export interface Size {
  readonly seed: number
  /** With a mailbox and a drive each. */
  readonly people: number
  /** Default one for each 20 people. */
  readonly groups?: number
  /** Of the first group, which is a distribution list of everybody unless this says less. Every other group has ten. */
  readonly bigGroupMembers?: number
  /** Default one for each 100 people. */
  readonly sharedMailboxes?: number
  /** Default one for each 100 people. */
  readonly contacts?: number
  /** Default `source`: Contoso's id and domain; else Fabrikam's. */
  readonly side?: 'source' | 'target'
  /** Part of the people that are in both sides of the seed: 0 to 1, default 0.7. */
  readonly overlap?: number
}

const SIDES = {
  source: {
    id: CONTOSO,
    label: 'contoso',
    companyName: 'Contoso',
    city: 'Munich',
    country: 'Germany',
    usageLocation: 'DE',
  },
  target: {
    id: FABRIKAM,
    label: 'fabrikam',
    companyName: 'Fabrikam',
    city: 'Seattle',
    country: 'United States',
    usageLocation: 'US',
  },
} as const

const GIVEN = [
  'Ada',
  'Ben',
  'Cleo',
  'Dirk',
  'Elif',
  'Finn',
  'Gina',
  'Hugo',
  'Iris',
  'Jack',
  'Kaja',
  'Luis',
  'Mona',
] as const
const SURNAMES = [
  'Adler',
  'Bauer',
  'Chen',
  'Diaz',
  'Eriksen',
  'Fischer',
  'Garcia',
  'Hansen',
  'Ito',
  'Jones',
  'Khan',
] as const
const GROUP_KINDS: readonly [GroupKind, ...GroupKind[]] = [
  'security',
  'microsoft-365',
  'distribution-list',
  'mail-enabled-security',
]
const MEMBERS = 10

/**
 * People in common of two tenants of this size: the first so many of each, in order, and of equal employee number (`E7`). Every second one also has the
 * same name before the @.
 */
export function peopleInCommon({ people, overlap = 0.7 }: Pick<Size, 'people' | 'overlap'>): number {
  return Math.floor(people * overlap)
}

export function generateTenant(size: Size): TenantData {
  const { seed, people, side = 'source' } = size
  const { id, ...names } = SIDES[side]
  const place: Place = {
    ...names,
    domain: `${names.label}.com`,
    random: new SeededRandom(seed * 2 + (side === 'source' ? 0 : 1)),
  }
  const objects: DirectoryObject[] = []
  const recipients: Recipient[] = []
  const drives: Record<string, Drive> = {}
  const common = peopleInCommon(size)
  for (let index = 0; index < people; index++) {
    const made = makePerson(place, nthPerson(index, index < common, side))
    objects.push(made.object)
    if (made.recipient !== undefined) recipients.push(made.recipient)
    if (made.drive !== undefined) drives[made.object.id] = made.drive
  }
  addGroups(place, size, objects, recipients)
  addOthers(place, size, objects, recipients)
  const domains = [
    plainDomain(`${place.label}.onmicrosoft.com`, { isInitial: true }),
    plainDomain(place.domain, { isDefault: true }),
  ]
  const [administrator] = objects
  return {
    id,
    displayName: place.companyName,
    countryLetterCode: place.usageLocation,
    isSyncedFromOnPremises: false,
    cloud: 'global',
    domains,
    licences: [{ ...SKUS.E3, enabled: people + 100 }],
    objects,
    recipients,
    exchangeObjects: [
      organizationConfig(place, {}),
      ...acceptedDomains(place, domains, []),
      ...singletons(place, domains),
    ],
    drives,
    reportsConcealNames: false,
    administrators: administrator === undefined ? [] : [administrator.id],
  }
}

function nthPerson(index: number, isCommon: boolean, side: 'source' | 'target') {
  const given = GIVEN[index % GIVEN.length] ?? ''
  const surname = SURNAMES[Math.floor(index / GIVEN.length) % SURNAMES.length] ?? ''
  const mark = isCommon ? 'E' : side === 'source' ? 'S' : 'T'
  const isOwnWay = side === 'target' && index % 2 === 1
  const local = isOwnWay ? `${surname}.${given}${index}` : `${given}.${surname}${index}`
  return {
    name: `${given} ${surname} ${index}`,
    given,
    surname,
    local: `${local}${isCommon ? '' : mark}`.toLowerCase(),
    user: { employeeId: `${mark}${index}` },
  }
}

function addGroups(place: Place, size: Size, objects: DirectoryObject[], recipients: Recipient[]): void {
  const { people, groups = Math.ceil(people / 20), bigGroupMembers = people } = size
  const person = (index: number): string => objects[index]?.id ?? ''
  for (let index = 0; index < groups; index++) {
    const isBig = index === 0
    const count = isBig ? Math.min(bigGroupMembers, people) : Math.min(MEMBERS, people)
    const members = new Set<string>()
    // Of the small ones somebody may come up twice: once is enough.
    for (let nth = 0; nth < count; nth++) members.add(person(isBig ? nth : place.random.below(people)))
    const made = makeGroup(place, {
      kind: isBig ? 'distribution-list' : (GROUP_KINDS[index % GROUP_KINDS.length] ?? 'security'),
      name: `Group ${index}`,
      local: `group${index}`,
      members: [...members],
      owners: people === 0 ? [] : [person(index % people)],
    })
    objects.push(made.object)
    if (made.recipient !== undefined) recipients.push(made.recipient)
  }
}

function addOthers(place: Place, size: Size, objects: DirectoryObject[], recipients: Recipient[]): void {
  const { people, sharedMailboxes = Math.ceil(people / 100), contacts = Math.ceil(people / 100) } = size
  for (let index = 0; index < sharedMailboxes; index++) {
    const made = makePerson(place, { kind: 'shared', name: `Shared ${index}`, local: `shared${index}` })
    objects.push(made.object)
    if (made.recipient !== undefined) recipients.push(made.recipient)
  }
  for (let index = 0; index < contacts; index++) {
    const made = makeContact(place, {
      name: `Contact ${index}`,
      local: `contact${index}`,
      external: `contact${index}@example.net`,
    })
    objects.push(made.object)
    recipients.push(made.recipient)
  }
}
