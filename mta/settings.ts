// The relay's configuration as the rest of it sees it: read once, checked whole, paths absolute, every default filled in. (product.md §8)
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { LogLevel } from '../common/log.ts'
import type { Policy } from '../rewrite-rules/index.ts'
import type { JournalSettings } from './journal/journal.ts'
import type { Limits } from './limits.ts'
import { parseHostName } from './network-names.ts'
import type { Privacy } from './privacy.ts'
import { RELAY_SETTINGS } from './settings-keys.ts'
import type { RetrySettings, WrittenSettings } from './settings-keys.ts'
import { SettingsFault } from './settings-fault.ts'
import type { WrittenControlPlane } from './settings-control-plane.ts'
import type { ListenerSettings } from './settings-listeners.ts'
import type { MxSettings } from './settings-mx.ts'
import type { ProofSettings, TenantSettings } from './settings-routes.ts'
import type { SigningKeyFile } from './settings-signing.ts'
import { readSettingsText } from './settings-reader.ts'

export { SettingsFault } from './settings-fault.ts'
export type { RetrySettings } from './settings-keys.ts'
export type { MxSettings } from './settings-mx.ts'
export type { ListenerSettings } from './settings-listeners.ts'
export type { ProofSettings, SmartHost, TenantSettings } from './settings-routes.ts'

export interface Settings {
  /** Absolute path of the file these were read from. */
  readonly file: string
  /** EHLO, Received, authserv-id, Reporting-MTA. */
  readonly name: string
  /** undefined: that of the first table. */
  readonly project: string | undefined
  readonly listeners: readonly ListenerSettings[]
  /** Either this or `controlPlane`. */
  readonly table: { readonly file: string } | undefined
  /** undefined: the relay stands alone. */
  readonly controlPlane: ControlPlaneSettings | undefined
  readonly spool: {
    readonly directory: string
    readonly key: { readonly file: string }
    /** Project that the spool is sealed for (SF-1): it must be known before any table is. Of an enrolled relay see enrolment/enrolled-settings.ts. */
    readonly project: string
  }
  readonly certificates: WrittenSettings['certificates']
  readonly clientTrust: { readonly file: string } | undefined
  readonly requireTls: boolean
  /** Either these or tenants. */
  readonly routes: WrittenSettings['routes']
  readonly tenants: readonly TenantSettings[] | undefined
  /** undefined: nothing is delivered by MX. */
  readonly mx: (MxSettings & { readonly mtaStsCache: { readonly file: string } }) | undefined
  readonly proof: ProofSettings
  readonly nonces: { readonly file: string } | undefined
  readonly dkim: readonly SigningKeyFile[]
  readonly seal: SigningKeyFile | undefined
  readonly metrics: { readonly address: string; readonly port: number } | undefined
  /** Processes that carry mail; limits are the whole relay's. */
  readonly workers: number
  readonly marker: { readonly file: string }
  readonly policy: Policy
  readonly limits: Limits
  readonly retry: RetrySettings
  readonly journal: JournalSettings
  readonly privacy: Privacy
  readonly postmaster: string | undefined
  readonly log: { readonly level: LogLevel }
  /** Nothing to refuse, but an operator should read it once: for the log at start. */
  readonly warnings: readonly string[]
}

/** A control plane, and where what it says is kept. */
export type ControlPlaneSettings = Omit<WrittenControlPlane, 'state'> & {
  readonly state: { readonly directory: string }
}

/** A configuration with a control plane. */
export type EnrolledSettings = Settings & { readonly controlPlane: ControlPlaneSettings }

export function hasControlPlane(settings: Settings): settings is EnrolledSettings {
  return settings.controlPlane !== undefined
}

/** A relay serves one project (SP-1): where the configuration doesn't say which, any name will do. */
const UNNAMED_PROJECT = 'relay'
/** A configuration is written by hand: more than this is another file. */
const MAX_FILE_BYTES = 1024 * 1024

/** @throws SettingsFault with every fault of the file */
export async function loadSettings(file: string, hostName = hostname()): Promise<Settings> {
  const absolute = resolve(file)
  return parseSettings(absolute, await readSettingsFile(absolute), hostName)
}

/**
 * The configuration's text, for `parseSettings`.
 * @throws SettingsFault
 */
export async function readSettingsFile(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw fileFault(file, `can't be read (${codeOf(cause)})`, cause)
  })
  if (bytes.length > MAX_FILE_BYTES) throw fileFault(file, 'is larger than 1 MiB')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw fileFault(file, 'is not UTF-8', cause)
  }
}

/**
 * @param file  absolute; relative paths in `source` count from its folder
 * @throws SettingsFault
 */
export function parseSettings(file: string, source: string, hostName: string): Settings {
  const written = readSettingsText(file, source, RELAY_SETTINGS)
  const { maxTableAge, ...limits } = written.limits
  const name = written.name ?? parseHostName(hostName)
  return {
    ...written,
    file,
    name: name ?? 'localhost',
    spool: { ...written.spool, project: written.project ?? UNNAMED_PROJECT },
    controlPlane: written.controlPlane && {
      ...written.controlPlane,
      state: written.controlPlane.state ?? { directory: join(written.spool.directory, 'control-plane') },
    },
    marker: written.marker ?? { file: join(dirname(written.spool.key.file), 'marker.json') },
    mx: written.mx && {
      ...written.mx,
      mtaStsCache: written.mx.mtaStsCache ?? { file: join(dirname(written.spool.key.file), 'mta-sts.json') },
    },
    limits: { ...limits, maxTableAgeMs: maxTableAge },
    warnings: name === undefined ? ["the host's name can't be used on the wire: set `name`"] : [],
  }
}

function fileFault(file: string, rule: string, cause?: unknown): SettingsFault {
  return new SettingsFault([{ file, path: '', value: '', rule }], { cause })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
