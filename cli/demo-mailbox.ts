// The demonstration's "internet": a mail server on loopback that takes everything and keeps the last messages in memory.
import { text } from 'node:stream/consumers'
import { SMTPServer } from 'smtp-server'

export interface ArrivedMessage {
  readonly reversePath: string
  readonly forwardPaths: readonly string[]
  readonly content: string
}

export interface DemoMailbox {
  readonly port: number
  /** Resolves with the next message that arrives. */
  next(): Promise<ArrivedMessage>
  close(): Promise<void>
}

/** @throws when the port is taken */
export async function startDemoMailbox(port: number, arrived: (message: ArrivedMessage) => void): Promise<DemoMailbox> {
  let waiting: ((message: ArrivedMessage) => void)[] = []
  const server = new SMTPServer({
    name: 'internet.example',
    banner: 'demonstration mailbox',
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    hideDSN: false,
    onData(stream, session, done) {
      text(stream).then((content) => {
        const { mailFrom, rcptTo } = session.envelope
        const message = {
          reversePath: mailFrom === false ? '' : (mailFrom?.address ?? ''),
          forwardPaths: rcptTo.map(({ address }) => address),
          content,
        }
        for (const tell of waiting) tell(message)
        waiting = []
        arrived(message)
        done()
      }, done)
    },
  })
  // A client that resets its connection is no matter for a mailbox; without a listener it would end the process.
  server.on('error', () => {})
  await new Promise<void>((listening, fail) => {
    server.server.once('error', fail)
    server.listen(port, '127.0.0.1', () => {
      server.server.off('error', fail)
      listening()
    })
  })
  return {
    port,
    next: () => new Promise((tell) => waiting.push(tell)),
    close: () => new Promise((closed) => server.close(closed)),
  }
}
