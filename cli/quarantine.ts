// `quarantine`: entries that were damaged on disk, or at whose delivery the process died again and again (SF-4, DU-8).
import { mkdir, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { QueueOperations } from '../mta/admin/queue-operations.ts'
import { DONE, FAILED, needed, parseOptions, print, printable, say, UnusableFile, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { withQueue } from './spool-access.ts'
import { timeText } from './when.ts'

export const quarantine: Command = {
  help: `Usage: causeway quarantine list|export|remove [ID… | --all] --config FILE [--json]

  list                     what is in quarantine, and why
  export ID                writes the message, as far as it can be read, to standard output
  export ID --output FILE  writes it to a new file, 0600
  export ID… --directory D writes each to a new file ID.eml, 0600, in a directory (made, 0700, when missing)
  remove ID…               forgets entries for good

  --config FILE   the relay's configuration; it names the spool
  --all           every entry, in place of IDs; \`export\` needs --directory then
  --json          the list, or what was exported or removed, as JSON

An exported message is what the relay would have sent: rewritten header block and body, in clear. Of a damaged entry it may be a part, and
nothing vouches for it: read it, send it on by hand if it is whole. Files that are there are never written over. Exit code 1: an entry that
was named is not in quarantine, or nothing of it can be read.`,

  async run([action, ...args]) {
    const { values, positionals } = parseOptions(args, {
      config: { type: 'string' },
      output: { type: 'string' },
      directory: { type: 'string' },
      all: { type: 'boolean' },
      json: { type: 'boolean' },
    })
    const config = () => needed(values.config, '--config FILE')
    const { all = false, json: asJson = false, output, directory } = values
    const isNamed = positionals.length > 0
    if (action !== 'export' && (output !== undefined || directory !== undefined))
      throw new UsageError('--output and --directory go with quarantine export')
    const idsIn = async (queue: QueueOperations) =>
      all ? (await queue.quarantine.list()).map(({ queueId }) => queueId) : positionals
    switch (action) {
      case 'list':
        if (isNamed || all) throw new UsageError('quarantine list takes no IDs')
        return withQueue(config(), (queue) => list(queue, asJson))
      case 'export': {
        const [id] = positionals
        if (directory !== undefined) {
          if (isNamed === all || output !== undefined)
            throw new UsageError('quarantine export --directory takes either IDs or --all')
          return withQueue(config(), async (queue) => exportAll(queue, await idsIn(queue), directory, asJson))
        }
        if (id === undefined || positionals.length > 1 || all || asJson)
          throw new UsageError('quarantine export takes one ID; several, --all and --json go with --directory')
        return withQueue(config(), (queue) => exportOne(queue, id, output))
      }
      case 'remove':
        if (isNamed === all) throw new UsageError('quarantine remove takes either IDs or --all')
        return withQueue(config(), async (queue) => remove(queue, await idsIn(queue), asJson))
      default:
        throw new UsageError('quarantine list|export|remove [ID… | --all] --config FILE')
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
        `${queueId.padEnd(16)}  ${timeText(at)}  ${reason.padEnd(7)}  ${String(sizeBytes).padStart(11)}  ${printable(detail)}\n`,
      )
    }
  }
  return DONE
}

type Exported = { readonly content: Buffer } | { readonly trouble: string }

async function read({ quarantine: held }: QueueOperations, id: string): Promise<Exported> {
  const content = await held.export(id)
  if (content === undefined) return { trouble: 'is not in quarantine' }
  // An empty file would look like an empty message.
  return content.length === 0 ? { trouble: 'is beyond reading: nothing of it can be exported' } : { content }
}

async function exportOne(queue: QueueOperations, id: string, file: string | undefined): Promise<number> {
  const exported = await read(queue, id)
  if ('trouble' in exported) {
    say(`${id} ${exported.trouble}`)
    return FAILED
  }
  if (file === undefined) await print(exported.content)
  else await writeNew(file, exported.content)
  return DONE
}

async function exportAll(
  queue: QueueOperations,
  ids: readonly string[],
  directory: string,
  asJson: boolean,
): Promise<number> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new UnusableFile(`${directory} can't be made`, { cause })
  })
  if (!(await stat(directory)).isDirectory()) throw new UnusableFile(`${directory} is no directory`)
  const written: { queueId: string; file: string; bytes: number }[] = []
  for (const queueId of ids) {
    const exported = await read(queue, queueId)
    if ('trouble' in exported) {
      say(`${queueId} ${exported.trouble}`)
      continue
    }
    // In quarantine, so a name that the spool gave: letters, digits, hyphens.
    const file = join(directory, `${queueId}.eml`)
    await writeNew(file, exported.content)
    written.push({ queueId, file, bytes: exported.content.length })
  }
  if (asJson) await print(`${JSON.stringify(written, null, 2)}\n`)
  say(`${written.length} exported to ${directory}`)
  return written.length === ids.length ? DONE : FAILED
}

async function writeNew(file: string, content: Buffer): Promise<void> {
  try {
    await using handle = await open(file, 'wx', 0o600)
    await handle.writeFile(content)
  } catch (cause) {
    const isThere = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    throw new UnusableFile(isThere ? `${file} is there already` : `${file} can't be written`, { cause })
  }
}

async function remove({ quarantine: held }: QueueOperations, ids: readonly string[], asJson: boolean): Promise<number> {
  const removed: string[] = []
  for (const id of ids) {
    if (await held.remove(id)) removed.push(id)
    else say(`${id} is not in quarantine`)
  }
  if (asJson) await print(`${JSON.stringify({ removed })}\n`)
  say(`${removed.length} removed`)
  return removed.length === ids.length ? DONE : FAILED
}
