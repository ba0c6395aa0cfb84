// What every command of `bin/causeway` has in common: exit codes, help, and how wrong usage is said.
import { parseArgs } from 'node:util'
import type { ParseArgsConfig } from 'node:util'

/** Done. */
export const DONE = 0
/** The work itself failed: a refused message, a faulty table, an id that isn't there. */
export const FAILED = 1
/** Wrong usage, or a configuration, table or key file that can't be used. */
export const UNUSABLE = 2

export interface Command {
  /** Everything `--help` prints. The first line is the usage. */
  readonly help: string
  /** @returns the exit code */
  run(args: readonly string[]): Promise<number>
}

/** The command line makes no sense: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A file that was named can't be used: exit code 2. */
export class UnusableFile extends Error {
  override readonly name = 'UnusableFile'
}

/** @throws `error` itself, when it says nothing of the file but that we have a fault */
export function unreadable(file: string, error: unknown): UnusableFile {
  if (!(error instanceof Error && 'syscall' in error && 'code' in error)) throw error
  return new UnusableFile(`${file} can't be read (${String(error.code)})`, { cause: error })
}

type Options = NonNullable<ParseArgsConfig['options']>
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true; strict: true }>>

/** @throws UsageError for an unknown option, or one without its value */
export function parseOptions<const O extends Options>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(firstSentence(error.message))
    throw error
  }
}

/** Node adds how to write an argument that looks like an option: true, but not what was asked. */
function firstSentence(message: string): string {
  return message.split('. ', 1)[0] ?? message
}

/** @throws UsageError when it is absent */
export function needed(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new UsageError(`${name} is needed`)
  return value
}

/** What a peer wrote must not act on the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, '?')
}

/** For people, on standard error. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Data, on standard output; resolves when the reader has taken it. */
export function print(data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => (error ? reject(error) : resolve()))
  })
}
