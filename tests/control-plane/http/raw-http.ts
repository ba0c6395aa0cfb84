// HTTP as octets on a socket: for what no client library would send, or only slowly.
import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface RawReply {
  /** 0: closed without an answer. */
  readonly status: number
  readonly text: string
  readonly answers: number
}

const portOf = (url: string): number => Number(new URL(url).port)

/** Sends `octets` and reads until the server closes. @param feed  sends more, for as long as it wants */
export function sendRaw(url: string, octets: string, feed?: (socket: Socket) => void): Promise<RawReply> {
  return new Promise((resolve) => {
    const socket = connect(portOf(url), '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('error', () => {}) // a server may cut off what it refuses
    socket.on('close', () => {
      const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)]
      resolve({ status: Number(statuses[0]?.[1] ?? 0), text, answers: statuses.length })
    })
    socket.write(octets, 'latin1')
    feed?.(socket)
  })
}
