// `npm run bench -- NAME [--quick]`: runs one of the benches of this folder. Figures go to stdout, one JSON line a case; progress to stderr.
import { parseArgs } from 'node:util'

const BENCHES: Record<string, () => Promise<{ run: (options: { quick: boolean; only?: string }) => Promise<void> }>> = {
  engine: () => import('./engine.ts'),
  table: () => import('./table.ts'),
  spool: () => import('./spool.ts'),
  relay: () => import('./relay.ts'),
  api: () => import('./api.ts'),
  push: () => import('./push.ts'),
  discovery: () => import('./discovery.ts'),
  matching: () => import('./matching.ts'),
  coexistence: () => import('./coexistence.ts'),
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
})
const bench = BENCHES[positionals[0] ?? '']
if (bench === undefined || positionals.length !== 1) {
  console.error(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--quick] [--only CASE]`)
  process.exit(2)
}
const { run } = await bench()
await run({ quick: values.quick, ...(values.only === undefined ? {} : { only: values.only }) })
