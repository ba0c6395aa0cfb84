// `quarantine`: entries that were damaged on disk, or at whose delivery the process died again and again (SF-4, DU-8).
import { DONE, FAILED, needed, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { withQueue } from './spool-access.ts'
import type { QueueOperations } from '../mta/admin/queue-operations.ts'

export const quarantine: Command = {
  help: `Usage: causeway quarantine list|export|remove [ID…] --config FILE [--json]

  list          what is in quarantine, and why
  export ID     writes the message, as far as it can be read, to standard output
  remove ID…    forgets entries for good

  --config FILE   the relay's configuration; it names the spool
  --json          the list as JSON

Exit code 1: an entry that was named is not in quarantine.`,

  async run([action, ...args]) {
    const { values, positionals } = parseOptions(args, { config: { type: 'string' }, json: { type: 'boolean' } })
    const config = () => needed(values.config, '--config FILE')
    switch (action) {
      case 'list':
        if (positionals.length > 0) throw new UsageError('quarantine list takes no IDs')
        return withQueue(config(), (queue) => list(queue, values.json === true))
      case 'export': {
        const [id, ...rest] = positionals
        if (id === undefined || rest.length > 0) throw new UsageError('quarantine export takes one ID')
        return withQueue(config(), (queue) => exportEntry(queue, id))
      }
      case 'remove':
        if (positionals.length === 0) throw new UsageError('quarantine remove takes IDs')
        return withQueue(config(), (queue) => remove(queue, positionals))
      default:
        throw new UsageError('quarantine list|export|remove [ID…] --config FILE')
    }
  },
}

async function list({ quarantine: held }: QueueOperations, asJson: boolean): Promise<number> {
  const entries = await held.list()
  if (asJson) await print(`${JSON.stringify(entries, null, 2)}\n`)
  else if (entries.length === 0) say('nothing is in quarantine')
  else {
    for (const { queueId, reason, at, sizeBytes, detail } of entries) {
      await print(
        `${queueId.padEnd(16)}  ${new Date(at).toISOString().replace(/\.\d+Z$/, 'Z')}  ${reason.padEnd(7)}  ${String(sizeBytes).padStart(11)}  ${detail}\n`,
      )
    }
  }
  return DONE
}

async function exportEntry({ quarantine: held }: QueueOperations, id: string): Promise<number> {
  const bytes = await held.export(id)
  if (bytes === undefined) {
    say(`${id} is not in quarantine`)
    return FAILED
  }
  await print(bytes)
  return DONE
}

async function remove({ quarantine: held }: QueueOperations, ids: readonly string[]): Promise<number> {
  let missing = 0
  for (const id of ids) {
    if (await held.remove(id)) continue
    say(`${id} is not in quarantine`)
    missing++
  }
  say(`${ids.length - missing} removed`)
  return missing === 0 ? DONE : FAILED
}
