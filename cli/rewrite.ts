// `rewrite`: one message through the engine, for trying, testing and scripts. What the relay would send on is what comes out.
import { writeFile } from 'node:fs/promises'
import { DEFAULT_POLICY, Refusal, rewriteMessage } from '../rewrite-rules/index.ts'
import type { Direction } from '../rewrite-rules/index.ts'
import { DONE, FAILED, needed, parseOptions, print, say, UnusableFile, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { loadEnvelope, loadPolicy, loadTable } from './files.ts'

export const rewrite: Command = {
  help: `Usage: causeway rewrite --table FILE --direction out|in [--policy FILE] [--envelope FILE] [--smtputf8] [--report FILE]

Reads a message on standard input and writes it, rewritten, to standard output.

  --table FILE         mapping table, JSON or CSV
  --direction out|in   out: mail that people of the project write; in: mail for them
  --policy FILE        policy, JSON; without it every key has its first value
  --envelope FILE      the envelope as received, JSON: { "reversePath": …, "parameters": …, "forwardPaths": [ … ] }
  --smtputf8           the message was sent with SMTPUTF8 (an envelope says so itself)
  --report FILE        writes what was changed, the rewritten envelope among it, as JSON

A message that may not go on as it is (a bare line feed, a header over 1 MiB …) is refused: the reply is printed on standard error,
nothing on standard output, and the exit code is 1.`,

  async run(args) {
    const { values, positionals } = parseOptions(args, {
      table: { type: 'string' },
      direction: { type: 'string' },
      policy: { type: 'string' },
      envelope: { type: 'string' },
      smtputf8: { type: 'boolean' },
      report: { type: 'string' },
    })
    if (positionals.length > 0)
      throw new UsageError(
        `unexpected argument ${JSON.stringify(positionals[0])}; the message is read from standard input`,
      )
    const direction = parseDirection(needed(values.direction, '--direction out|in'))
    const table = await loadTable(needed(values.table, '--table FILE'))
    const policy = values.policy === undefined ? DEFAULT_POLICY : await loadPolicy(values.policy)
    const envelope = values.envelope === undefined ? undefined : await loadEnvelope(values.envelope)
    const smtpUtf8 = values.smtputf8 === true || envelope?.parameters['SMTPUTF8'] !== undefined

    const message = await readAll(process.stdin)
    try {
      const { bytes, report } = rewriteMessage(message, {
        direction,
        table,
        policy,
        smtpUtf8,
        hashes: true,
        ...(envelope === undefined ? {} : { envelope }),
      })
      if (values.report !== undefined) await writeReport(values.report, report)
      await print(bytes)
      return DONE
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      say(`${error.code} ${error.status} ${error.message}`)
      return FAILED
    }
  },
}

function parseDirection(text: string): Direction {
  if (text === 'out' || text === 'in') return text
  throw new UsageError(`--direction must be out or in, not ${JSON.stringify(text)}`)
}

async function writeReport(file: string, report: unknown): Promise<void> {
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`).catch((cause: unknown) => {
    throw new UnusableFile(`the report can't be written to ${file}`, { cause })
  })
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
