// What an import or bulk confirmation of pairs says it did, or would do: the same in an answer, as an operation's result, and in a dry run. Pure.
import { z } from 'zod'

export const pairChangeSchema = z
  .strictObject({
    paired: z.int().meta({ description: 'New pairs, confirmed at once.' }),
    confirmed: z.int().meta({ description: 'Proposals that are confirmed now.' }),
    unchanged: z.int().meta({ description: 'Pairs of the file that were there just so.' }),
    unpaired: z.int(),
    excluded: z.int().meta({ description: 'Accounts that no matching looks at from now on.' }),
    collections: z.int().meta({ description: 'New ones.' }),
    collected: z.int().meta({ description: 'Accounts that came into a collection.' }),
    revision: z.int().meta({ description: 'Of the mapping table, in force afterwards.' }),
    mapping: z
      .strictObject({ none: z.int(), written: z.int(), 'manual-wins': z.int(), blocked: z.int() })
      .meta({ description: 'Of the confirmed pairs that were changed: how many have which state of their entry.' }),
  })
  .meta({ id: 'PairsChanged', description: 'What a change of many pairs did; of a dry run what it would do.' })
export type PairChangeBody = z.output<typeof pairChangeSchema>
