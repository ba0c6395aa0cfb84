// Changes a saved tenant until it is killed, and says after each change how many it has made. Its argument is a Saving as JSON.
import { changeSome } from '../../../sandbox/tenants/change-some.ts'
import { CONTOSO } from '../../../sandbox/tenants/constants.ts'
import { generateTenant } from '../../../sandbox/tenants/generate.ts'
import { openTenant } from '../../../sandbox/tenants/save.ts'

export interface Saving {
  readonly directory: string
  /** Of the changes. */
  readonly seed: number
}

const { directory, seed } = JSON.parse(process.argv[2] ?? '') as Saving
const { tenant } = await openTenant(directory, CONTOSO, () => generateTenant({ seed: 1, people: 200 }))
for (let round = 0; ; round++) {
  changeSome(tenant, 5, seed * 1000 + round)
  process.stdout.write(`${tenant.lastChange}\n`)
  await new Promise((resume) => setImmediate(resume))
}
