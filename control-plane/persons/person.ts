// Everything by which one person is known in a project. Pure. (PR-6)
import type { OrganisationId, ProjectId } from '../ids.ts'

export interface Place {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

export const IDENTIFIERS = [
  /** As somebody wrote them. */
  'addresses',
  /** Addresses and X.500 names as mapping and matching compare them. */
  'keys',
  /** What events of relays may hold of the addresses: they, or tags of them. */
  'forms',
  /** Entra object ids, in lower case. */
  'objectIds',
  /** `<tid>/<oid>` */
  'principals',
  'accounts',
  'mappings',
  'members',
  'apiKeys',
] as const
export type Identifier = (typeof IDENTIFIERS)[number]

export type Person = Readonly<Record<Identifier, ReadonlySet<string>>>
export type MoreOfPerson = Partial<Readonly<Record<Identifier, Iterable<string>>>>

const NOBODY = Object.fromEntries(IDENTIFIERS.map((name) => [name, new Set<string>()])) as unknown as Person

/** @returns the very same when nothing is new */
export function withIdentifiers(person: Person, more: MoreOfPerson): Person {
  const grown = IDENTIFIERS.map((name) => [name, new Set([...person[name], ...(more[name] ?? [])])] as const)
  const isNew = grown.some(([name, values]) => values.size > person[name].size)
  return isNew ? (Object.fromEntries(grown) as unknown as Person) : person
}

export const personOf = (known: MoreOfPerson): Person => withIdentifiers(NOBODY, known)

/** Under which audit events, deliveries and news speak of the person. */
export function idsOf(person: Person): string[] {
  const { accounts, mappings, members, apiKeys, objectIds, principals } = person
  return [accounts, mappings, members, apiKeys, objectIds, principals].flatMap((ids) => [...ids])
}

/** Addresses in every spelling: what to look for in texts. X.500 names among them. */
export const spellingsOf = ({ addresses, keys }: Person): string[] => [...new Set([...addresses, ...keys])]
