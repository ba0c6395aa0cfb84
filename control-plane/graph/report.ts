// A report: Graph answers with a redirect to a file that needs no token, whose rows are handed on one by one. Asking is repeated like any read; once rows
// have come, whoever reads them has to start again when the rest does not.
import type { Call, Caller } from '../microsoft/caller.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import type { Answer } from '../microsoft/sender.ts'
import { CsvFault, CsvReader } from './csv.ts'

const CSV_TYPES = /^(?:text\/(?:csv|plain)|application\/(?:octet-stream|csv|vnd\.ms-excel))\b/i

/** @throws MicrosoftError; the signal's reason */
export async function* readReport(caller: Caller, call: Call): AsyncGenerator<Readonly<Record<string, string>>> {
  const answer = await caller.open(call)
  const fault = (serviceCode: string, cause?: unknown) =>
    new MicrosoftError('UNEXPECTED', { status: answer.status, serviceCode, operation: call.operation, cause })
  if (!CSV_TYPES.test(answer.headers.get('content-type') ?? '')) {
    await answer.discard()
    throw fault('not-csv')
  }
  try {
    yield* recordsOf(answer)
  } catch (error) {
    if (error instanceof CsvFault) throw fault('bad-csv', error)
    throw error
  }
}

/** By the names in the first row. @throws CsvFault */
async function* recordsOf(answer: Answer): AsyncGenerator<Readonly<Record<string, string>>> {
  let names: readonly string[] | undefined
  for await (const row of rowsOf(answer)) {
    if (names === undefined) {
      if (new Set(row).size !== row.length) throw new CsvFault('a column is there twice')
      names = row
    } else {
      if (row.length !== names.length) throw new CsvFault('a row has more or fewer fields than there are columns')
      // Whatever a column is called, it becomes a property of its own.
      yield Object.fromEntries(names.map((name, index) => [name, row[index] ?? '']))
    }
  }
}

async function* rowsOf(answer: Answer): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const reader = new CsvReader()
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true })
    } catch (cause) {
      throw new CsvFault('it is not UTF-8', { cause })
    }
  }
  for await (const chunk of answer.body()) yield* reader.push(decode(chunk))
  yield* reader.push(decode())
  yield* reader.end()
}
