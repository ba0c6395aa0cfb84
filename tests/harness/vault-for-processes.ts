// A simulated key vault for processes of the product: the vault, the endpoint at which a machine's managed identity gets its tokens (as App Service has it),
// and the environment that leads there.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startVault } from '../../sandbox/vault/vault.ts'
import type { Vault } from '../../sandbox/vault/vault.ts'
import { TestAuthority } from './certificates.ts'

const HOST = 'kv-causeway.vault.azure.net'
const HEADER = 'the-machine'
const TOKEN_LIFE_MS = 3_600_000

export interface VaultForProcesses {
  readonly vault: Vault
  readonly env: Readonly<Record<string, string>>
}

export async function vaultForProcesses(t: { after(close: () => Promise<void>): void }): Promise<VaultForProcesses> {
  const authority = new TestAuthority()
  const leaf = authority.issue({ names: [`DNS:${HOST}`], usage: ['serverAuth'], keyType: 'ec' })
  const tls = { cert: readFileSync(leaf.certificate, 'utf8'), key: readFileSync(leaf.key, 'utf8') }
  const vault = await startVault({ host: HOST, tls, now: Date.now })
  const identity = createServer((request, response) => {
    const isOurs = request.headers['x-identity-header'] === HEADER
    response.writeHead(isOurs ? 200 : 401, { 'content-type': 'application/json' })
    const expiresOn = String(Math.floor((Date.now() + TOKEN_LIFE_MS) / 1_000))
    response.end(
      JSON.stringify({
        access_token: isOurs ? vault.issueToken(TOKEN_LIFE_MS) : '',
        expires_on: expiresOn,
        resource: 'https://vault.azure.net',
        token_type: 'Bearer',
      }),
    )
  })
  identity.listen(0, '127.0.0.1')
  await once(identity, 'listening')
  t.after(async () => {
    identity.close()
    identity.closeAllConnections()
    await vault.close()
    authority[Symbol.dispose]()
  })
  return {
    vault,
    env: {
      KEY_PROVIDER: 'key-vault',
      KEY_VAULT_URL: vault.url,
      IDENTITY_ENDPOINT: `http://127.0.0.1:${(identity.address() as AddressInfo).port}/msi/token`,
      IDENTITY_HEADER: HEADER,
      NODE_EXTRA_CA_CERTS: authority.certificate,
      NODE_OPTIONS: `--import=${new URL('vault-name.ts', import.meta.url).href}`,
      CAUSEWAY_TEST_VAULT_HOST: HOST,
    },
  }
}
