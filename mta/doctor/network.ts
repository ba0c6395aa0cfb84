// What a relay is connected to: its own ports, its next hops, the names it must find. Every wait is bounded. (OP-5)
import { lookup } from 'node:dns/promises'
import { createConnection } from 'node:net'
import { isAddress, isLoopback } from '../network-names.ts'
import { codeOf, fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'

export type PortFacts =
  /** `offersStartTls` is undefined when the conversation didn't get so far. */
  | { readonly kind: 'answered'; readonly code: number; readonly offersStartTls: boolean | undefined }
  | { readonly kind: 'silent'; readonly code: string }

/** @param isRunning  a relay has the spool: its listeners should be open */
export function judgeListener(
  { address, port, tls }: { address: string; port: number; tls: string },
  facts: PortFacts,
  isRunning: boolean,
): Finding {
  const check = 'listener'
  const at = `${address} port ${port}`
  if (facts.kind === 'silent') {
    return isRunning
      ? fault(check, `${at} does not answer (${facts.code})`, "see the relay's log: the port may be taken or filtered")
      : ok(check, `${at} is not open: no relay runs with this configuration`)
  }
  if (!isRunning) return fault(check, `${at} is held by another program`, 'stop it, or change the port')
  if (facts.code === 554) return ok(check, `${at} answers, and refuses this machine as \`allow\` has it`)
  if (facts.code !== 220)
    return warning(check, `${at} answers ${facts.code}`, 'the relay is busy or stopping: see its log')
  if (tls === 'starttls' && facts.offersStartTls !== true)
    return fault(check, `${at} does not offer STARTTLS`, "see the relay's log: its certificates may not have loaded")
  return ok(check, `${at} answers${facts.offersStartTls === true ? ' and offers STARTTLS' : ''}`)
}

export function judgeExposure(check: string, address: string, port: number, why: string): Finding {
  return isLoopback(address)
    ? ok(check, `${address} port ${port}: this machine only`)
    : warning(
        check,
        `${address} port ${port} can be reached from elsewhere: ${why}`,
        'let the firewall admit monitoring only',
      )
}

export type NextHopFacts =
  | { readonly kind: 'unknown'; readonly code: string }
  | { readonly kind: 'found'; readonly addresses: readonly string[]; readonly port: PortFacts }

export function judgeNextHop(route: string, hostPort: string, facts: NextHopFacts): Finding {
  const check = 'next-hop'
  const name = `${route}: ${hostPort}`
  if (facts.kind === 'unknown')
    return fault(check, `${name} is not found (${facts.code})`, 'check the name, and the resolver in /etc/resolv.conf')
  const { port, addresses } = facts
  if (port.kind === 'silent')
    return fault(
      check,
      `${name} does not answer (${port.code}; ${addresses.join(', ')}): its mail waits`,
      'is the server up, and does the firewall let port 25 out? (Azure blocks it unless asked)',
    )
  return port.code === 220
    ? ok(check, `${name} greets${port.offersStartTls === true ? ' and offers STARTTLS' : ''}`)
    : warning(check, `${name} answers ${port.code} in place of a greeting: its mail waits`, "see that server's log")
}

const MAX_REPLY = 64 * 1024

/** Connects, reads the greeting, says EHLO, hears what is offered, and leaves. */
export function observePort(host: string, port: number, timeoutMs = 5_000): Promise<PortFacts> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port })
    let said = ''
    let greeting: number | undefined
    const end = (facts: PortFacts): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(facts)
    }
    const give = (code: string): void => {
      end(
        greeting === undefined
          ? { kind: 'silent', code }
          : { kind: 'answered', code: greeting, offersStartTls: undefined },
      )
    }
    const timer = setTimeout(() => give('ETIMEDOUT'), timeoutMs)
    socket.on('error', (error) => give(codeOf(error)))
    socket.on('close', () => give('closed'))
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      said += text
      const reply = /^(\d{3})(?: [^\r\n]*)?\r?\n/m.exec(said)
      if (reply === null) return said.length > MAX_REPLY ? give('no reply') : undefined
      const code = Number(reply[1])
      if (greeting === undefined) {
        greeting = code
        if (code !== 220) return end({ kind: 'answered', code, offersStartTls: undefined })
        said = ''
        return void socket.write('EHLO doctor.invalid\r\n')
      }
      const offersStartTls = code === 250 && /^250[ -]STARTTLS\r?$/im.test(said)
      socket.write('QUIT\r\n')
      return end({ kind: 'answered', code: greeting, offersStartTls })
    })
  })
}

export async function observeNextHop(host: string, port: number): Promise<NextHopFacts> {
  try {
    const found = isAddress(host) ? [{ address: host }] : await lookup(host, { all: true })
    return { kind: 'found', addresses: found.map(({ address }) => address), port: await observePort(host, port) }
  } catch (error) {
    return { kind: 'unknown', code: codeOf(error) }
  }
}
