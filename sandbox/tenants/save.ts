// Keeps a simulated tenant in a directory: a snapshot, and a journal of what changed since. Killed at any moment, the tenant is afterwards as after its
// last change, change numbers included, so that delta links stay good; when the machine fails, as it was at most a second before.
import { closeSync, existsSync, fdatasync, openSync, writeSync } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { DirectoryObject, ExchangeObject, Recipient, TenantData } from './objects.ts'
import { syncDirectory } from './kept-file.ts'
import { linesOf, whole } from './lines.ts'
import { SimulatedTenant } from './tenant.ts'
import type { Change, TenantMotion, TenantOperation, TenantSettings } from './tenant.ts'

export interface SavedTenant {
  readonly tenant: SimulatedTenant
  /** Durable on return. */
  flush(): Promise<void>
  /** Flushes. The tenant stays usable, but is saved no more. */
  close(): Promise<void>
}

const FORMAT = 1
const SYNC_EVERY_MS = 1_000
const LINES_A_CHUNK = 500

interface Header {
  readonly format: number
  /** The journal of this number belongs to it. */
  readonly generation: number
  readonly data: TenantSettings
  readonly oldestDelta: number
  readonly appearing: TenantMotion['appearing']
}

type Line =
  | readonly ['object', DirectoryObject]
  | readonly ['recipient', Recipient]
  | readonly ['exchange-object', ExchangeObject]
  | readonly ['change', Change]
  | readonly ['end']

/**
 * As it was saved under `directory`, else as `make` says; saved there from now on. One process a directory.
 * @param id  of the tenant, as part of file names
 * @throws when what is there is not of this format, or damaged otherwise than by a kill
 */
export async function openTenant(directory: string, id: string, make: () => TenantData): Promise<SavedTenant> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const snapshotFile = join(directory, `tenant-${id}.ndjson`)
  const journalFile = (generation: number) => join(directory, `tenant-${id}.${generation}.journal`)
  if (!existsSync(snapshotFile)) await writeSnapshot(directory, snapshotFile, new SimulatedTenant(make()), 0)
  const { tenant, generation } = await readSnapshot(snapshotFile)
  const old = await replay(journalFile(generation), tenant)
  let current = generation
  if (old === 'replayed') {
    // The snapshot names the next journal: a kill before the old one is removed leaves a file that nobody reads.
    current = generation + 1
    await writeSnapshot(directory, snapshotFile, tenant, current)
  }
  if (current > 0) await rm(journalFile(current - 1), { force: true })
  const journal = new Journal(journalFile(current))
  await syncDirectory(directory)
  tenant.onChange = (operation) => journal.append(operation)
  return {
    tenant,
    flush: () => journal.sync(),
    close: async () => {
      tenant.onChange = () => {}
      await journal.close()
    },
  }
}

const sync = promisify(fdatasync)

/** One line an operation, handed to the system before the change is answered for; to the disk at most once a second. */
class Journal {
  readonly #fd: number
  #timer: NodeJS.Timeout | undefined
  #failure: unknown

  constructor(path: string) {
    this.#fd = openSync(path, 'a', 0o600)
  }

  append(operation: TenantOperation): void {
    if (this.#failure !== undefined) throw new Error('the tenant can not be saved', { cause: this.#failure })
    const line = Buffer.from(`${JSON.stringify(operation)}\n`)
    for (let written = 0; written < line.length;) written += writeSync(this.#fd, line, written)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      sync(this.#fd).catch((error: unknown) => {
        this.#failure = error // told with the next change
      })
    }, SYNC_EVERY_MS)
  }

  async sync(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await sync(this.#fd)
  }

  async close(): Promise<void> {
    await this.sync()
    closeSync(this.#fd)
  }
}

async function writeSnapshot(
  directory: string,
  path: string,
  tenant: SimulatedTenant,
  generation: number,
): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(snapshotText(tenant, generation))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncDirectory(directory)
}

async function* snapshotText(tenant: SimulatedTenant, generation: number): AsyncGenerator<string> {
  const { objects, recipients, exchangeObjects, ...data } = tenant.toData()
  const { changes, oldestDelta, appearing } = tenant.toMotion()
  yield `${JSON.stringify({ format: FORMAT, generation, data, oldestDelta, appearing } satisfies Header)}\n`
  const kinds = [
    ['object', objects],
    ['recipient', recipients],
    ['exchange-object', exchangeObjects],
    ['change', changes],
  ] as const
  for (const [kind, items] of kinds) {
    for (let start = 0; start < items.length; start += LINES_A_CHUNK) {
      const chunk = items.slice(start, start + LINES_A_CHUNK)
      yield chunk.map((item) => `${JSON.stringify([kind, item])}\n`).join('')
    }
  }
  yield `${JSON.stringify(['end'])}\n`
}

async function readSnapshot(path: string): Promise<{ tenant: SimulatedTenant; generation: number }> {
  let header: Header | undefined
  let isComplete = false
  const objects: DirectoryObject[] = []
  const recipients: Recipient[] = []
  const exchangeObjects: ExchangeObject[] = []
  const changes: Change[] = []
  for await (const { text } of whole(linesOf(path))) {
    if (header === undefined) {
      header = JSON.parse(text) as Header
      if (header.format !== FORMAT) throw new Error(`${path} is of another version of the sandbox: remove it`)
      continue
    }
    const line = JSON.parse(text) as Line
    if (line[0] === 'object') objects.push(line[1])
    else if (line[0] === 'recipient') recipients.push(line[1])
    else if (line[0] === 'exchange-object') exchangeObjects.push(line[1])
    else if (line[0] === 'change') changes.push(line[1])
    else isComplete = true
  }
  if (header === undefined || !isComplete) throw new Error(`${path} is damaged: remove it`)
  const { data, generation, oldestDelta, appearing } = header
  const tenant = new SimulatedTenant(
    { ...data, objects, recipients, exchangeObjects },
    { changes, oldestDelta, appearing },
  )
  return { tenant, generation }
}

async function replay(path: string, tenant: SimulatedTenant): Promise<'replayed' | 'empty'> {
  if (!existsSync(path)) return 'empty'
  let outcome: 'replayed' | 'empty' = 'empty'
  for await (const { text, isWhole } of linesOf(path)) {
    outcome = 'replayed'
    // A kill cuts the last line only, and nobody was told that its change was made.
    if (isWhole) tenant.apply(JSON.parse(text) as TenantOperation)
  }
  return outcome
}
