// The queue that `queue` and `quarantine` work on: the running relay's, over its socket, or the spool itself when no relay holds it.
import { existsSync } from 'node:fs'
import { createLog } from '../common/log.ts'
import { connectControl } from '../mta/admin/control-client.ts'
import { notedOperations } from '../mta/admin/noted-operations.ts'
import { queueAtRest } from '../mta/admin/queue-at-rest.ts'
import type { QueueOperations } from '../mta/admin/queue-operations.ts'
import { spoolOperations } from '../mta/admin/spool-operations.ts'
import { openJournal } from '../mta/journal/open-journal.ts'
import { loadMarkerKeys } from '../mta/marker-keys.ts'
import { loadSettings } from '../mta/settings.ts'
import { loadSpoolKey } from '../mta/spool/keys.ts'
import { openSpool } from '../mta/spool/spool.ts'
import { UnusableFile } from './command.ts'

/** @throws SettingsFault; SpoolUnusable, when a relay holds the spool but doesn't answer on its socket, or the key isn't the spool's */
export async function withQueue<T>(configFile: string, work: (queue: QueueOperations) => Promise<T>): Promise<T> {
  const settings = await loadSettings(configFile)
  const { spool, limits, log: logSettings } = settings
  const { directory, project } = spool
  const running = await connectControl(directory)
  if (running !== undefined) return work(running)
  // Looking must not make a spool, and a key for it, where the configuration only has a wrong path.
  if (!existsSync(directory))
    throw new UnusableFile(`there is no spool at ${directory}: no relay has run with this configuration`)

  const log = createLog({
    write: (line) => void process.stderr.write(line),
    level: logSettings.level === 'debug' ? 'debug' : 'warn',
    now: Date.now,
  })
  await using open = new AsyncDisposableStack()
  const { secret } = await loadMarkerKeys(settings.marker.file)
  const journal = openJournal(settings, { secret, log, now: Date.now })
  open.defer(() => journal.close())
  const opened = await openSpool({
    directory,
    rootKey: loadSpoolKey(spool.key.file, directory),
    project,
    limits,
    now: Date.now,
    log,
    quarantined: ({ queueId, reason }) => journal.mail({ kind: 'quarantined', queueId, reason }),
  })
  open.defer(() => opened.close())
  const operations = spoolOperations(opened, queueAtRest(opened, Date.now))
  return await work(notedOperations(operations, (event) => journal.mail(event)))
}
