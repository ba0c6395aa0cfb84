// Settings of api and worker, from the environment: each name, its form, default and reason in one table, read once into one typed value, or every
// fault is told. Each NAME is also read as NAME_FILE, a path; in production a value that holds a secret only so. (product.md §2, KM-5)
// docs/control-plane-settings.md is made of this table; a test keeps the two equal.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { LOG_LEVELS } from '../common/log.ts'
import type { LogLevel } from '../common/log.ts'
import { DEFAULT_BUDGETS_TEXT, parseBudgets } from './microsoft/budgets.ts'
import type { Budgets } from './microsoft/budgets.ts'

export type Mode = 'production' | 'evaluation'

export interface Settings {
  readonly mode: Mode
  readonly publicUrl: URL
  readonly listen: { readonly address: string; readonly port: number }
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined
  readonly trustedProxies: readonly string[]
  readonly metrics: { readonly address: string; readonly port: number }
  /** `postgres://…`, or in an evaluation the folder of a Unix socket with user and database: `socket:/folder?user=…&database=…`. */
  readonly database: { readonly connection: Connection; readonly maxConnections: number }
  /** undefined: jobs wait in Postgres. */
  readonly redisUrl: string | undefined
  readonly keys: KeySettings
  readonly entra: EntraSettings | undefined
  readonly microsoft: MicrosoftSettings
  /** The multi-tenant app registration by which tenants are connected. */
  readonly connect: ConnectSettings | undefined
  readonly smtp: { readonly url: string; readonly from: string } | undefined
  readonly dnsServers: readonly string[]
  readonly outboundAllow: readonly string[]
  readonly auditExportDirectory: string | undefined
  readonly auditExportUrl: URL | undefined
  readonly region: string
  readonly logLevel: LogLevel
}

export type Connection = string | { readonly host: string; readonly user: string; readonly database: string }

export type KeySettings =
  | { readonly kind: 'file'; readonly directory: string }
  | { readonly kind: 'key-vault'; readonly url: URL; readonly keyName: string; readonly identity: VaultIdentity }

export type VaultIdentity =
  | { readonly kind: 'managed' }
  | {
      readonly kind: 'certificate'
      readonly tenantId: string
      readonly clientId: string
      readonly certificateFile: string
    }

export interface ConnectSettings {
  readonly clientId: string
  readonly certificateFile: string
  readonly keyFile: string
}

export interface EntraSettings {
  readonly cloud: 'global' | 'gcc-high' | 'dod' | 'china'
  readonly tenantId: string
  readonly clientId: string
  readonly certificateFile: string
  readonly keyFile: string
  /** Entra tenants whose people may sign in; empty: only `tenantId`. */
  readonly signInTenants: readonly string[]
  /** Evaluation only: where the simulated Entra listens. */
  readonly sandboxUrl: URL | undefined
}

export interface MicrosoftSettings {
  readonly budgets: Budgets
  /** Evaluation only: where simulated services listen. Entra alone is for trying the sign-in; tenants need all three. */
  readonly sandbox: {
    readonly entra: URL | undefined
    readonly graph: URL | undefined
    readonly exchange: URL | undefined
  }
}

/** Every fault of the environment, in words that say what to set. */
export class SettingsFault extends Error {
  override readonly name = 'SettingsFault'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

interface Setting {
  readonly name: string
  /** Of the value, for documentation. */
  readonly form: string
  readonly default?: string
  readonly why: string
  /** Whether this value must come from a file in production. */
  readonly holdsSecret?: (value: string) => boolean
}

const hasPassword = (value: string): boolean => URL.canParse(value) && new URL(value).password !== ''

export const SETTINGS: readonly Setting[] = [
  {
    name: 'CAUSEWAY_MODE',
    form: '`production` or `evaluation`',
    default: 'production',
    why: 'An evaluation takes what production refuses: plain HTTP on loopback, a simulated Entra, Redis that forgets. `npm start` sets it.',
  },
  {
    name: 'PUBLIC_URL',
    form: 'a URL without path',
    why: 'Where browsers, scripts and relays reach the API: sign-in comes back here, and relays are told it. https in production.',
  },
  {
    name: 'LISTEN_ADDRESS',
    form: 'an IPv4 or IPv6 address',
    default: '127.0.0.1',
    why: 'Where to listen. In an image: `0.0.0.0`, behind a proxy that ends TLS.',
  },
  {
    name: 'PORT',
    form: 'integer, 0 to 65,535',
    default: '8080',
    why: 'Port to listen on; `0` takes a free one and logs it.',
  },
  {
    name: 'TLS_CERTIFICATE_FILE',
    form: 'a path',
    why: 'PEM chain, to end TLS here rather than in a proxy. With `TLS_KEY_FILE`.',
  },
  { name: 'TLS_KEY_FILE', form: 'a path', why: 'PEM private key of it.' },
  {
    name: 'TRUSTED_PROXIES',
    form: 'addresses or ranges, `,` between them',
    default: '',
    why: 'Proxies whose X-Forwarded-For and -Proto are believed (WS-7).',
  },
  {
    name: 'METRICS_ADDRESS',
    form: 'an IPv4 or IPv6 address',
    default: '127.0.0.1',
    why: 'Where /metrics, /healthz and /readyz are served apart from the API (OP-1).',
  },
  { name: 'METRICS_PORT', form: 'integer, 0 to 65,535', default: '9470', why: 'Port of it.' },
  {
    name: 'DATABASE_URL',
    form: 'a `postgres://` URL',
    why: 'Postgres 15 to 18, as a role that is `causeway_service` or a member of it: it owns nothing and can change no schema (TI-2).',
    holdsSecret: hasPassword,
  },
  {
    name: 'MIGRATION_DATABASE_URL',
    form: 'a `postgres://` URL',
    why: 'For `db migrate` alone: as a role that owns the schema and may make roles. Unset: `DATABASE_URL`.',
    holdsSecret: hasPassword,
  },
  { name: 'DATABASE_MAX_CONNECTIONS', form: 'integer, 2 to 1,000', default: '20', why: 'Connections of this process.' },
  {
    name: 'REDIS_URL',
    form: 'a `redis://` or `rediss://` URL, or the path of a Unix socket',
    why: 'The job queue. Unset: jobs wait in Postgres.',
    holdsSecret: hasPassword,
  },
  { name: 'KEY_PROVIDER', form: '`file` or `key-vault`', default: 'file', why: 'What holds the root key (KM-1).' },
  {
    name: 'KEY_DIRECTORY',
    form: 'a path',
    default: 'keys',
    why: 'Root keys of provider `file`, one file a version; 0700, made at the first run, on a file system with hard links. Without it nothing sealed can be read: keep a copy elsewhere.',
  },
  {
    name: 'KEY_VAULT_URL',
    form: 'a URL',
    why: 'Azure Key Vault of provider `key-vault`: `https://<name>.vault.azure.net`.',
  },
  { name: 'KEY_VAULT_KEY', form: 'a key name', default: 'causeway', why: 'Name of the root key in it.' },
  {
    name: 'KEY_VAULT_TENANT_ID',
    form: 'a GUID',
    why: 'With the next two: the application that opens the vault. Unset: the managed identity of the machine.',
  },
  { name: 'KEY_VAULT_CLIENT_ID', form: 'a GUID', why: 'Its client id.' },
  { name: 'KEY_VAULT_CERTIFICATE_FILE', form: 'a path', why: 'PEM: its certificate and private key.' },
  {
    name: 'ENTRA_CLOUD',
    form: '`global`, `gcc-high`, `dod` or `china`',
    default: 'global',
    why: 'Where people sign in.',
  },
  {
    name: 'ENTRA_TENANT_ID',
    form: 'a GUID',
    why: "The tenant in which this installation's application is registered. Unset: nobody can sign in but by the one-time code.",
  },
  { name: 'ENTRA_CLIENT_ID', form: 'a GUID', why: 'Client id of that application.' },
  {
    name: 'ENTRA_CERTIFICATE_FILE',
    form: 'a path',
    why: 'PEM: the certificate by which it proves itself (EC-1: no client secrets).',
  },
  { name: 'ENTRA_KEY_FILE', form: 'a path', why: 'PEM: the private key of it.' },
  {
    name: 'ENTRA_SIGN_IN_TENANTS',
    form: 'GUIDs, `,` between them',
    default: '',
    why: 'Further tenants whose people may sign in.',
  },
  {
    name: 'CONNECT_CLIENT_ID',
    form: 'a GUID',
    why: 'Multi-tenant app registration by which tenants of the model `multi-tenant` are connected; with the two below. Unset: every tenant has one of its own.',
  },
  {
    name: 'CONNECT_CERTIFICATE_FILE',
    form: 'a path',
    why: 'PEM certificate that this registration knows. Client secrets are not taken (EC-1).',
  },
  { name: 'CONNECT_KEY_FILE', form: 'a path', why: 'PEM private key of it.' },
  { name: 'ENTRA_SANDBOX_URL', form: 'a URL on loopback', why: 'Evaluation only: a simulated Entra.' },
  {
    name: 'SANDBOX_GRAPH_URL',
    form: 'a URL on loopback',
    why: 'Evaluation only: a simulated Microsoft Graph. With `ENTRA_SANDBOX_URL` and `SANDBOX_EXCHANGE_URL`.',
  },
  { name: 'SANDBOX_EXCHANGE_URL', form: 'a URL on loopback', why: 'Evaluation only: a simulated Exchange Online.' },
  {
    name: 'MICROSOFT_BUDGETS',
    form: '`name=units/seconds` or `name=requests at the same time`, `,` between',
    default: DEFAULT_BUDGETS_TEXT,
    why: "What this process may ask of Microsoft 365, by kind of work; nine tenths of it are used. The published limits, which change; where several workers serve the same tenants, each one's part. Names that are left out keep their default.",
  },
  {
    name: 'SMTP_URL',
    form: 'an `smtp://` or `smtps://` URL',
    why: 'Server for notification mail. Unset: none is sent.',
    holdsSecret: hasPassword,
  },
  { name: 'SMTP_FROM', form: 'an address', default: 'causeway@localhost', why: 'Its sender.' },
  {
    name: 'DNS_SERVERS',
    form: 'addresses, `,` between them',
    default: '',
    why: "Resolvers for checks of published records. Unset: the system's.",
  },
  {
    name: 'OUTBOUND_ALLOW',
    form: 'address ranges, `,` between them',
    default: '',
    why: 'Private ranges that webhooks may reach all the same (WS-5).',
  },
  {
    name: 'AUDIT_EXPORT_DIRECTORY',
    form: 'a path',
    why: 'Write-once storage for signed checkpoints of the audit trail (AU-3).',
  },
  {
    name: 'AUDIT_EXPORT_URL',
    form: 'a URL',
    why: 'Signed checkpoints are also posted here, each as text (AU-3). https; a private address only where `OUTBOUND_ALLOW` lists it.',
  },
  {
    name: 'REGION',
    form: 'a name',
    default: 'default',
    why: 'Region label of this installation: organisations, keys and relays must have the same (TI-5).',
  },
  {
    name: 'LOG_LEVEL',
    form: '`debug`, `info`, `warn` or `error`',
    default: 'info',
    why: 'Events below it are dropped.',
  },
]

/** @throws SettingsFault with every fault */
export function loadSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const reader = new EnvironmentReader(env)
  const mode = reader.oneOf('CAUSEWAY_MODE', ['production', 'evaluation'])
  reader.mode = mode
  const settings: Settings = {
    mode,
    publicUrl: reader.origin('PUBLIC_URL', mode === 'production'),
    listen: { address: reader.address('LISTEN_ADDRESS'), port: reader.integer('PORT', 0, 65_535) },
    tls: tlsSettings(reader),
    trustedProxies: reader.list('TRUSTED_PROXIES'),
    metrics: { address: reader.address('METRICS_ADDRESS'), port: reader.integer('METRICS_PORT', 0, 65_535) },
    database: {
      connection: reader.connection('DATABASE_URL'),
      maxConnections: reader.integer('DATABASE_MAX_CONNECTIONS', 2, 1_000),
    },
    redisUrl: reader.text('REDIS_URL'),
    keys: keySettings(reader),
    entra: entraSettings(reader),
    microsoft: microsoftSettings(reader),
    connect: connectSettings(reader),
    smtp: smtpSettings(reader),
    dnsServers: reader.list('DNS_SERVERS'),
    outboundAllow: reader.list('OUTBOUND_ALLOW'),
    auditExportDirectory: reader.text('AUDIT_EXPORT_DIRECTORY'),
    auditExportUrl: reader.text('AUDIT_EXPORT_URL') === undefined ? undefined : reader.url('AUDIT_EXPORT_URL'),
    region: reader.required('REGION'),
    logLevel: reader.oneOf('LOG_LEVEL', LOG_LEVELS),
  }
  if (reader.faults.length > 0) throw new SettingsFault(reader.faults)
  return settings
}

/** The owner's connection, for `db migrate` alone. @throws SettingsFault */
export function loadMigrationConnection(env: Readonly<Record<string, string | undefined>>): Connection {
  const reader = new EnvironmentReader(env)
  reader.mode = reader.oneOf('CAUSEWAY_MODE', ['production', 'evaluation'])
  const name = reader.text('MIGRATION_DATABASE_URL') === undefined ? 'DATABASE_URL' : 'MIGRATION_DATABASE_URL'
  const connection = reader.connection(name)
  if (reader.faults.length > 0) throw new SettingsFault(reader.faults)
  return connection
}

/** The connection of api and worker, for a command on the server that needs nothing else. @throws SettingsFault */
export function loadServiceConnection(env: Readonly<Record<string, string | undefined>>): Connection {
  const reader = new EnvironmentReader(env)
  reader.mode = reader.oneOf('CAUSEWAY_MODE', ['production', 'evaluation'])
  const connection = reader.connection('DATABASE_URL')
  if (reader.faults.length > 0) throw new SettingsFault(reader.faults)
  return connection
}

/** What reading the stored data takes: the service's connection and the keys. */
export interface StoredDataSettings {
  readonly connection: Connection
  readonly keys: KeySettings
}

/** For a command on the server that goes through a database, or through a copy of it. @throws SettingsFault */
export function loadStoredDataSettings(env: Readonly<Record<string, string | undefined>>): StoredDataSettings {
  const reader = new EnvironmentReader(env)
  reader.mode = reader.oneOf('CAUSEWAY_MODE', ['production', 'evaluation'])
  const settings = { connection: reader.connection('DATABASE_URL'), keys: keySettings(reader) }
  if (reader.faults.length > 0) throw new SettingsFault(reader.faults)
  return settings
}

function tlsSettings(reader: EnvironmentReader): Settings['tls'] {
  const certificateFile = reader.text('TLS_CERTIFICATE_FILE')
  const keyFile = reader.text('TLS_KEY_FILE')
  if (certificateFile === undefined && keyFile === undefined) return undefined
  if (certificateFile === undefined || keyFile === undefined) {
    reader.fault(
      certificateFile === undefined ? 'TLS_CERTIFICATE_FILE' : 'TLS_KEY_FILE',
      'is needed with the other of the two',
    )
    return undefined
  }
  return { certificateFile, keyFile }
}

function keySettings(reader: EnvironmentReader): KeySettings {
  if (reader.oneOf('KEY_PROVIDER', ['file', 'key-vault']) === 'file')
    return { kind: 'file', directory: reader.required('KEY_DIRECTORY') }
  const url = reader.url('KEY_VAULT_URL')
  if (url.protocol !== 'https:') reader.fault('KEY_VAULT_URL', 'must be https')
  const tenantId = reader.text('KEY_VAULT_TENANT_ID')
  const identity: VaultIdentity =
    tenantId === undefined
      ? { kind: 'managed' }
      : {
          kind: 'certificate',
          tenantId,
          clientId: reader.guid('KEY_VAULT_CLIENT_ID'),
          certificateFile: reader.required('KEY_VAULT_CERTIFICATE_FILE'),
        }
  return { kind: 'key-vault', url, keyName: reader.required('KEY_VAULT_KEY'), identity }
}

function connectSettings(reader: EnvironmentReader): ConnectSettings | undefined {
  if (reader.text('CONNECT_CLIENT_ID') === undefined) return undefined
  return {
    clientId: reader.guid('CONNECT_CLIENT_ID'),
    certificateFile: reader.required('CONNECT_CERTIFICATE_FILE'),
    keyFile: reader.required('CONNECT_KEY_FILE'),
  }
}

function entraSettings(reader: EnvironmentReader): EntraSettings | undefined {
  const cloud = reader.oneOf('ENTRA_CLOUD', ['global', 'gcc-high', 'dod', 'china'])
  if (reader.text('ENTRA_TENANT_ID') === undefined) return undefined
  const sandbox = reader.text('ENTRA_SANDBOX_URL')
  return {
    cloud,
    tenantId: reader.guid('ENTRA_TENANT_ID'),
    clientId: reader.guid('ENTRA_CLIENT_ID'),
    certificateFile: reader.required('ENTRA_CERTIFICATE_FILE'),
    keyFile: reader.required('ENTRA_KEY_FILE'),
    signInTenants: reader.list('ENTRA_SIGN_IN_TENANTS').map((id) => id.toLowerCase()),
    sandboxUrl: sandbox === undefined ? undefined : reader.url('ENTRA_SANDBOX_URL'),
  }
}

const SANDBOX_URLS = {
  ENTRA_SANDBOX_URL: 'Entra',
  SANDBOX_GRAPH_URL: 'Graph',
  SANDBOX_EXCHANGE_URL: 'Exchange',
} as const

function microsoftSettings(reader: EnvironmentReader): MicrosoftSettings {
  const sandboxUrl = (name: keyof typeof SANDBOX_URLS): URL | undefined => {
    if (reader.text(name) === undefined) return undefined
    if (reader.mode !== 'evaluation') reader.fault(name, `a simulated ${SANDBOX_URLS[name]} is for evaluations only`)
    return reader.url(name)
  }
  const sandbox = {
    entra: sandboxUrl('ENTRA_SANDBOX_URL'),
    graph: sandboxUrl('SANDBOX_GRAPH_URL'),
    exchange: sandboxUrl('SANDBOX_EXCHANGE_URL'),
  }
  if ((sandbox.graph === undefined) !== (sandbox.exchange === undefined))
    reader.fault('SANDBOX_GRAPH_URL', 'and SANDBOX_EXCHANGE_URL are needed together')
  if (sandbox.graph !== undefined && sandbox.entra === undefined)
    reader.fault('SANDBOX_GRAPH_URL', 'needs ENTRA_SANDBOX_URL: Microsoft would not take its tokens')
  const text = reader.text('MICROSOFT_BUDGETS') ?? ''
  return { budgets: parseBudgets(text, (rule) => reader.fault('MICROSOFT_BUDGETS', rule)), sandbox }
}

function smtpSettings(reader: EnvironmentReader): Settings['smtp'] {
  const url = reader.text('SMTP_URL')
  return url === undefined ? undefined : { url, from: reader.required('SMTP_FROM') }
}

const NO_URL = new URL('about:blank')

class EnvironmentReader {
  readonly faults: string[] = []
  mode: Mode = 'production'
  readonly #env: Readonly<Record<string, string | undefined>>

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#env = env
  }

  fault(name: string, rule: string): void {
    this.faults.push(`${name} ${rule}`)
  }

  /** undefined when it is neither set nor has a default. */
  text(name: string): string | undefined {
    const direct = this.#env[name]
    const file = this.#env[`${name}_FILE`]
    const setting = SETTINGS.find((known) => known.name === name)
    if (direct !== undefined && direct !== '' && file !== undefined) this.fault(name, `and ${name}_FILE are both set`)
    if (file !== undefined && !SETTINGS.some((known) => known.name === `${name}_FILE`)) return this.#read(name, file)
    if (direct === undefined || direct === '') return setting?.default === '' ? undefined : setting?.default
    if (this.mode === 'production' && setting?.holdsSecret?.(direct) === true)
      this.fault(name, `holds a secret: in production set ${name}_FILE to the path of a file with it`)
    return direct
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === undefined) this.fault(name, 'is not set')
    return value ?? ''
  }

  list(name: string): string[] {
    return (this.text(name) ?? '')
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  }

  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.text(name)
    const found = values.find((known) => known === value)
    if (found === undefined) this.fault(name, `must be one of ${values.join(', ')}`)
    return found ?? values[0]
  }

  integer(name: string, min: number, max: number): number {
    const value = this.required(name)
    const number = Number(value)
    if (!/^\d{1,9}$/.test(value) || number < min || number > max)
      this.fault(name, `must be an integer from ${min} to ${max}`)
    return number
  }

  address(name: string): string {
    const value = this.required(name)
    if (isIP(value) === 0) this.fault(name, 'must be an IPv4 or IPv6 address')
    return value
  }

  guid(name: string): string {
    const value = this.required(name).toLowerCase()
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) this.fault(name, 'must be a GUID')
    return value
  }

  url(name: string): URL {
    const value = this.required(name)
    if (URL.canParse(value)) return new URL(value)
    if (value !== '') this.fault(name, 'must be a URL')
    return NO_URL
  }

  origin(name: string, isHttpsOnly: boolean): URL {
    const url = this.url(name)
    if (url === NO_URL) return url
    if (url.protocol !== 'https:' && (isHttpsOnly || url.protocol !== 'http:')) this.fault(name, 'must be https')
    if (url.pathname !== '/' || url.search !== '' || url.hash !== '') this.fault(name, 'must have no path')
    return url
  }

  connection(name: string): Connection {
    const value = this.required(name)
    if (value === '') return value
    if (/^postgres(ql)?:\/\//.test(value) && URL.canParse(value)) return value
    const socket = /^socket:(\/[^?]+)\?user=([\w-]+)&database=([\w-]+)$/.exec(value)
    if (socket !== null) return { host: socket[1] ?? '', user: socket[2] ?? '', database: socket[3] ?? '' }
    this.fault(name, 'must be a postgres:// URL')
    return value
  }

  #read(name: string, file: string): string {
    try {
      return readFileSync(file, 'utf8').trim()
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown fault'
      this.fault(`${name}_FILE`, `can't be read (${code})`)
      return ''
    }
  }
}
