// Every key of the relay's configuration file (product.md §8): how it is written, its unit, its default and why one would set it.
// docs/relay-configuration.md is made from this file; a test keeps the two equal.
import { LOG_LEVELS } from '../common/log.ts'
import { parsePolicy, PolicyFault } from '../rewrite-rules/index.ts'
import type { Policy } from '../rewrite-rules/index.ts'
import { DEFAULT_LIMITS, MIN_RECIPIENTS_PER_MESSAGE } from './limits.ts'
import type { Limits } from './limits.ts'
import { PRIVACY_LEVELS } from './privacy.ts'
import { placesOf } from './settings-fault.ts'
import { duration, durationText, integer, oneOf, parsed, parsedBoolean, ratio } from './settings-forms.ts'
import { controlPlane, PUSHED_KEYS } from './settings-control-plane.ts'
import type { WrittenControlPlane } from './settings-control-plane.ts'
import { listener } from './settings-listeners.ts'
import { mx } from './settings-mx.ts'
import type { MxSettings } from './settings-mx.ts'
import { address, fileOf, hostName, keyPair, mailAddress, path, port } from './settings-parts.ts'
import { checked, FAULTY, list, optional, optionalSection, required, section } from './settings-reader.ts'
import type { Form, Setting, Values } from './settings-reader.ts'
import { proof, route, tenants } from './settings-routes.ts'
import type { SmartHost, TenantSettings } from './settings-routes.ts'
import { unsafeParts } from './settings-safety.ts'
import { signingKey, signingKeys } from './settings-signing.ts'
import type { SigningKeyFile } from './settings-signing.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** The longest wait a timer of Node can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1

const MS_LIMIT = integer(100, MAX_TIMER_MS, 'ms')
const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

function limit<Name extends keyof Limits>(name: Name, form: Form<Limits[Name]>, why: string): Setting<Limits[Name]> {
  return optional(form, DEFAULT_LIMITS[name], why)
}

const limitSettings = {
  messageBytes: limit(
    'messageBytes',
    integer(64 * KIB, 2 * GIB, 'octets'),
    'Largest message (SIZE); more is answered 552 5.3.4.',
  ),
  recipientsPerMessage: limit(
    'recipientsPerMessage',
    integer(MIN_RECIPIENTS_PER_MESSAGE, 100_000),
    'More get 452 4.5.3. RFC 5321 §4.5.3.1.8 fixes the minimum.',
  ),
  commandLineBytes: limit(
    'commandLineBytes',
    integer(1_024, 64 * KIB, 'octets'),
    'Longest command, line end included; more is answered 500.',
  ),
  connections: limit('connections', integer(1, 100_000), 'Sessions at once; more get 421 4.3.2.'),
  connectionsPerAddress: limit('connectionsPerAddress', integer(1, 100_000), 'Sessions at once from one peer address.'),
  newConnectionsPerSecondAndAddress: limit(
    'newConnectionsPerSecondAndAddress',
    integer(1, 100_000),
    'New sessions a second from one peer address.',
  ),
  messagesPerConnection: limit(
    'messagesPerConnection',
    integer(1, 1_000_000_000),
    'Then 421 4.7.0: the peer connects again.',
  ),
  errorsPerSession: limit('errorsPerSession', integer(1, 100_000), 'Refused commands before 421 4.7.0.'),
  junkCommandsPerSession: limit(
    'junkCommandsPerSession',
    integer(1, 100_000),
    'Commands that further nothing (NOOP, RSET …) before 421 4.7.0.',
  ),
  idleMs: limit('idleMs', MS_LIMIT, 'Wait for the next command. RFC 5321 §4.5.3.2.7 asks for 5 minutes.'),
  dataBlockMs: limit('dataBlockMs', MS_LIMIT, 'Wait for the next octet of a message.'),
  dataMs: limit('dataMs', MS_LIMIT, 'Time for one whole message.'),
  sessionMs: limit('sessionMs', MS_LIMIT, 'Time for one session.'),
  minDataBytesPerSecond: limit(
    'minDataBytesPerSecond',
    integer(0, GIB, 'octets/s'),
    'A slower sender only holds a session.',
  ),
  dataRateWindowMs: limit('dataRateWindowMs', MS_LIMIT, 'Over which that rate is averaged.'),
  tlsHandshakeMs: limit('tlsHandshakeMs', MS_LIMIT, 'Time for a TLS handshake; then the connection is closed.'),
  dataProcessingMs: limit(
    'dataProcessingMs',
    MS_LIMIT,
    'From the final dot to the reply; then 451 4.3.0 and nothing is kept.',
  ),
  stressOnRatio: limit('stressOnRatio', ratio(0, 1), 'Share of `connections` in use at which stress mode begins.'),
  stressOffRatio: limit('stressOffRatio', ratio(0, 1), 'Share below which it ends.'),
  stressTimeoutMs: limit(
    'stressTimeoutMs',
    MS_LIMIT,
    'In stress mode in place of `idleMs`, `dataBlockMs` and `tlsHandshakeMs`.',
  ),
  stressErrorsPerSession: limit(
    'stressErrorsPerSession',
    integer(1, 100_000),
    'In stress mode in place of `errorsPerSession`.',
  ),
  memoryHighWaterRatio: limit(
    'memoryHighWaterRatio',
    ratio(0.1, 1),
    'Share of the memory limit above which new sessions get 421.',
  ),
  freeSpaceRatio: limit(
    'freeSpaceRatio',
    ratio(0, 0.95),
    "Share of the spool's volume kept free; below it 452 4.3.1 and not ready.",
  ),
  freeSpaceMessages: limit(
    'freeSpaceMessages',
    integer(0, 1_000),
    'Or room for so many largest messages, whichever is more.',
  ),
  freeInodeRatio: limit('freeInodeRatio', ratio(0, 0.95), "Share of the volume's inodes kept free."),
  queuedMessages: limit('queuedMessages', integer(1, 100_000_000), 'Messages in the spool; more get 452 4.3.1.'),
  queuedVolumeRatio: limit('queuedVolumeRatio', ratio(0.01, 1), 'Share of the volume that queued mail may fill.'),
  largePartBytes: limit(
    'largePartBytes',
    integer(4 * KIB, 10 * MIB, 'octets'),
    'Calendar parts and reports above it are rewritten off the SMTP event loop (BP-2).',
  ),
  largePartsWaiting: limit('largePartsWaiting', integer(1, 10_000), 'Such parts waiting; more are answered 451.'),
  largePartMs: limit('largePartMs', MS_LIMIT, 'Work on one such part; then it stays as it came (PS-8).'),
  largePartMemoryBytes: limit(
    'largePartMemoryBytes',
    integer(64 * MIB, 8 * GIB, 'octets'),
    'Memory for that work; then likewise.',
  ),
  nextHopConnections: limit('nextHopConnections', integer(1, 10_000), 'Connections to all next hops together.'),
  nextHopConnectionsPerHost: limit('nextHopConnectionsPerHost', integer(1, 10_000), 'Connections to one next hop.'),
  nextHopReplyLineBytes: limit(
    'nextHopReplyLineBytes',
    integer(512, MIB, 'octets'),
    'A longer reply line counts as a temporary failure (DL-6).',
  ),
  nextHopReplyBytes: limit('nextHopReplyBytes', integer(512, 16 * MIB, 'octets'), 'A longer reply likewise.'),
  maxTableAge: optional<number | undefined>(
    duration(MINUTE_MS, 3650 * DAY_MS),
    undefined,
    'A table whose file was not renewed for so long is no table: 451 4.3.5.',
    'any age will do',
  ),
}

const retrySettings = {
  firstWaits: optional(
    list(duration(SECOND_MS, 30 * DAY_MS), 1),
    [1, 5, 15, 30].map((minutes) => minutes * MINUTE_MS),
    'Waits after the first failures (DL-1). Each varies by ±10 %.',
    '`[1min, 5min, 15min, 30min]`',
  ),
  thenWait: optional(
    duration(SECOND_MS, 30 * DAY_MS),
    HOUR_MS,
    'Wait after later ones, until the message is `thenUntilAge` old.',
    durationText(HOUR_MS),
  ),
  thenUntilAge: optional(
    duration(0, 30 * DAY_MS),
    6 * HOUR_MS,
    'Age from which `lastWait` holds.',
    durationText(6 * HOUR_MS),
  ),
  lastWait: optional(duration(SECOND_MS, 30 * DAY_MS), 3 * HOUR_MS, 'Wait of old messages.', durationText(3 * HOUR_MS)),
  warnAfter: optional(
    duration(SECOND_MS, 365 * DAY_MS),
    4 * HOUR_MS,
    'Age at which a sender who asked for it (NOTIFY=DELAY) is told that delivery is delayed, once a recipient (DL-4); automatic mail never is. `giveUpAfter` or more: nobody is.',
    durationText(4 * HOUR_MS),
  ),
  giveUpAfter: optional(
    duration(MINUTE_MS, 365 * DAY_MS),
    5 * DAY_MS,
    'Age at which a message is returned. RFC 5321 §4.5.4.1 asks for 4–5 days.',
    durationText(5 * DAY_MS),
  ),
  giveUpNullSenderAfter: optional(
    duration(MINUTE_MS, 365 * DAY_MS),
    2 * DAY_MS,
    'The same for reports and other mail without a sender.',
    durationText(2 * DAY_MS),
  ),
}
export type RetrySettings = Values<typeof retrySettings>

const projectName = parsed('a name of 1 to 64 letters, digits, `-`, `_` and `.`', (written) => {
  return /^[A-Za-z0-9._-]{1,64}$/.test(written) ? written : undefined
})

const policy: Form<Policy> = {
  text: 'section',
  isSection: true,
  read(place, reading) {
    try {
      return parsePolicy(reading.plain(place) ?? {})
    } catch (error) {
      if (!(error instanceof PolicyFault)) throw error
      for (const { path: key, value, rule } of placesOf(reading.file, error.faults)) {
        reading.fault({ ...place, path: `${place.path}.${key.replaceAll('/', '.')}` }, rule, value)
      }
      return FAULTY
    }
  },
}

const relaySettings = section({
  name: optional<string | undefined>(
    hostName,
    undefined,
    'Who the relay says it is: EHLO, Received, Reporting-MTA, sender of its reports.',
    "the host's name",
  ),
  project: optional<string | undefined>(
    projectName,
    undefined,
    'A table of another project is refused. Unset: the project of the first table that loads. The spool is sealed for it: change it with an empty spool only.',
    "the table's",
  ),
  listeners: required(list(listener, 1), 'Where peers connect.'),
  certificates: optional(
    list(keyPair),
    [],
    'What listeners with `tls: starttls` show. The first is for clients that name no server, or another. Read again on SIGHUP. With `controlPlane` none are needed here: those that it pushes are shown, and until then STARTTLS is answered 454 and the relay is not ready.',
  ),
  clientTrust: optional<{ readonly file: string } | undefined>(
    fileOf('PEM: the certificates of the authorities that are believed.'),
    undefined,
    'Whose client certificates are believed (SP-2). Read again on SIGHUP.',
    'those that `controlPlane` pushes, or else the public authorities that Node ships',
  ),
  requireTls: optional(
    parsedBoolean,
    true,
    'MAIL before STARTTLS gets 530, on listeners that have it (SP-10). `false` is accepted on loopback addresses only.',
  ),
  table: optional<{ readonly file: string } | undefined>(
    section({
      file: required(
        path,
        'The mapping table: JSON, or CSV with a header line. Read again when it changes and on SIGHUP. Missing: the relay waits for it and answers 451.',
      ),
    }),
    undefined,
    'Which address becomes which.',
    'none: `controlPlane` pushes it',
  ),
  controlPlane: optional<WrittenControlPlane | undefined>(
    controlPlane,
    undefined,
    'The control plane that pushes the table and all settings of the project, in place of `table` and of `project`, `routes`, `tenants`, `proof`, `nonces`, `dkim`, `seal`, `marker`, `policy`, `privacy`, `postmaster` and `limits.maxTableAge`.',
    'none: the relay stands alone',
  ),
  spool: required(
    section({
      directory: required(
        path,
        'Accepted mail until it is delivered, encrypted. On a local disk. Made, 0700, when missing.',
      ),
      key: required(
        section({
          file: required(
            path,
            'Root key (KM-1). Made, 0600, when missing and the spool is empty. Without it the spool is unreadable: keep a copy elsewhere.',
          ),
        }),
        'Encrypts the spool.',
      ),
    }),
    'Where mail waits.',
  ),
  routes: optional<Routes | undefined>(
    section({
      'owner-tenant': required(route, 'Next hop of `out` mail, and of reports on `in` mail.'),
      mailbox: required(route, 'Next hop of `in` mail, and of reports on `out` mail.'),
    }),
    undefined,
    'Where mail goes, for trying: one server a direction. Only with listeners on loopback addresses.',
    'none: `tenants` say it',
  ),
  tenants: optional<readonly TenantSettings[] | undefined>(
    tenants,
    undefined,
    'The tenants of the project: who may send, by which proof, and where their mail is delivered.',
    'none: `routes` say it',
  ),
  mx: optional<MxSettings | undefined>(
    mx,
    undefined,
    "Delivery to the mail exchangers of recipients' domains, for `policy: { route: mx }` and table entries with that route.",
    'nothing is delivered so',
  ),
  proof: optionalSection(proof, 'What proves that a message comes from a tenant of the project (SP-4).'),
  nonces: optional<{ readonly file: string } | undefined>(
    fileOf('JSON: `{ "format": "causeway-nonces/1", "nonces": [{ "nonce": …, "until": … }] }`. Read again on SIGHUP.'),
    undefined,
    'Recipients of connector validation and probes, which are answered, recorded and delivered nowhere (SP-11).',
    'none: such mail is ordinary mail',
  ),
  dkim: optional(signingKeys, [], 'Keys that sign mail by its From domain (R80). Read again on SIGHUP.'),
  seal: optional<SigningKeyFile | undefined>(
    signingKey,
    undefined,
    'The key of the ARC seal (R83): an RSA key of a domain that the tenants trust as a sealer.',
    'mail is not sealed',
  ),
  metrics: optional<{ address: string; port: number } | undefined>(
    section({
      address: required(
        address,
        'Where /metrics, /healthz and /readyz are answered. They hold no personal data, but are not for strangers.',
      ),
      port: required(port, '`0` takes a free one and logs it.'),
    }),
    undefined,
    'Monitoring over HTTP.',
    'none',
  ),
  workers: optional(
    integer(1, 64),
    1,
    'Processes that carry mail, each with its own part of the spool (docs/workers.md). Two cores do as well with one; more cores want more. Read at start only.',
  ),
  marker: optional<{ file: string } | undefined>(
    section({
      file: required(
        path,
        'JSON with `token`, `secret`, and `previousToken`, `previousSecret` while they are being replaced (R76, DL-10). Made, 0600, when missing.',
      ),
    }),
    undefined,
    'Marks mail that passed, so that a loop is seen.',
    '`marker.json` beside the spool key',
  ),
  policy: optionalSection(
    policy,
    'What is rewritten: `inHeaders`, `displayNameAddress`, `noExtensions`, `tnef`, `signed`, `route`, `staleDkim`, `arc` (docs/address-rewriting.md).',
    'each key its first value',
  ),
  limits: optionalSection(section(limitSettings), 'What peers, next hops and the disk may take.'),
  retry: optionalSection(section(retrySettings), 'When a failed delivery is tried again.'),
  journal: optionalSection(
    section({
      keepDays: optional(integer(1, 366, 'days'), 30, 'Whole days that a line is kept after its own (PR-4).'),
      maxDayBytes: optional(
        integer(MIB, 1024 * GIB, 'octets'),
        2 * GIB,
        "Of one day's file; what comes on top is dropped and counted. A recipient takes some 350 octets an attempt, and a message 300 more.",
      ),
    }),
    'What became of each recipient at each attempt, without content, for `causeway trace`: one file a day in the folder `journal` of the spool directory.',
  ),
  privacy: optional(
    oneOf(...PRIVACY_LEVELS),
    'hashed',
    'Addresses in log and events: keyed hash and domain, nothing, or as they are (PR-2).',
  ),
  postmaster: optional<string | undefined>(
    mailAddress,
    undefined,
    'Who gets mail to the unqualified `postmaster` (RFC 5321 §4.5.1).',
    'such mail is refused',
  ),
  log: optionalSection(
    section({ level: optional(oneOf(...LOG_LEVELS), 'info', 'Events below it are dropped.') }),
    'The log goes to standard error, one JSON object a line.',
  ),
})
type Routes = { readonly 'owner-tenant': SmartHost; readonly mailbox: SmartHost }
export type WrittenSettings = typeof relaySettings extends Form<infer T> ? T : never

/** Nothing that starts may be open, believe everybody, or speak cleartext towards a tenant. */
export const RELAY_SETTINGS = checked(relaySettings, (value, place, reading) => {
  if (value.controlPlane !== undefined) {
    for (const keys of PUSHED_KEYS) {
      if (reading.isWritten(place, keys))
        reading.faultWithin(place, keys, 'stands beside `controlPlane`, which pushes it', '')
    }
  }
  for (const { keys, rule } of unsafeParts(value)) reading.faultWithin(place, keys, rule)
})
