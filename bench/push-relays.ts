// Ten relays of `npm run bench -- push`, in a thread of their own: they verify all that comes, and tell when they have it.
import { parentPort, workerData } from 'node:worker_threads'
import { RelayClient } from '../tests/harness/relay-client.ts'

export interface RelaysData {
  readonly url: string
  readonly codes: readonly string[]
}

/** One relay has a revision, active and reported on. */
export interface Applied {
  readonly relay: number
  readonly revision: number
  /** ms since the epoch, with fractions: one clock for all threads of a machine. */
  readonly at: number
  readonly bytes: number
}

const { url, codes } = workerData as RelaysData
const port = parentPort
if (port === null) throw new Error('it runs as a thread')

const relays: RelayClient[] = []
for (const code of codes) relays.push(await RelayClient.enrol(url, code))
for (const [relay, client] of relays.entries()) {
  client.onPush(() => {
    const applied: Applied = {
      relay,
      revision: client.held?.table.version ?? 0,
      at: performance.timeOrigin + performance.now(),
      bytes: client.bytes,
    }
    port.postMessage(applied)
  })
}
port.on('message', (word: 'open' | 'close') => {
  if (word === 'open') for (const client of relays) void client.open()
  else for (const client of relays) client.destroy()
})
port.postMessage('ready')
