// A next hop that takes everything and counts how often each Message-ID arrived: what the durability tests judge by.
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface CountingSink {
  readonly port: number
  /** Arrivals by Message-ID (without angle brackets). */
  readonly arrivals: ReadonlyMap<string, number>
  close(): Promise<void>
}

const EHLO = '250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n'

export async function startCountingSink(): Promise<CountingSink> {
  const arrivals = new Map<string, number>()
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    serve(socket, (id) => arrivals.set(id, (arrivals.get(id) ?? 0) + 1))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    port: (server.address() as AddressInfo).port,
    arrivals,
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function serve(socket: Socket, arrived: (id: string) => void): void {
  let text = ''
  let isData = false
  socket.setEncoding('latin1')
  socket.write('220 sink.test ESMTP\r\n')
  socket.on('data', (chunk: string) => {
    text += chunk
    for (;;) {
      const end = text.indexOf(isData ? '\r\n.\r\n' : '\r\n')
      if (end < 0) return
      const unit = text.slice(0, end)
      text = text.slice(end + (isData ? 5 : 2))
      if (isData) {
        isData = false
        arrived(/^message-id:\s*<([^>]*)>/im.exec(unit)?.[1] ?? '')
        socket.write('250 2.0.0 taken\r\n')
        continue
      }
      const verb = unit.slice(0, 4).toUpperCase()
      if (verb === 'EHLO') socket.write(EHLO)
      else if (verb === 'DATA') {
        isData = true
        socket.write('354 go ahead\r\n')
      } else if (verb === 'QUIT') socket.end('221 2.0.0 bye\r\n')
      else socket.write('250 2.0.0 ok\r\n')
    }
  })
}
