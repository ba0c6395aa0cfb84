// Listens for wake-ups from any process (db/outbox.ts), over one connection of its own that is made again when it breaks. After a gap all
// listeners are woken, since something may have been missed.
import pg from 'pg'
import type { Log } from '../../common/log.ts'
import type { DatabaseOptions } from './database.ts'
import { WAKE_CHANNEL } from './outbox.ts'
import type { WakeTopic } from './outbox.ts'

export interface WakeUp {
  readonly topic: WakeTopic
  readonly organisation: string
  readonly project: string
}

/** undefined: anything may have happened. */
type Listener = (wakeUp: WakeUp | undefined) => void

const RECONNECT_MS = 1_000

export class WakeUps {
  readonly #listeners = new Set<Listener>()
  readonly #connection: DatabaseOptions['connection']
  readonly #log: Log
  #client: pg.Client | undefined
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  constructor(connection: DatabaseOptions['connection'], log: Log) {
    this.#connection = connection
    this.#log = log
  }

  /** Resolves once it listens; afterwards it keeps itself going. */
  async start(): Promise<void> {
    const client = new pg.Client({
      ...(typeof this.#connection === 'string' ? { connectionString: this.#connection } : this.#connection),
      application_name: 'causeway wake-ups',
      keepAlive: true,
    })
    client.on('notification', ({ payload = '' }) => this.#tell(parseWakeUp(payload)))
    client.on('error', (error) => this.#log.warn('wake_ups.broken', { error }))
    client.once('end', () => this.#again())
    await client.connect()
    await client.query(`listen ${WAKE_CHANNEL}`)
    this.#client = client
  }

  /** @returns how to stop listening */
  on(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#client?.end()
  }

  #again(): void {
    this.#client = undefined
    if (this.#isClosed) return
    this.#timer = setTimeout(() => {
      this.start().then(
        () => this.#tell(undefined),
        (error: unknown) => {
          this.#log.warn('wake_ups.unreachable', { error })
          this.#again()
        },
      )
    }, RECONNECT_MS)
  }

  #tell(wakeUp: WakeUp | undefined): void {
    for (const listener of this.#listeners) listener(wakeUp)
  }
}

function parseWakeUp(payload: string): WakeUp | undefined {
  try {
    return JSON.parse(payload) as WakeUp // written by outbox.ts of this or another version
  } catch {
    return undefined
  }
}
