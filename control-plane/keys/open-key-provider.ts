// The key service that the settings name. Azure's packages are loaded only where a vault is used.
import { setTimeout } from 'node:timers/promises'
import type { KeySettings } from '../settings.ts'
import { openKeyDirectory } from './file-provider.ts'
import type { KeyProvider } from './key-provider.ts'

/** @param now  ms since the epoch @throws KeyUnusable, TypeError in words when directory or address can't be used */
export async function openKeyProvider(settings: KeySettings, now: () => number): Promise<KeyProvider> {
  if (settings.kind === 'file') return openKeyDirectory(settings.directory, now)
  const { azureCredential } = await import('./azure-credential.ts')
  const { keyVaultProvider } = await import('./key-vault-provider.ts')
  const credential = azureCredential(settings.identity)
  const wait = (ms: number, signal: AbortSignal) => setTimeout(ms, undefined, { signal })
  return keyVaultProvider({ vaultUrl: settings.url.href, credential, prefix: settings.keyName }, { now, wait })
}
