// Keys of one spool (KM-1, SF-2): the root key from its file wraps project keys in the file `keys`; every message, segment and file
// has a key of its own, derived from the current project key and a random salt. Each record names the project key it was made with,
// so that a new one can be added beside the old (KM-2).
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { KEY_BYTES, SALT_BYTES, deriveKey, keyFromBytes, unwrapKey, wrapKey } from '../../common/seal.ts'
import { SpoolUnusable } from './contract.ts'
import type { Disk } from './disk.ts'
import { projectDigest } from './format.ts'

const KEYS_FILE = 'keys'
const KEYS_FORMAT = 'causeway-spool-keys/'
const KEYS_VERSION = 1
/** Random bytes are drawn for this many salts at once: a call for each costs five times as much. */
const SALTS_AT_ONCE = 128

/**
 * The root key: 64 hexadecimal digits in a file, made (0600) when it is missing and the spool holds nothing yet.
 * @param spoolDirectory  the configured one: parts of it that workers hold count as the spool
 * @throws SpoolUnusable when it is missing beside a spool in use, or is no key
 */
export function loadSpoolKey(file: string, spoolDirectory: string): Buffer {
  const text = readText(file) ?? makeRootKey(file, spoolDirectory)
  const key = Buffer.from(text.trim(), 'hex')
  if (!/^[0-9a-f]{64}\s*$/i.test(text) || key.length !== KEY_BYTES) {
    throw new SpoolUnusable(`${file} holds no spool key: 64 hexadecimal digits are expected`)
  }
  return key
}

function makeRootKey(file: string, spoolDirectory: string): string {
  if (isInUse(spoolDirectory)) {
    throw new SpoolUnusable(`the spool key ${file} is missing, and ${spoolDirectory} holds mail sealed with it`)
  }
  const text = `${randomBytes(KEY_BYTES).toString('hex')}\n`
  try {
    // Under another name first: a crash must not leave a file that is there and holds no key.
    const temporary = `${file}.new`
    fs.rmSync(temporary, { force: true })
    const fd = fs.openSync(temporary, 'wx', 0o600)
    fs.writeSync(fd, text)
    fs.fsyncSync(fd)
    fs.closeSync(fd)
    fs.linkSync(temporary, file)
    fs.unlinkSync(temporary)
    const directory = fs.openSync(dirname(file), 'r')
    fs.fsyncSync(directory)
    fs.closeSync(directory)
  } catch (cause) {
    throw new SpoolUnusable(`the spool key ${file} can't be made`, { cause })
  }
  return text
}

function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'latin1')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new SpoolUnusable(`the spool key ${file} can't be read`, { cause })
  }
}

function isInUse(spoolDirectory: string): boolean {
  if (!fs.existsSync(spoolDirectory)) return false
  return fs
    .readdirSync(spoolDirectory)
    .some(
      (name) =>
        name === KEYS_FILE ||
        name.startsWith('segment-') ||
        (name.startsWith('worker-') && isInUse(join(spoolDirectory, name))),
    )
}

export class KeyRing {
  readonly project: Buffer
  readonly currentId: number
  readonly #projectKeys: ReadonlyMap<number, KeyObject>
  readonly #messageInfo: Buffer
  readonly #segmentInfo: Buffer
  readonly #largeInfo: Buffer
  readonly #manifestInfo: Buffer
  #salts = Buffer.alloc(0)

  constructor(project: string, projectKeys: ReadonlyMap<number, KeyObject>, currentId: number) {
    this.project = projectDigest(project)
    this.currentId = currentId
    this.#projectKeys = projectKeys
    const info = (purpose: string) => Buffer.from(`causeway spool ${purpose} 1\0${project}`)
    this.#messageInfo = info('message')
    this.#segmentInfo = info('segment')
    this.#largeInfo = info('large')
    this.#manifestInfo = info('manifest')
  }

  /** 32 random bytes, never handed out twice. */
  newSalt(): Buffer {
    if (this.#salts.length === 0) this.#salts = randomBytes(SALT_BYTES * SALTS_AT_ONCE)
    const salt = this.#salts.subarray(0, SALT_BYTES)
    this.#salts = this.#salts.subarray(SALT_BYTES)
    return salt
  }

  /** Each is undefined when there is no project key of that id. */
  messageKey(keyId: number, salt: Uint8Array): KeyObject | undefined {
    return this.#derive(keyId, salt, this.#messageInfo)
  }

  segmentKey(keyId: number, salt: Uint8Array): KeyObject | undefined {
    return this.#derive(keyId, salt, this.#segmentInfo)
  }

  largeKey(keyId: number, salt: Uint8Array): KeyObject | undefined {
    return this.#derive(keyId, salt, this.#largeInfo)
  }

  manifestKey(keyId: number, salt: Uint8Array): KeyObject | undefined {
    return this.#derive(keyId, salt, this.#manifestInfo)
  }

  #derive(keyId: number, salt: Uint8Array, info: Buffer): KeyObject | undefined {
    const projectKey = this.#projectKeys.get(keyId)
    return projectKey === undefined ? undefined : deriveKey(projectKey, salt, info)
  }
}

/** Throws SpoolUnusable when the keys file is of a later version; touches nothing. */
export async function refuseNewerKeys(disk: Disk): Promise<void> {
  const format = /"format":"causeway-spool-keys\/(\d{1,9})"/.exec(
    (await disk.readWhole(KEYS_FILE))?.toString('latin1') ?? '',
  )
  if (Number(format?.[1]) > KEYS_VERSION)
    throw new SpoolUnusable('the spool was written by a newer version of causeway')
}

/**
 * Reads the project keys, or makes the first one in an empty spool.
 * @throws SpoolUnusable when the root key or the project is another one, or the file is damaged or missing
 */
export async function openKeyRing(disk: Disk, rootKey: Buffer, project: string, isEmpty: boolean): Promise<KeyRing> {
  const root = keyFromBytes(rootKey)
  const bytes = await disk.readWhole(KEYS_FILE)
  if (bytes !== undefined) return readKeyRing(bytes, root, project)
  if (!isEmpty)
    throw new SpoolUnusable('the spool holds mail, but its file `keys` is missing: restore it from the backup')
  const key = keyFromBytes(randomBytes(KEY_BYTES))
  const json = JSON.stringify({
    format: `${KEYS_FORMAT}${KEYS_VERSION}`,
    project,
    current: 1,
    keys: [{ id: 1, algorithm: 'AES-KW', wrapped: wrapKey(root, key).toString('hex') }],
  })
  await disk.replace(KEYS_FILE, [Buffer.from(`${json}\n${keysMac(root, json)}\n`)])
  return new KeyRing(project, new Map([[1, key]]), 1)
}

function readKeyRing(bytes: Buffer, root: KeyObject, project: string): KeyRing {
  const [json = '', mac = '', end, ...more] = bytes.toString('utf8').split('\n')
  const expected = Buffer.from(keysMac(root, json))
  const found = Buffer.from(mac)
  if (end !== '' || more.length > 0 || found.length !== expected.length || !timingSafeEqual(found, expected)) {
    throw new SpoolUnusable('the spool key is not the one this spool was made with, or its file `keys` is damaged')
  }
  const parsed = parseKeys(JSON.parse(json))
  if (parsed.project !== project) {
    throw new SpoolUnusable(
      `the spool belongs to project ${JSON.stringify(parsed.project)}, not ${JSON.stringify(project)}`,
    )
  }
  const keys = new Map<number, KeyObject>()
  for (const { id, wrapped } of parsed.keys) {
    const key = unwrapKey(root, wrapped)
    if (key === undefined) throw new SpoolUnusable(`project key ${id} of the spool can't be unwrapped`)
    keys.set(id, key)
  }
  if (!keys.has(parsed.current)) throw new SpoolUnusable('the spool has no current project key')
  return new KeyRing(project, keys, parsed.current)
}

/** HMAC-SHA-256 over the file's first line: AES-KW guards the keys, but not which is whose. */
function keysMac(root: KeyObject, json: string): string {
  return createHmac('sha256', deriveKey(root, Buffer.alloc(0), 'causeway spool keys file 1'))
    .update(json)
    .digest('hex')
}

interface ParsedKeys {
  readonly project: string
  readonly current: number
  readonly keys: readonly { id: number; wrapped: Buffer }[]
}

/** The MAC has been checked: what doesn't fit here was written so by another version. */
function parseKeys(json: unknown): ParsedKeys {
  const file = json as { format?: unknown; project?: unknown; current?: unknown; keys?: unknown }
  if (file.format !== `${KEYS_FORMAT}${KEYS_VERSION}`) throw new SpoolUnusable('the file `keys` has an unknown format')
  if (typeof file.project !== 'string' || typeof file.current !== 'number' || !Array.isArray(file.keys)) {
    throw new SpoolUnusable('the file `keys` has an unknown form')
  }
  const keys = file.keys.map((entry: { id?: unknown; algorithm?: unknown; wrapped?: unknown }) => {
    if (typeof entry.id !== 'number' || entry.algorithm !== 'AES-KW' || typeof entry.wrapped !== 'string') {
      throw new SpoolUnusable('the file `keys` holds a key of an unknown form')
    }
    return { id: entry.id, wrapped: Buffer.from(entry.wrapped, 'hex') }
  })
  return { project: file.project, current: file.current, keys }
}
