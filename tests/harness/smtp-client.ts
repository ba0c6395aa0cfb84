// A plain SMTP client for tests: says exactly what it is told, one command at a time, and hands back the replies as lines.
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'

export interface MailToSend {
  readonly from: string
  readonly to: readonly string[]
  /** The whole message with CRLF line ends; dots are stuffed here. */
  readonly data: Uint8Array
  readonly mailParameters?: string
  readonly rcptParameters?: string
}

export class SmtpClient {
  readonly #socket: Socket
  #received = ''
  #waiting: ((reply: string) => void) | undefined
  #isClosed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      this.#offer()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
      this.#offer()
    })
  }

  /** Connects, reads the greeting and says EHLO. */
  static async connect(port: number): Promise<SmtpClient> {
    const client = new SmtpClient(createConnection({ host: '127.0.0.1', port, noDelay: true }))
    const greeting = await client.reply()
    if (!greeting.startsWith('220')) throw new Error(`greeting: ${greeting}`)
    await client.command('EHLO client.test')
    return client
  }

  /** Next complete reply without its final CRLF; `''` when the connection has ended. */
  reply(): Promise<string> {
    return new Promise((done) => {
      this.#waiting = done
      this.#offer()
    })
  }

  command(line: string): Promise<string> {
    this.#socket.write(`${line}\r\n`, 'utf8')
    return this.reply()
  }

  /** MAIL, RCPTs, DATA. @returns the reply that decided: the first refusal, or the one to the final dot; `''` when the peer went away */
  async send(mail: MailToSend): Promise<string> {
    const commands = [`MAIL FROM:<${mail.from}>${mail.mailParameters ? ` ${mail.mailParameters}` : ''}`]
    for (const path of mail.to)
      commands.push(`RCPT TO:<${path}>${mail.rcptParameters ? ` ${mail.rcptParameters}` : ''}`)
    for (const command of commands) {
      const reply = await this.command(command)
      if (!reply.startsWith('25')) return reply
    }
    const go = await this.command('DATA')
    if (!go.startsWith('354')) return go
    return this.content(mail.data)
  }

  /** The message and its final dot, after a 354. */
  content(message: Uint8Array): Promise<string> {
    const text = Buffer.from(message).toString('latin1').replace(/^\./gm, '..')
    this.#socket.write(text + (text.endsWith('\r\n') || text === '' ? '.\r\n' : '\r\n.\r\n'), 'latin1')
    return this.reply()
  }

  async quit(): Promise<void> {
    await this.command('QUIT')
    this.close()
  }

  close(): void {
    this.#socket.destroy()
  }

  #offer(): void {
    if (this.#waiting === undefined) return
    const end = /^\d{3}(?: .*)?\r\n/m.exec(this.#received)
    if (end === null && !this.#isClosed) return
    const length = end === null ? 0 : end.index + end[0].length
    const reply = this.#received.slice(0, Math.max(0, length - 2))
    this.#received = this.#received.slice(length)
    const done = this.#waiting
    this.#waiting = undefined
    done(reply)
  }
}

/** One message over one connection. @returns the deciding reply */
export async function sendMail(port: number, mail: MailToSend): Promise<string> {
  const client = await SmtpClient.connect(port)
  try {
    return await client.send(mail)
  } finally {
    client.close()
  }
}

/** LF or CRLF in, CRLF out; what a test that plays SMTP does with a message file. */
export function withCrlf(message: Uint8Array): Buffer {
  return Buffer.from(Buffer.from(message).toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1')
}
