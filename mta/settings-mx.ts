// Keys of the configuration for delivery by MX: which resolver is believed, which policies are followed, what may be connected to.
// (product.md §8, DL-7, DL-8)
import { isIP } from 'node:net'
import { isAddress } from './network-names.ts'
import { parsed, parsedBoolean } from './settings-forms.ts'
import { fileOf, mailAddress, nextHopPort, path, range } from './settings-parts.ts'
import { list, optional, required, section } from './settings-reader.ts'
import type { Values } from './settings-reader.ts'

/** `127.0.0.1`, `127.0.0.1:5353`, `::1`, `[::1]:5353` */
export function parseServer(written: string): { address: string; port: number } | undefined {
  if (isAddress(written)) return { address: written, port: 53 }
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15})):(\d{1,5})$/.exec(written)
  const address = match?.[1] ?? match?.[2] ?? ''
  const family = match?.[1] === undefined ? 4 : 6
  const port = Number(match?.[3])
  return isIP(address) === family && port >= 1 && port <= 65_535 ? { address, port } : undefined
}

const resolverSettings = {
  servers: required(
    list(parsed('an address, or `address:port` (`[address]:port` for IPv6)', parseServer), 1),
    'Asked in this order, three at most.',
  ),
  trustedPath: optional(
    parsedBoolean,
    false,
    '`true`: nobody on the way to these servers can change an answer, so that DANE may believe them. Servers on a loopback address need no such word.',
  ),
}

const mxSettings = {
  resolver: optional<Values<typeof resolverSettings> | undefined>(
    section(resolverSettings),
    undefined,
    'Who is asked for mail exchangers, addresses, TLSA and TXT records.',
    "the system's resolvers",
  ),
  port: optional(nextHopPort, 25, 'Port of all mail exchangers.'),
  dane: optional(
    parsedBoolean,
    false,
    'Follow TLSA records (RFC 7672). Needs a `resolver` that validates DNSSEC, on a loopback address unless `trustedPath`.',
  ),
  mtaSts: optional(parsedBoolean, true, 'Follow MTA-STS policies (RFC 8461).'),
  mtaStsCache: optional<{ readonly file: string } | undefined>(
    fileOf('JSON, made by the relay: the policies in force, so that they hold over a restart.'),
    undefined,
    'Where policies are kept until their `max_age`.',
    '`mta-sts.json` beside the spool key',
  ),
  allowPrivate: optional(
    list(range),
    [],
    'Address ranges that are not public (loopback, private, link-local …) and may be connected to all the same, as mail exchanger or for a policy.',
  ),
  trust: optional<{ readonly file: string } | undefined>(
    fileOf('PEM: the certificates of the authorities that are believed.'),
    undefined,
    'Whose certificates mail exchangers under MTA-STS and policy hosts may have.',
    'the public authorities that Node ships',
  ),
  tlsReports: optional<{ readonly directory: string; readonly contact: string } | undefined>(
    section({
      directory: required(path, 'A file for each domain and day, 0600. Made, 0700, when missing. Nothing is sent.'),
      contact: required(mailAddress, 'Whom the domain may write to about its report.'),
    }),
    undefined,
    'TLS reports (RFC 8460), written when the day (UTC) is over.',
    'none are written',
  ),
}
export const mx = section(mxSettings)
export type MxSettings = Values<typeof mxSettings>
