// The keys: whether the key service can be used, and is the one that this database's keys are under. Asks it to wrap and unwrap a key that is thrown
// away, and to unwrap the installation's; makes none, least of all a key directory. (OP-5, KM-1)
import { createSecretKey, randomBytes } from 'node:crypto'
import { fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import { KEY_BYTES } from '../../common/seal.ts'
import { lookIntoKeyDirectory } from '../keys/file-provider.ts'
import { ofInstallation, wrappingContext } from '../keys/key-owner.ts'
import { INSTALLATION_KEY } from '../keys/key-provider.ts'
import type { KeyProvider } from '../keys/key-provider.ts'
import { openKeyProvider } from '../keys/open-key-provider.ts'
import type { ProjectKey } from '../keys/project-key-store.ts'
import type { KeySettings, Settings } from '../settings.ts'

const CHECK = 'keys'
const TRIAL_CONTEXT = 'causeway doctor'

/** @param stored  the installation's keys in the database; undefined: nobody could ask */
export async function examineKeys(
  { keys }: Pick<Settings, 'keys'>,
  stored: readonly ProjectKey[] | undefined,
  now: () => number,
): Promise<Finding[]> {
  const what = keys.kind === 'file' ? `the key directory ${keys.directory}` : `the key vault ${keys.url.host}`
  const hasKeys = stored !== undefined && stored.length > 0
  let provider: KeyProvider | undefined
  try {
    provider = await openWithoutMaking(keys, now)
    if (provider === undefined) return [judgeMissing(what, hasKeys)]
    const health = await provider.health()
    if (!health.isReady) return [fault(CHECK, `${what}: ${health.reason ?? 'not ready'}`, remedyOf(keys))]
    if (!hasKeys)
      return [
        ok(
          CHECK,
          `${what} can be used; ${stored === undefined ? 'nobody could be asked which' : 'no key was made yet'}`,
        ),
      ]
    await tryWrapping(provider)
    return [await judgeStored(provider, stored, what, keys)]
  } catch (error) {
    return [fault(CHECK, `${what}: ${error instanceof Error ? error.message : String(error)}`, remedyOf(keys))]
  } finally {
    provider?.close()
  }
}

/** undefined: there is no key directory yet, or nothing in it. */
function openWithoutMaking(keys: KeySettings, now: () => number): Promise<KeyProvider | undefined> {
  return keys.kind === 'file' ? lookIntoKeyDirectory(keys.directory, now) : openKeyProvider(keys, now)
}

function judgeMissing(what: string, hasKeys: boolean): Finding {
  return hasKeys
    ? fault(
        CHECK,
        `${what} is not there or empty, and the database has keys that are under it`,
        'bring the directory back from its backup, and see that the volume is mounted: without it nothing sealed can be read',
      )
    : ok(CHECK, `${what} is not there yet: the api makes it`)
}

async function tryWrapping(provider: KeyProvider): Promise<void> {
  const secret = createSecretKey(randomBytes(KEY_BYTES))
  const wrapped = await provider.wrap(INSTALLATION_KEY, secret, TRIAL_CONTEXT)
  if (!(await provider.unwrap(wrapped, TRIAL_CONTEXT)).equals(secret))
    throw new Error('it gives back another key than it was given')
}

async function judgeStored(
  provider: KeyProvider,
  stored: readonly ProjectKey[],
  what: string,
  keys: KeySettings,
): Promise<Finding> {
  let opened = 0
  const faults: string[] = []
  for (const key of stored) {
    if (key.state === 'destroyed') continue
    try {
      await provider.unwrap(key.wrapped, wrappingContext(ofInstallation(), key.id))
      opened++
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (key.state === 'current') return fault(CHECK, `the installation's key: ${why}`, remedyOf(keys))
      faults.push(`version ${key.version}: ${why}`)
    }
  }
  return faults.length === 0
    ? ok(CHECK, `${what} wraps and unwraps, and opens the installation's ${opened} ${opened === 1 ? 'key' : 'keys'}`)
    : warning(
        CHECK,
        `older keys of the installation are not opened: ${faults.slice(0, 2).join('; ')}`,
        'what they sealed and was not sealed anew is lost; see keys.rewrap in the failed jobs',
      )
}

function remedyOf(keys: KeySettings): string {
  return keys.kind === 'file'
    ? "bring the directory back as it was (docs/keys.md): of the process's user, 0700, files 0600"
    : 'see the way to the vault, the role of this identity (get, create, wrapKey, unwrapKey), and that the keys are enabled (docs/keys.md)'
}
