// Erases what is held about a person, and says what stays and why. All in one transaction: it is done, or nothing is. (PR-6)
import type { Person } from './person.ts'
import type { At, EraseOptions, PersonSource, Reason } from './person-source.ts'

export interface ErasedPerson {
  /** By section, where there were any. */
  readonly erased: readonly { readonly section: string; readonly rows: number }[]
  readonly stays: readonly { readonly section: string; readonly rows: number; readonly reason: Reason }[]
  readonly total: number
}

/** @throws Problem of what has to change for it: the mapping is busy */
export async function erasePerson(
  at: At,
  person: Person,
  options: EraseOptions,
  sources: readonly PersonSource[],
): Promise<ErasedPerson> {
  const erased: { section: string; rows: number }[] = []
  const stays: { section: string; rows: number; reason: Reason }[] = []
  for (const { name: section, erase } of sources) {
    const outcome = await erase(at, person, options)
    if (outcome.erased > 0) erased.push({ section, rows: outcome.erased })
    stays.push(...outcome.stays.map((kept) => ({ section, ...kept })))
  }
  return { erased, stays, total: erased.reduce((sum, { rows }) => sum + rows, 0) }
}
