// Named keys in a directory (0700), one file (0600) a version: the embedded default (KM-1). A file a version, rather than one file with all
// of them, because then a new version is one atomic link(2), which two processes can't both win, and destroying a key overwrites its
// blocks in place instead of leaving them behind in a replaced file.
// Keep its backups apart from those of the database: a project's deletion is final only when no copy of its files is left (KM-3). Overwriting
// reaches the blocks on plain file systems; on copy-on-write volumes and worn flash nobody can promise it, a key vault can.
import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { KEY_BYTES, keyFromBytes, unwrapKey, wrapKey } from '../../common/seal.ts'
import {
  checkPrivateDirectory,
  eraseFile,
  listFiles,
  openPrivateDirectory,
  putNewFile,
  readPrivateFile,
} from './key-files.ts'
import { KeyDestroyed, KeyUnusable, checkedKeyName } from './key-provider.ts'
import type { Destruction, KeyName, KeyProvider, KeyServiceHealth, WrappedKey } from './key-provider.ts'

const KEY_FORMAT = 'causeway-key/1'
const DIRECTORY_FORMAT = 'causeway-key-directory/1'
const DIRECTORY_FILE = 'directory.json'
const VERSION = /^[1-9]\d{0,8}$/

/**
 * Opens the directory, and makes it on the first run.
 * @param now  ms since the epoch, for the dates in the files
 * @throws KeyUnusable in words when others can enter the directory
 */
export async function openKeyDirectory(directory: string, now: () => number): Promise<KeyProvider> {
  await openPrivateDirectory(directory, now())
  const provider = new FileProvider(directory, await directoryId(directory, now()), now)
  await provider.finishDestroying()
  return provider
}

/**
 * The directory as it is: nothing is made in it, nothing finished, nothing cleared away.
 * @returns undefined when there is none, or nothing in it yet
 * @throws KeyUnusable in words when others can enter the directory
 */
export async function lookIntoKeyDirectory(directory: string, now: () => number): Promise<KeyProvider | undefined> {
  try {
    await checkPrivateDirectory(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  const id = await readDirectoryId(directory)
  return id === undefined ? undefined : new FileProvider(directory, id, now)
}

class FileProvider implements KeyProvider {
  readonly id: string
  readonly #directory: string
  readonly #now: () => number

  constructor(directory: string, id: string, now: () => number) {
    this.#directory = directory
    this.id = `file:${id}`
    this.#now = now
  }

  async create(key: KeyName): Promise<void> {
    const { living, highest, isDestroyed } = await this.#versions(key)
    if (isDestroyed) throw destroyed(key)
    if (living.length === 0) await this.#add(key, highest + 1)
  }

  async wrap(key: KeyName, secret: KeyObject, context: string): Promise<WrappedKey> {
    const version = String(await this.#newest(key))
    const wrapping = wrappingKey(await this.#read(key, version), key, context)
    return { provider: this.id, key, version, bytes: wrapKey(wrapping, secret) }
  }

  async unwrap({ provider, key, version, bytes }: WrappedKey, context: string): Promise<KeyObject> {
    if (provider !== this.id) throw new KeyUnusable(`wrapped by ${provider}, and this key directory is ${this.id}`)
    const { isDestroyed, marked } = await this.#versions(key)
    if (isDestroyed || marked.has(Number(checkedVersion(version)))) throw destroyed(key)
    const secret = unwrapKey(wrappingKey(await this.#read(key, version), key, context), bytes)
    if (secret === undefined) throw new KeyUnusable(`what is wrapped by ${key} was altered, or is of another place`)
    return secret
  }

  async rotate(key: KeyName): Promise<string> {
    await this.#newest(key)
    const { highest } = await this.#versions(key)
    // Where another process was faster, its new version is as good as ours.
    await this.#add(key, highest + 1)
    return String(await this.#newest(key))
  }

  async destroy(key: KeyName, version?: string): Promise<Destruction> {
    // The mark comes first: once it is durable nothing unwraps with the key, however far the rest gets.
    await putNewFile(this.#directory, markName(key, version), `${new Date(this.#now()).toISOString()}\n`)
    await this.#erase(key, version)
    return { kind: 'destroyed' }
  }

  async health(): Promise<KeyServiceHealth> {
    try {
      await checkPrivateDirectory(this.#directory)
      await access(this.#directory, constants.R_OK | constants.W_OK | constants.X_OK)
      return { isReady: true }
    } catch (error) {
      return { isReady: false, reason: error instanceof Error ? error.message : String(error) }
    }
  }

  close(): void {}

  /** Goes on with what a crash interrupted: keys that are marked as destroyed and whose files are still there. */
  async finishDestroying(): Promise<void> {
    for (const name of await listFiles(this.#directory)) {
      const [, key, version] = /^([a-z0-9-]+)(?:\.(\d+))?\.destroyed$/.exec(name) ?? []
      if (key !== undefined) await this.#erase(key, version)
    }
  }

  async #erase(key: KeyName, version?: string): Promise<void> {
    const doomed = version === undefined ? (await this.#versions(key)).all.map(String) : [version]
    for (const each of doomed) await eraseFile(this.#directory, keyFileName(key, each))
  }

  async #newest(key: KeyName): Promise<number> {
    const { living, isDestroyed, marked } = await this.#versions(key)
    if (isDestroyed) throw destroyed(key)
    const newest = living.at(-1)
    if (newest !== undefined) return newest
    throw marked.size > 0 ? destroyed(key) : missing(key)
  }

  /** What the directory says of a key; versions ascend. */
  async #versions(key: KeyName) {
    const prefix = `${checkedKeyName(key)}.`
    const names = (await listFiles(this.#directory)).filter((name) => name.startsWith(prefix))
    const numbered = (ending: string): number[] =>
      names
        .filter((name) => name.endsWith(ending))
        .map((name) => name.slice(prefix.length, -ending.length))
        .filter((version) => VERSION.test(version))
        .map(Number)
        .toSorted((a, b) => a - b)
    const all = numbered('.key')
    const marked = new Set(numbered('.destroyed'))
    return {
      all,
      marked,
      isDestroyed: names.includes(markName(key)),
      living: all.filter((version) => !marked.has(version)),
      /** Of those that are or were: a number is used once. */
      highest: Math.max(0, ...all, ...marked),
    }
  }

  async #add(key: KeyName, version: number): Promise<void> {
    const secret = randomBytes(KEY_BYTES)
    const file = {
      format: KEY_FORMAT,
      name: key,
      version,
      created: new Date(this.#now()).toISOString(),
      key: secret.toString('base64url'),
      check: checkOf(secret),
    }
    await putNewFile(this.#directory, keyFileName(key, String(version)), `${JSON.stringify(file)}\n`)
  }

  async #read(key: KeyName, version: string): Promise<KeyObject> {
    const name = keyFileName(key, version)
    const text = await readPrivateFile(this.#directory, name)
    if (text === undefined) throw missing(key)
    const { secret, fault } = parseKeyFile(text, key, version)
    if (secret === undefined) throw new KeyUnusable(`${name} in the key directory is damaged: ${fault}`)
    return secret
  }
}

/** AES-KW knows no associated data (RFC 3394), so the context goes into the key that wraps. */
function wrappingKey(root: KeyObject, key: KeyName, context: string): KeyObject {
  const info = `causeway-key-wrap/1 ${key} ${context}`
  return keyFromBytes(new Uint8Array(hkdfSync('sha256', root, new Uint8Array(), info, KEY_BYTES)))
}

function parseKeyFile(text: string, key: KeyName, version: string): { secret?: KeyObject; fault?: string } {
  let file: Record<string, unknown> | null
  try {
    file = JSON.parse(text) as Record<string, unknown> | null
  } catch {
    return { fault: 'no JSON' } // the parser's own message would quote the key
  }
  if (file === null) return { fault: 'no JSON object' }
  if (file['format'] !== KEY_FORMAT) return { fault: `no ${KEY_FORMAT}` }
  if (file['name'] !== key || String(file['version']) !== version) return { fault: 'it is the file of another key' }
  const bytes = Buffer.from(typeof file['key'] === 'string' ? file['key'] : '', 'base64url')
  if (bytes.length !== KEY_BYTES || file['check'] !== checkOf(bytes)) return { fault: 'the key does not fit its check' }
  return { secret: keyFromBytes(bytes) }
}

/** Tells a damaged file from a wrong one. Eight octets of a hash of 256 random bits say nothing about them. */
const checkOf = (secret: Uint8Array): string => createHash('sha256').update(secret).digest('hex').slice(0, 16)

async function directoryId(directory: string, nowMs: number): Promise<string> {
  const known = await readDirectoryId(directory)
  if (known !== undefined) return known
  const fresh = {
    format: DIRECTORY_FORMAT,
    id: randomBytes(16).toString('hex'),
    created: new Date(nowMs).toISOString(),
  }
  await putNewFile(directory, DIRECTORY_FILE, `${JSON.stringify(fresh)}\n`)
  const made = await readDirectoryId(directory) // another process may have been first
  if (made === undefined) throw new KeyUnusable(`${DIRECTORY_FILE} in the key directory is gone again`)
  return made
}

/** undefined: nothing is there yet. */
async function readDirectoryId(directory: string): Promise<string | undefined> {
  const text = await readPrivateFile(directory, DIRECTORY_FILE)
  if (text === undefined) return undefined
  const id = /"id":"([0-9a-f]{32})"/.exec(text)?.[1]
  if (id === undefined) throw new KeyUnusable(`${DIRECTORY_FILE} in the key directory is damaged`)
  return id
}

const destroyed = (key: KeyName) => new KeyDestroyed(`${key} was destroyed`)
const missing = (key: KeyName) =>
  new KeyUnusable(`${key} is missing in the key directory: was the database restored without its keys?`)

const keyFileName = (key: KeyName, version: string): string => `${checkedKeyName(key)}.${checkedVersion(version)}.key`
const markName = (key: KeyName, version?: string): string =>
  version === undefined
    ? `${checkedKeyName(key)}.destroyed`
    : `${checkedKeyName(key)}.${checkedVersion(version)}.destroyed`

function checkedVersion(version: string): string {
  if (!VERSION.test(version)) throw new KeyUnusable('not a version of a key in a directory')
  return version
}
