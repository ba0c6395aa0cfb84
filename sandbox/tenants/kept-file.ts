// A small JSON document that is kept in a file: written whole, to another name first, so that there is always one that can be read.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'

const EVERY_MS = 200

export class KeptFile<T> {
  readonly #path: string
  readonly #nowMs: () => number
  #writtenAtMs = Number.NEGATIVE_INFINITY
  #waiting: { readonly timer: NodeJS.Timeout; value: T } | undefined

  /** @param nowMs  the machine's, not the tenants' */
  constructor(path: string, nowMs: () => number = Date.now) {
    this.#path = path
    this.#nowMs = nowMs
  }

  /** As this class wrote it; undefined: never. */
  load(): T | undefined {
    return existsSync(this.#path) ? (JSON.parse(readFileSync(this.#path, 'utf8')) as T) : undefined
  }

  /** Durable on return, unless it is the second within a fifth of a second: then at the end of that. */
  save(value: T): void {
    if (this.#waiting !== undefined) {
      this.#waiting.value = value
      return
    }
    const waitMs = this.#writtenAtMs + EVERY_MS - this.#nowMs()
    if (waitMs <= 0) return this.#write(value)
    this.#waiting = { value, timer: setTimeout(() => this.flush(), waitMs) }
  }

  flush(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    clearTimeout(waiting.timer)
    this.#waiting = undefined
    this.#write(waiting.value)
  }

  #write(value: T): void {
    const temporary = `${this.#path}.new`
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
    writeFileSync(temporary, JSON.stringify(value), { mode: 0o600, flush: true })
    renameSync(temporary, this.#path)
    const directory = openSync(dirname(this.#path), 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
    this.#writtenAtMs = this.#nowMs()
  }
}

/** Makes names in it durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
