// The queue that `queue` and `quarantine` work on: the running relay's, over its socket, or the spool itself when no relay holds it; of a relay
// with several workers each part of the spool in its own way.
import { existsSync } from 'node:fs'
import { createLog } from '../common/log.ts'
import type { Log } from '../common/log.ts'
import { connectControl } from '../mta/admin/control-client.ts'
import { notedOperations } from '../mta/admin/noted-operations.ts'
import { queueAtRest } from '../mta/admin/queue-at-rest.ts'
import type { QueueOperations } from '../mta/admin/queue-operations.ts'
import { overAll } from '../mta/admin/several-spools.ts'
import { spoolOperations } from '../mta/admin/spool-operations.ts'
import { withKeptProject } from '../mta/enrolment/enrolled-settings.ts'
import { openJournal } from '../mta/journal/open-journal.ts'
import { loadMarkerKeys } from '../mta/marker-keys.ts'
import { NO_TAGS, tagsOf } from '../mta/privacy.ts'
import type { Tags } from '../mta/privacy.ts'
import { loadSettings } from '../mta/settings.ts'
import type { Settings } from '../mta/settings.ts'
import { loadSpoolKey } from '../mta/spool/keys.ts'
import { openSpool } from '../mta/spool/spool.ts'
import { findSpools } from '../mta/workers/partitions.ts'
import { UnusableFile } from './command.ts'

/** @throws SettingsFault; SpoolUnusable, when a relay holds the spool but doesn't answer on its socket, or the key isn't the spool's */
export async function withQueue<T>(configFile: string, work: (queue: QueueOperations) => Promise<T>): Promise<T> {
  const settings = await loadSettings(configFile)
  const { directory } = settings.spool
  const log = createLog({
    write: (line) => void process.stderr.write(line),
    level: settings.log.level === 'debug' ? 'debug' : 'warn',
    now: Date.now,
  })
  await using opened = new AsyncDisposableStack()
  const parts: QueueOperations[] = []
  const spools = findSpools(directory)
  for (const spool of spools.length > 0 ? spools : [directory]) {
    parts.push((await connectControl(spool)) ?? (await openAtRest(spool, settings, log, opened)))
  }
  return await work(overAll(parts))
}

async function openAtRest(
  directory: string,
  settings: Settings,
  log: Log,
  opened: AsyncDisposableStack,
): Promise<QueueOperations> {
  // Looking must not make a spool, and a key for it, where the configuration only has a wrong path.
  if (!existsSync(directory))
    throw new UnusableFile(`there is no spool at ${directory}: no relay has run with this configuration`)
  const { key, directory: whole, project } = (await withKeptProject(settings)).spool
  const { limits } = settings
  const journal = openJournal(settings, directory, { tags: await tagsFor(settings), log, now: Date.now })
  opened.defer(() => journal.close())
  const spool = await openSpool({
    directory,
    rootKey: loadSpoolKey(key.file, whole),
    project,
    limits,
    now: Date.now,
    log,
    quarantined: ({ queueId, reason }) => journal.mail({ kind: 'quarantined', queueId, reason }),
  })
  opened.defer(() => spool.close())
  const operations = spoolOperations(spool, queueAtRest(spool, Date.now))
  return notedOperations(operations, (event) => journal.mail(event))
}

/** What is noted of a spool at rest names no address; what a control plane allows isn't known here. */
async function tagsFor({ controlPlane, marker, privacy }: Settings): Promise<Tags> {
  return controlPlane === undefined ? tagsOf(privacy, (await loadMarkerKeys(marker.file)).secret) : NO_TAGS
}
