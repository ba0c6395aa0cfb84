// Writes everything that is held about a person as one JSON document, section by section, in the state of one moment. (PR-6)
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Person } from './person.ts'
import type { At, PersonSource } from './person-source.ts'

export const EXPORT_FORMAT = 'causeway-person-export/1'

export async function writePerson(
  at: At,
  person: Person,
  sources: readonly PersonSource[],
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const write = async (text: string): Promise<void> => {
    signal.throwIfAborted()
    if (!response.write(text)) await once(response, 'drain', { signal })
  }
  const { organisation, project } = at.place
  const head = {
    format: EXPORT_FORMAT,
    organization: organisation,
    project,
    time: new Date(at.now).toISOString(),
    knownBy: Object.fromEntries(
      (['addresses', 'objectIds', 'accounts', 'mappings', 'members'] as const).map((name) => [
        name,
        [...person[name]].toSorted(),
      ]),
    ),
  }
  await write(`${JSON.stringify(head).slice(0, -1)},"sections":{`)
  let separator = '\n'
  for (const source of sources) {
    await write(`${separator}${JSON.stringify(source.name)}:[`)
    separator = ',\n'
    let comma = ''
    for await (const rows of source.rows(at, person)) {
      if (rows.length === 0) continue
      await write(comma + rows.map((row) => JSON.stringify(row)).join(',\n'))
      comma = ',\n'
    }
    await write(']')
  }
  await write('}}\n')
  response.end()
}
