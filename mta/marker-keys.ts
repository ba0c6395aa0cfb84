// The secrets of the marker that delivered mail carries (R76, DL-10): made once, beside the spool key, so that every relay marks. All relays
// of a project share one file; while token or secret are being replaced, the previous one is still known.
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SettingsFault } from './settings-fault.ts'

export interface MarkerKeys {
  /** Written into new markers; mail flow rules match it. */
  readonly token: string
  readonly secret: string
  /** All that are valid on arrival: the ones above, then the previous ones. */
  readonly tokens: readonly string[]
  readonly secrets: readonly string[]
}

const FORMAT = 'causeway-marker/1'
/** One word for a mail flow rule: letters and digits only, so that it isn't split. */
const TOKEN = /^[A-Za-z0-9]{16,64}$/
const SECRET = /^[\x21-\x7e]{32,256}$/
const KEYS = ['format', 'token', 'secret', 'previousToken', 'previousSecret']

/**
 * Reads the file; makes it, 0600, when it is missing.
 * @throws SettingsFault when it can't be used
 */
export async function loadMarkerKeys(file: string): Promise<MarkerKeys> {
  const text = (await readIfThere(file)) ?? (await make(file))
  return parseMarkerKeys(file, text)
}

/** @throws SettingsFault; no secret is in its text */
export function parseMarkerKeys(file: string, text: string): MarkerKeys {
  const fault = (path: string, rule: string, cause?: unknown) =>
    new SettingsFault([{ file, path, value: '', rule }], { cause })
  const written = parseObject(text, (cause) => fault('', 'is not a JSON object', cause))
  for (const key of written.keys())
    if (!KEYS.includes(key)) throw fault(key, `unknown key; known here: ${KEYS.join(', ')}`)
  const member = (key: string, pattern: RegExp, rule: string) => {
    const value = written.get(key)
    if (typeof value === 'string' && pattern.test(value)) return value
    throw fault(key, `must be ${rule}`)
  }
  const tokenOf = (key: string) => member(key, TOKEN, '16 to 64 letters and digits')
  const secretOf = (key: string) => member(key, SECRET, '32 to 256 printable characters')
  if (written.get('format') !== FORMAT) throw fault('format', `must be ${FORMAT}`)
  const [token, secret] = [tokenOf('token'), secretOf('secret')]
  return {
    token,
    secret,
    tokens: written.has('previousToken') ? [token, tokenOf('previousToken')] : [token],
    secrets: written.has('previousSecret') ? [secret, secretOf('previousSecret')] : [secret],
  }
}

function parseObject(text: string, fault: (cause: unknown) => SettingsFault): Map<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return new Map(Object.entries(value))
  } catch (cause) {
    throw fault(cause)
  }
  throw fault(undefined)
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new SettingsFault([{ file, path: '', value: '', rule: "can't be read" }], { cause })
  }
}

/** Whole or not at all, and never over one that another relay made meanwhile. */
async function make(file: string): Promise<string> {
  const keys = { format: FORMAT, token: randomBytes(16).toString('hex'), secret: randomBytes(32).toString('base64url') }
  const unfinished = `${file}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeSynced(unfinished, `${JSON.stringify(keys, null, 2)}\n`)
    await link(unfinished, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    await using directory = await open(dirname(file), 'r')
    await directory.sync()
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new SettingsFault([{ file, path: '', value: '', rule: "is missing and can't be made" }], { cause })
  } finally {
    await rm(unfinished, { force: true })
  }
}

async function writeSynced(file: string, text: string): Promise<void> {
  await using handle = await open(file, 'wx', 0o600)
  await handle.writeFile(text)
  await handle.sync()
}
