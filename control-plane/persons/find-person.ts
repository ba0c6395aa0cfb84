// From what somebody asks with to everything by which that person is known: each table is asked what it knows, until none knows more. (PR-6)
import { personOf, withIdentifiers } from './person.ts'
import type { MoreOfPerson, Person } from './person.ts'
import type { At, PersonSource } from './person-source.ts'

/** An address leads to an account, its pair to another one, that to addresses, these to an entry: more rounds than that lead nowhere new. */
const MOST_ROUNDS = 10

export async function findPerson(at: At, asked: MoreOfPerson, sources: readonly PersonSource[]): Promise<Person> {
  let person = personOf(asked)
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const before = person
    for (const { recognise } of sources)
      if (recognise !== undefined) person = withIdentifiers(person, await recognise(at, person))
    if (person === before) break
  }
  return person
}
