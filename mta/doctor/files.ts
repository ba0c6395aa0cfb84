// Who may read and write the files of a relay. (OP-5, SF-7, KM-1)
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { observeFile } from '../../common/doctor/files.ts'
import type { FileFacts } from '../../common/doctor/files.ts'
import { fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'

/** - `secret`: nobody but its owner may read it; - `trusted`: nobody but its owner may write it */
export type FileUse = 'secret' | 'trusted'

/** @param owner  whose files they should be: the spool's; undefined where there is none yet */
export function judgeFile(
  check: string,
  path: string,
  use: FileUse,
  facts: FileFacts,
  owner: number | undefined,
): Finding {
  if (facts.kind === 'missing') return ok(check, `${path} is not there yet: the relay makes it`)
  if (facts.kind === 'unreadable')
    return fault(check, `${path} can't be looked at (${facts.code})`, 'run this command as the user of the relay')
  const { mode, uid } = facts
  const shown = `${path} is ${(mode & 0o777).toString(8).padStart(4, '0')}, of user ${uid}`
  if (use === 'secret' && (mode & 0o077) !== 0)
    return fault(check, `${shown}: others can read it`, `chmod ${(mode & 0o700).toString(8)} ${path}`)
  if (use === 'trusted' && (mode & 0o022) !== 0)
    return fault(check, `${shown}: others can change it`, `chmod go-w ${path}`)
  if (owner !== undefined && use === 'secret' && uid !== owner)
    return warning(
      check,
      `${shown}, and the spool of user ${owner}`,
      `chown ${owner} ${path}, or run the relay as one user`,
    )
  return ok(check, shown)
}

export interface SpoolFilesFacts {
  readonly looked: number
  /** Relative to the spool: of another mode than 0600 or 0700, or of another owner than the spool. */
  readonly open: readonly string[]
  readonly foreign: readonly string[]
  readonly newestMs: number | undefined
}

export function judgeSpoolFiles({ looked, open, foreign }: SpoolFilesFacts, directory: string): Finding {
  if (open.length > 0)
    return fault(
      'spool-files',
      `${open.length} of ${looked} files can be reached by others: ${open.slice(0, 3).join(', ')}`,
      `chmod -R go-rwx ${directory}`,
    )
  if (foreign.length > 0)
    return warning(
      'spool-files',
      `${foreign.length} of ${looked} files have another owner than the spool: ${foreign.slice(0, 3).join(', ')}`,
      `chown -R --reference=${directory} ${directory}`,
    )
  return ok('spool-files', `${looked} files, none of which others can reach`)
}

/** A list of ranges, certificates or the like that somebody should renew. */
export function judgeFileAge(check: string, path: string, facts: FileFacts, now: number, maxAgeMs: number): Finding {
  if (facts.kind !== 'there')
    return fault(check, `${path} can't be read`, 'see that it is there, for the user of the relay')
  const days = Math.floor((now - facts.modifiedAt) / 86_400_000)
  return now - facts.modifiedAt > maxAgeMs
    ? warning(check, `${path} is ${days} days old`, 'compare it with its source, and write it again')
    : ok(check, `${path} is ${days} days old`)
}

/** A spool can hold more files than anybody wants to wait for. */
const MAX_LOOKED = 10_000

export async function observeSpoolFiles(directory: string, owner: number): Promise<SpoolFilesFacts> {
  const [open, foreign]: string[][] = [[], []]
  let looked = 0
  let newestMs: number | undefined
  const visit = async (folder: string): Promise<void> => {
    for await (const entry of await opendir(join(directory, folder))) {
      if (looked >= MAX_LOOKED) return
      const name = join(folder, entry.name)
      const facts = await observeFile(join(directory, name))
      if (facts.kind !== 'there') continue // gone meanwhile
      looked++
      if ((facts.mode & 0o077) !== 0) open?.push(name)
      if (facts.uid !== owner) foreign?.push(name)
      newestMs = Math.max(newestMs ?? 0, facts.modifiedAt)
      if (entry.isDirectory()) await visit(name)
    }
  }
  await visit('.')
  return { looked, open: open ?? [], foreign: foreign ?? [], newestMs }
}
