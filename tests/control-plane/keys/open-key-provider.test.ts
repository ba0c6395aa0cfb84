// From settings to a key service.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openKeyProvider } from '../../../control-plane/keys/open-key-provider.ts'
import { temporaryDirectory } from './key-scene.ts'

test('KM-1: the settings name a directory or a vault; what is neither is refused before anything is asked', async (t) => {
  const directory = temporaryDirectory(t)
  const file = await openKeyProvider({ kind: 'file', directory: directory }, Date.now)
  assert.match(file.id, /^file:[0-9a-f]{32}$/)
  assert.deepEqual(await file.health(), { isReady: true })

  const vault = (address: string) =>
    openKeyProvider(
      { kind: 'key-vault', url: new URL(address), keyName: 'causeway', identity: { kind: 'managed' } },
      Date.now,
    )
  const provider = await vault('https://kv-causeway.vault.azure.net')
  t.after(() => provider.close())
  assert.equal(provider.id, 'azure-key-vault:kv-causeway.vault.azure.net/causeway')
  for (const address of ['http://kv-causeway.vault.azure.net', 'https://vault.evil.example', 'https://127.0.0.1/']) {
    await assert.rejects(vault(address), TypeError, address)
  }
})
