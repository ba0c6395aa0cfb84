// `audit verify`: is this exported audit trail what was written, and how far is that proven? Needs the file and nothing else. (product.md §8, AU-3)
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { readKnownCheckpoints } from '../control-plane/audit/known-checkpoints.ts'
import { readLines } from '../control-plane/audit/trail-lines.ts'
import { verifyTrail } from '../control-plane/audit/verify-trail.ts'
import type { TrailReport } from '../control-plane/audit/verify-trail.ts'
import { DONE, FAILED, parseOptions, print, printable, say, unreadable, UnusableFile, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** People are told of progress so often. */
const PROGRESS_MS = 5_000

export const audit: Command = {
  help: `Usage: causeway audit verify FILE [--checkpoint FILE]… [--key ID] [--json]

Checks an exported audit trail (GET …/audit/export) against its signed checkpoints: change, deletion, reorder, truncation, fork. Names the first
event that doesn't hold. FILE - is standard input.

  --checkpoint FILE  what was kept elsewhere: a checkpoint, a directory of them (AUDIT_EXPORT_DIRECTORY/<chain>), or an earlier export. The
                     trail must agree with all of them, and be as long as they say. May be given more than once
  --key ID           id of the installation's first audit key, as GET …/audit/keys showed it once
  --json             the result as JSON

The keys come with the trail: without --checkpoint or --key, compare the id that is printed with one that you know. What stands behind the last
checkpoint is not proven; it is said how much that is.

Exit code 0: the trail holds; 1: it doesn't; 2: a file can't be read.`,

  async run([action, ...args]) {
    if (action !== 'verify')
      throw new UsageError(
        action === undefined
          ? 'audit verify FILE'
          : `audit has no ${JSON.stringify(action)}; there is: audit verify FILE`,
      )
    const { values, positionals } = parseOptions(args, {
      checkpoint: { type: 'string', multiple: true },
      key: { type: 'string' },
      json: { type: 'boolean' },
    })
    const [file, ...rest] = positionals
    if (file === undefined || rest.length > 0) throw new UsageError('audit verify takes one FILE')
    const { checkpoint: others = [], key: firstKey } = values
    if (firstKey !== undefined && !/^[0-9a-f]{64}$/.test(firstKey))
      throw new UsageError('--key takes the id of a key: 64 hexadecimal digits')
    const notes = new Set<string>()
    for (const other of others) for (const note of await knownFrom(other)) notes.add(note)

    const report = await read(file, { firstKey, known: [...notes] })
    // A checkpoint from elsewhere names the first key, whatever its size.
    const isAnchored = firstKey !== undefined || notes.size > 0
    if (values.json === true) await print(`${JSON.stringify(report)}\n`)
    else if (report.holds) await print(`${printable(file)}: ${summary(report)}\n`)
    if (report.holds) for (const line of limitsOf(report, notes.size, isAnchored)) say(line)
    else for (const line of faultOf(file, report)) say(line)
    return report.holds ? DONE : FAILED
  },
}

/** @throws UnusableFile */
async function knownFrom(path: string): Promise<string[]> {
  let notes: string[]
  try {
    notes = await readKnownCheckpoints(path)
  } catch (error) {
    throw unreadable(path, error)
  }
  if (notes.length === 0) throw new UnusableFile(`${path} holds no checkpoint`)
  return notes
}

async function read(file: string, options: Parameters<typeof verifyTrail>[1]): Promise<TrailReport> {
  const input: Readable = file === '-' ? process.stdin : createReadStream(file)
  let told = performance.now()
  try {
    return await verifyTrail(readLines(input), options, (events) => {
      if (performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      say(`… ${count(events, 'event')}`)
    })
  } catch (error) {
    throw unreadable(file, error)
  } finally {
    input.destroy()
  }
}

function summary({ chain, from, size, events, redacted, checkpoints, firstKey }: TrailReport): string {
  const range = events === 0 ? 'no events' : `${count(events, 'event')} (${from} to ${size})`
  const cleared = redacted === 0 ? '' : `, ${count(redacted, 'payload')} cleared`
  return `holds: ${chain}, ${range}${cleared}, ${count(checkpoints, 'checkpoint')}, key ${firstKey}`
}

/** What this doesn't prove. */
function limitsOf(report: TrailReport, given: number, isAnchored: boolean): string[] {
  const { from, size, provenTo, provenAt, compared } = report
  const limits: string[] = []
  if (provenTo < size)
    limits.push(
      `not proven: events ${provenTo + 1} to ${size} stand behind the last checkpoint. Whoever can write the database could have changed or removed them`,
    )
  else if (provenAt !== undefined)
    limits.push(`proven as of ${provenAt}; events that came later, and were left out, are found by --checkpoint only`)
  if (from > 1) limits.push(`not looked at: the events before ${from}`)
  if (given > compared)
    limits.push(`${count(given - compared, 'given checkpoint')} is of a size that this trail has no events for`)
  if (!isAnchored)
    limits.push(
      'signed by keys that came with the trail: compare the id above with one that you know, or give --key or --checkpoint',
    )
  return limits
}

function faultOf(file: string, { fault, provenTo, from, size }: TrailReport): string[] {
  if (fault === undefined) throw new Error('unreachable: no fault')
  const good = size < from ? 'no event before it holds' : `events ${from} to ${size} hold as far as this trail goes`
  const proven = provenTo < from ? 'none of them is proven' : `proven are those up to ${provenTo}`
  return [
    `${printable(file)}: line ${fault.line}: ${printable(fault.detail)} (${fault.code})`,
    size < from ? good : `${good}; ${proven}`,
  ]
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
}
