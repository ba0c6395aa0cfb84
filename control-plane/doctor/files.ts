// Files and folders that the control plane keeps or is told secrets by: who may read them, whether they can be written, what room there is. (OP-5,
// KM-1, KM-5, AU-3)
import { access, constants, readdir, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { observeFile } from '../../common/doctor/files.ts'
import type { FileFacts } from '../../common/doctor/files.ts'
import { codeOf, fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import { certificateFiles } from '../monitoring/certificate-figures.ts'
import { SETTINGS } from '../settings.ts'
import type { Settings } from '../settings.ts'

type Environment = Readonly<Record<string, string | undefined>>

export async function examineFiles(settings: Settings, env: Environment): Promise<Finding[]> {
  const { keys, auditExportDirectory, mode } = settings
  return [
    ...(keys.kind === 'file' ? await examineKeyDirectory(keys.directory) : []),
    await examineSecretFiles(secretFiles(settings, env)),
    ...(auditExportDirectory === undefined ? [] : [await examineAuditDirectory(auditExportDirectory)]),
    ...(auditExportDirectory === undefined && settings.auditExportUrl === undefined && mode === 'production'
      ? [
          warning(
            'audit-directory',
            'checkpoints of the audit trail are kept in the database alone: whoever can change it can change them (AU-3)',
            'set AUDIT_EXPORT_DIRECTORY to write-once storage, or AUDIT_EXPORT_URL',
          ),
        ]
      : []),
    ...(await Promise.all(
      [keys.kind === 'file' ? keys.directory : undefined, auditExportDirectory]
        .filter((directory) => directory !== undefined)
        .map(examineRoom),
    )),
  ]
}

async function examineKeyDirectory(directory: string): Promise<Finding[]> {
  const found = await observeFile(directory)
  const finding = judgePrivate('key-directory', directory, found)
  if (found.kind !== 'there') return [finding]
  const names = await readdir(directory).catch(() => [])
  const files = await Promise.all(
    names.map(async (name): Promise<[string, FileFacts]> => [name, await observeFile(join(directory, name))]),
  )
  return [finding, judgeKeyFiles(directory, found.uid, new Map(files))]
}

export function judgePrivate(check: string, path: string, facts: FileFacts): Finding {
  if (facts.kind === 'missing') return ok(check, `${path} is not there yet: the api makes it`)
  if (facts.kind === 'unreadable')
    return fault(check, `${path} can't be looked at (${facts.code})`, 'run this command as the user of api and worker')
  const shown = `${path} is ${octal(facts.mode)}, of user ${facts.uid}`
  return (facts.mode & 0o077) === 0
    ? ok(check, shown)
    : fault(check, `${shown}: others can enter it; api and worker refuse to start`, `chmod 0700 ${path}`)
}

export function judgeKeyFiles(directory: string, owner: number, files: ReadonlyMap<string, FileFacts>): Finding {
  const there = [...files].flatMap(([name, facts]) => (facts.kind === 'there' ? [{ name, ...facts }] : []))
  const open = there.filter(({ mode }) => (mode & 0o077) !== 0)
  if (open.length > 0)
    return fault(
      'key-files',
      `${open.length} of ${there.length} can be read by others: ${firstOf(open)}`,
      `chmod 0600 ${join(directory, '*')}`,
    )
  const foreign = there.filter(({ uid }) => uid !== owner)
  return foreign.length > 0
    ? fault(
        'key-files',
        `${foreign.length} of ${there.length} are of another user than the directory: ${firstOf(foreign)}`,
        `chown -R --reference=${directory} ${directory}`,
      )
    : ok('key-files', `${there.length} files, none of which others can read`)
}

/** Files that hold a secret: private keys, and values of settings that come from a file. */
export function secretFiles(settings: Pick<Settings, 'tls' | 'entra' | 'keys'>, env: Environment): string[] {
  const named = SETTINGS.filter(({ holdsSecret }) => holdsSecret !== undefined).flatMap(
    ({ name }) => env[`${name}_FILE`] ?? [],
  )
  const keys = certificateFiles(settings).map(({ file, keyFile }) => keyFile ?? file)
  return [...new Set([...named, ...keys])]
}

async function examineSecretFiles(paths: readonly string[]): Promise<Finding> {
  const found = await Promise.all(paths.map(async (path) => ({ path, facts: await observeFile(path) })))
  return judgeSecretFiles(found)
}

/** Orchestrators mount secrets for a group, so that a group may read them; changing them is another matter. */
export function judgeSecretFiles(files: readonly { readonly path: string; readonly facts: FileFacts }[]): Finding {
  const changeable = files.filter(({ facts }) => facts.kind === 'there' && (facts.mode & 0o022) !== 0)
  if (changeable.length > 0)
    return fault('secret-files', `others can change ${pathsOf(changeable)}`, `chmod go-w ${pathsOf(changeable, ' ')}`)
  const readable = files.filter(({ facts }) => facts.kind === 'there' && (facts.mode & 0o004) !== 0)
  return readable.length > 0
    ? warning(
        'secret-files',
        `everybody on this machine can read ${pathsOf(readable)}`,
        `chmod o-r ${pathsOf(readable, ' ')}, unless the folder above keeps others out`,
      )
    : ok(
        'secret-files',
        files.length === 0 ? 'the settings name none' : `${files.length} files that not everybody can read`,
      )
}

async function examineAuditDirectory(directory: string): Promise<Finding> {
  const check = 'audit-directory'
  try {
    await access(directory, constants.W_OK | constants.X_OK)
    return ok(check, `${directory} can be written`)
  } catch (error) {
    const code = codeOf(error)
    if (code !== 'ENOENT')
      return fault(check, `${directory} can't be written (${code})`, 'let the user of the worker add files to it')
    const isMakable = await access(dirname(directory), constants.W_OK | constants.X_OK).then(
      () => true,
      () => false,
    )
    return isMakable
      ? ok(check, `${directory} is not there yet: the worker makes it`)
      : fault(check, `${directory} is not there, and can't be made`, 'make it, for the user of the worker')
  }
}

const SCARCE = 0.05

async function examineRoom(directory: string): Promise<Finding> {
  // Not there yet: it will be on the volume of what is above it.
  for (let path = directory; ; path = dirname(path)) {
    const space = await statfs(path).catch(() => undefined)
    if (space === undefined && path !== dirname(path)) continue
    if (space === undefined) return fault('disk', `nobody can tell the room for ${directory}`, 'see that it is mounted')
    return judgeRoom(directory, { free: space.bavail * space.bsize, total: space.blocks * space.bsize })
  }
}

export function judgeRoom(directory: string, { free, total }: { free: number; total: number }): Finding {
  const says = `${Math.floor(free / 2 ** 20)} MiB (${Math.floor((free / total) * 100)} %) free for ${directory}`
  const todo = 'free space on its volume: a key that can not be written is not made, and a checkpoint not exported'
  if (free < 2 ** 20) return fault('disk', says, todo)
  return free / total < SCARCE ? warning('disk', says, todo) : ok('disk', says)
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0')
const firstOf = (files: readonly { readonly name: string }[]): string =>
  files
    .slice(0, 3)
    .map(({ name }) => name)
    .join(', ')
const pathsOf = (files: readonly { readonly path: string }[], separator = ', '): string =>
  files.map(({ path }) => path).join(separator)
