// People of whom there is nothing special to say, but for whether they are in one organisation or in both.
import type { PersonRecipe } from './person.ts'

/** In both, with one employee number. Of the first eight the name before the @ is the same in both, too; Fabrikam writes the others its own way. */
const IN_BOTH = [
  ['Maria', 'Rossi'],
  ['Omar', 'Haddad'],
  ['Priya', 'Nair'],
  ['Lucas', 'Silva'],
  ['Chloe', 'Martin'],
  ['Kenji', 'Sato'],
  ['Ingrid', 'Berg'],
  ['Tomas', 'Horak'],
  ['Fatima', 'Zahra'],
  ['George', 'Papas'],
  ['Hanna', 'Kowal'],
  ['Igor', 'Petrov'],
  ['Julia', 'Stone'],
  ['Karl', 'Weiss'],
] as const
const SAME_NAME_IN_BOTH = 8

const IN_CONTOSO = [
  ['Liam', 'Brady'],
  ['Mina', 'Park'],
  ['Noel', 'Durand'],
  ['Olga', 'Ivanova'],
  ['Paulo', 'Costa'],
  ['Rita', 'Gomez'],
] as const

const IN_FABRIKAM = [
  ['Aaron', 'Fox'],
  ['Bella', 'Cruz'],
  ['Cody', 'Lane'],
  ['Diana', 'Prince'],
  ['Ethan', 'Cole'],
  ['Fiona', 'Reid'],
  ['Gavin', 'Shaw'],
  ['Holly', 'Webb'],
  ['Isaac', 'Moss'],
  ['Jade', 'Kim'],
  ['Kyle', 'Ross'],
  ['Lena', 'Vogt'],
  ['Marco', 'Bruno'],
  ['Nadia', 'Osman'],
  ['Oscar', 'Wilde'],
  ['Petra', 'Novy'],
  ['Ruben', 'Diaz'],
  ['Sonia', 'Malik'],
  ['Timo', 'Laine'],
  ['Uma', 'Rao'],
  ['Vera', 'Lang'],
] as const

export function ordinaryPeopleOf(organisation: 'contoso' | 'fabrikam'): readonly PersonRecipe[] {
  const both = IN_BOTH.map(([given, surname], index): PersonRecipe => {
    const isOwnWay = organisation === 'fabrikam' && index >= SAME_NAME_IN_BOTH
    const local = isOwnWay ? `${given.charAt(0)}${surname}`.toLowerCase() : dotted(given, surname)
    return { name: `${given} ${surname}`, given, surname, local, user: { employeeId: `E${2001 + index}` } }
  })
  const alone = (organisation === 'contoso' ? IN_CONTOSO : IN_FABRIKAM).map(([given, surname]): PersonRecipe => ({
    name: `${given} ${surname}`,
    given,
    surname,
    local: dotted(given, surname),
  }))
  return [...both, ...alone]
}

function dotted(given: string, surname: string): string {
  return `${given}.${surname}`.toLowerCase()
}
