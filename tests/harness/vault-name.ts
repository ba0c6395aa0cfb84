// Loaded before a process of the product (NODE_OPTIONS=--import): the simulated key vault's name leads to this machine, as a private endpoint's name does in
// production. Nothing else is touched: certificate, host and every check of the SDK stay as they are.
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'

const HOST = process.env['CAUSEWAY_TEST_VAULT_HOST']
const lookup: (...args: unknown[]) => void = dns.lookup.bind(dns) as never

function toLoopback(host: string, ...rest: unknown[]): void {
  if (host !== HOST) return lookup(host, ...rest)
  const options = typeof rest[0] === 'object' && rest[0] !== null && 'all' in rest[0] ? rest[0] : {}
  const callback = rest.at(-1) as (error: null, ...found: unknown[]) => void
  if ('all' in options && options.all === true) return callback(null, [{ address: '127.0.0.1', family: 4 }])
  return callback(null, '127.0.0.1', 4)
}

if (HOST !== undefined) {
  Object.assign(dns, { lookup: toLoopback })
  syncBuiltinESMExports()
}
