// A database that is slow must not make Microsoft's servers wait: they close connections on which nothing moves. (microsoft-365.md §4)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readUsage } from '../../../control-plane/discovery/read-usage.ts'
import type { DiscoveryRun } from '../../../control-plane/discovery/discovery-run.ts'
import type { GraphClient } from '../../../control-plane/microsoft/clients.ts'

const ROWS = 2_500

test('a report has come whole before the first of its rows is written', async (t) => {
  let open = 0
  const server = createServer((_request, response) => {
    open++
    response.once('close', () => open--)
    for (let nth = 0; nth < ROWS; nth++) response.write(`p${nth}@contoso.com,${nth}\n`)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const report: GraphClient['report'] = async function* () {
    const text = await fetch(url).then((response) => response.body?.pipeThrough(new TextDecoderStream()))
    let rest = ''
    for await (const chunk of text ?? []) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [name = '', items = ''] = line.split(',')
        yield { 'User Principal Name': name, 'Owner Principal Name': name, 'Item Count': items, 'Is Deleted': 'False' }
      }
    }
  }
  const openAtWrites: number[] = []
  const run = {
    context: { signal: new AbortController().signal, checkCancelled: () => {} },
    graph: { report },
    at: {},
    progress: () => Promise.resolve(),
    gap: () => Promise.reject(new Error('there is a report')),
    change: async () => {
      openAtWrites.push(open)
      await sleep(5)
      return []
    },
  } as unknown as DiscoveryRun
  await readUsage(run)
  // Three slices of each of two reports, and what is not there any more.
  assert.deepEqual(
    openAtWrites,
    Array.from({ length: 8 }, () => 0),
  )
})
