// SF-5: a spool that an earlier revision wrote is opened, and nothing in it is lost, whatever the number of workers is now. What is in the
// folders and how they were made: golden-spool-1/README.md.
import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startCountingSink } from '../../harness/counting-sink.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'
import { runCommand } from '../../harness/postfix.ts'
import { ROOT, startRelay } from '../../harness/relay.ts'
import { eventually } from '../../harness/wait.ts'

const GOLDEN = new URL('golden-spool-1/', import.meta.url)
/** Released by nobody, or never to be delivered. */
const KEPT = ['held', 'poison']

for (const workers of [1, 2]) {
  test(`SF-5: the spool of revision 45c59a2 is delivered by ${workers} of today's workers; what is held stays, what is quarantined is listed`, async (context) => {
    const directory = await mkdtemp(join(tmpdir(), 'causeway-golden-'))
    await cp(GOLDEN, directory, { recursive: true })
    const ids = JSON.parse(await readFile(new URL('ids.json', GOLDEN), 'utf8')) as Record<string, string>
    const sink = await startCountingSink()
    const relay = await startRelay({ nextHopPort: sink.port, table: EXAMPLE_TABLE, directory, settings: { workers } })
    context.after(async () => {
      await relay.stop('SIGKILL')
      await relay.remove()
      await sink.close()
    })
    const causeway = async (...args: string[]) => {
      const { status, output } = await runCommand(join(ROOT, 'bin/causeway'), [...args, '--config', relay.configFile])
      assert.equal(status, 0, output)
      return output
    }
    const waiting = Object.keys(ids).filter((name) => !KEPT.includes(name))
    await eventually('what waits to arrive', () =>
      waiting.every((name) => sink.arrivals.has(`${name}@golden.example`)) ? true : undefined,
    )
    assert.deepEqual([...new Set(sink.arrivals.values())], [1])
    const listed = await eventually('the others to leave the queue', async () => {
      const items = JSON.parse(await causeway('queue', 'list', '--json')) as Record<string, unknown>[]
      return items.length === 1 ? items : undefined
    })
    assert.deepEqual(
      listed.map(({ queueId, state }) => [queueId, (state as { isHeld: boolean }).isHeld]),
      [[ids['held'], true]],
    )
    const quarantined = JSON.parse(await causeway('quarantine', 'list', '--json')) as Record<string, unknown>[]
    assert.deepEqual(
      quarantined.map(({ queueId, reason }) => [queueId, reason]),
      [[ids['poison'], 'poison']],
    )
    const poison = await causeway('quarantine', 'export', ids['poison'] ?? '')
    assert.match(poison, /^Message-ID: <poison@golden\.example>/m)
    assert.match(poison, /All of this was accepted by an older relay/)

    await causeway('queue', 'release', ids['held'] ?? '')
    await eventually('what was held to arrive', () => sink.arrivals.get('held@golden.example'))
    assert.equal(await relay.stop(), 0)
    assert.equal(sink.arrivals.size, waiting.length + 1)
  })
}
