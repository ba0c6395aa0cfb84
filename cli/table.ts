// `table check`: is this table one that a relay would take?
import { readTable } from '../mta/mapping/read-table.ts'
import { TableFault } from '../rewrite-rules/index.ts'
import { DONE, FAILED, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { faultLines, unreadableTable } from './files.ts'

export const table: Command = {
  help: `Usage: causeway table check FILE [--json]

Checks a mapping table, JSON or CSV, against every invariant (rewriting.md R3), and says which entry breaks which.

  --json   the result as JSON

Exit code 0: a relay would take it; 1: it is faulty; 2: it can't be read.`,

  async run([action, ...args]) {
    if (action !== 'check')
      throw new UsageError(
        action === undefined
          ? 'table check FILE'
          : `table has no ${JSON.stringify(action)}; there is: table check FILE`,
      )
    const { values, positionals } = parseOptions(args, { json: { type: 'boolean' } })
    const [file, ...rest] = positionals
    if (file === undefined || rest.length > 0) throw new UsageError('table check takes one FILE')
    const asJson = values.json === true
    try {
      const { table: checked } = await readTable(file)
      const { project, version, entryCount, digest } = checked
      if (asJson) await print(`${JSON.stringify({ isValid: true, project, version, entries: entryCount, digest })}\n`)
      else
        await print(
          `${file}: valid: project ${project}, version ${version}, ${entryCount} ${entryCount === 1 ? 'entry' : 'entries'}, digest ${digest}\n`,
        )
      return DONE
    } catch (error) {
      if (!(error instanceof TableFault)) throw unreadableTable(file, error)
      if (asJson) await print(`${JSON.stringify({ isValid: false, faults: error.faults })}\n`)
      else for (const line of faultLines(file, error)) say(line)
      return FAILED
    }
  },
}
