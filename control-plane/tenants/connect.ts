// What connecting tenants is made of, once a process: the shared registration, Entra's endpoints by cloud, and the clients of Microsoft 365.
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Microsoft365 } from '../microsoft/clients.ts'
import { createMicrosoft365 } from '../microsoft/microsoft365.ts'
import type { Settings } from '../settings.ts'
import { loadSharedApp } from './connection.ts'
import type { SharedApp } from './connection.ts'
import { LoginClouds } from './login-clouds.ts'

export interface Connect {
  readonly sharedApp: SharedApp | undefined
  readonly clouds: LoginClouds
  readonly microsoft: Microsoft365
}

export interface ConnectOptions {
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

/** @throws Error for a certificate or key that can't be read, without anything of the key in it */
export async function openConnect(settings: Settings, options: ConnectOptions): Promise<Connect> {
  return {
    sharedApp: await loadSharedApp(settings.connect),
    clouds: new LoginClouds({ mode: settings.mode, sandboxUrl: settings.microsoft.sandbox.entra, now: options.now }),
    microsoft: createMicrosoft365({ settings, ...options }),
  }
}
