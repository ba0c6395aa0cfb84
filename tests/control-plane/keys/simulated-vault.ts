// A simulated key vault and the provider that uses it, as in production: the vault's real name, HTTPS, the SDK's own checks all on. Only the
// name's address and the certificate's authority are ours.
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { keyVaultProvider } from '../../../control-plane/keys/key-vault-provider.ts'
import type { KeyVaultOptions } from '../../../control-plane/keys/key-vault-provider.ts'
import type { KeyProvider } from '../../../control-plane/keys/key-provider.ts'
import { startVault } from '../../../sandbox/vault/vault.ts'
import type { Vault, VaultOptions } from '../../../sandbox/vault/vault.ts'
import { TestAuthority } from '../../harness/certificates.ts'

export const VAULT_HOST = 'kv-causeway.vault.azure.net'

export interface SimulatedVault {
  readonly vault: Vault
  readonly ca: string
  readonly provider: KeyProvider
  /** Waits that the provider asked for, ms; they take no time. */
  readonly waits: number[]
  /** Another process's view of the same vault. */
  readonly another: (options?: Partial<KeyVaultOptions>) => KeyProvider
}

const authority = new TestAuthority()
const leaf = authority.issue({ names: [`DNS:${VAULT_HOST}`], usage: ['serverAuth'], keyType: 'ec' })

export async function simulatedVault(
  t: Pick<TestContext, 'after'>,
  options: Partial<VaultOptions> = {},
): Promise<SimulatedVault> {
  const ca = readFileSync(authority.certificate, 'utf8')
  const vault = await startVault({
    host: VAULT_HOST,
    tls: { cert: readFileSync(leaf.certificate, 'utf8'), key: readFileSync(leaf.key, 'utf8') },
    now: Date.now,
    ...options,
  })
  const waits: number[] = []
  const providers: KeyProvider[] = []
  const another = (more: Partial<KeyVaultOptions> = {}): KeyProvider => {
    const provider = keyVaultProvider(
      {
        vaultUrl: vault.url,
        credential: {
          getToken: async () => ({ token: vault.issueToken(600_000), expiresOnTimestamp: Date.now() + 600_000 }),
        },
        tls: { ca, lookup: toLoopback },
        ...more,
      },
      {
        now: Date.now,
        wait: async (ms, signal) => {
          waits.push(ms)
          signal.throwIfAborted()
        },
      },
    )
    providers.push(provider)
    return provider
  }
  t.after(async () => {
    for (const provider of providers) provider.close()
    await vault.close()
  })
  return { vault, ca, provider: another(), waits, another }
}

export const toLoopback: NonNullable<NonNullable<KeyVaultOptions['tls']>['lookup']> = (_host, options, callback) => {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}
