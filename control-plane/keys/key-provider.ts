// What a key service must be able to do (KM-1): hold named keys that never leave it, and wrap project keys with them. Every project has a
// named key of its own, and so has the installation; each has versions. Two providers keep this contract: file-provider.ts and
// key-vault-provider.ts.
import type { KeyObject } from 'node:crypto'

/** A named key: lower-case letters, digits and `-`, as a file system and a key vault both take it. */
export type KeyName = string
const KEY_NAME = /^[a-z0-9](?:[a-z0-9-]{0,78}[a-z0-9])?$/

export const INSTALLATION_KEY: KeyName = 'installation'
/** Of project `prj_…`: its alphabet has no capitals, so two projects never share a name where names are case-insensitive. */
export const projectKeyName = (project: string): KeyName => checkedKeyName(project.replace('_', '-'))

/** @throws RangeError for what would not be one file, or one segment of a path */
export function checkedKeyName(name: string): KeyName {
  if (!KEY_NAME.test(name)) throw new RangeError('not a name of a key')
  return name
}

/** A key under a named key: harmless by itself, and says what opens it. */
export interface WrappedKey {
  /** Which provider, and which of its kind: a wrapped key is never tried on another vault or directory. */
  readonly provider: string
  readonly key: KeyName
  readonly version: string
  readonly bytes: Uint8Array
}

/**
 * How final the end of a key is.
 * - `destroyed`: nobody can unwrap with it any more
 * - `scheduled`: the service refuses to use it, and erases it at `purgeAt`; until then its administrators can bring it back
 * - `disabled`: it is refused, and its administrators can enable it again
 */
export type Destruction =
  | { readonly kind: 'destroyed' }
  | { readonly kind: 'scheduled'; readonly purgeAt: Date }
  | { readonly kind: 'disabled' }

export interface KeyServiceHealth {
  readonly isReady: boolean
  /** For operators: why not. */
  readonly reason?: string
}

/** All but `health` throw `KeyServiceUnavailable`, `KeyDestroyed` or `KeyUnusable`. Safe to call at once and from several processes. */
export interface KeyProvider {
  readonly id: string
  /** Makes the key unless it is there. */
  create(key: KeyName): Promise<void>
  /** Wraps a 256-bit key with the newest version. @param context  unwraps only under the very same */
  wrap(key: KeyName, secret: KeyObject, context: string): Promise<WrappedKey>
  unwrap(wrapped: WrappedKey, context: string): Promise<KeyObject>
  /** A new version, for all that is wrapped from now on; what older ones wrapped stays readable. @returns the newest version */
  rotate(key: KeyName): Promise<string>
  /** Ends a version, or the key with all of them; can be repeated, and goes on where an interrupted one stopped. */
  destroy(key: KeyName, version?: string): Promise<Destruction>
  health(): Promise<KeyServiceHealth>
  close(): void
}

/** Temporary: the key service can't be reached, is too busy, or doesn't let us in at the moment. (KM-4) */
export class KeyServiceUnavailable extends Error {
  override readonly name = 'KeyServiceUnavailable'
  /** ms that the service asked us to wait */
  readonly retryAfterMs: number | undefined

  constructor(message: string, options: { cause?: unknown; retryAfterMs?: number | undefined } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : {})
    this.retryAfterMs = options.retryAfterMs
  }
}

/** For good: the key was destroyed, and with it everything under it. (KM-3) */
export class KeyDestroyed extends Error {
  override readonly name = 'KeyDestroyed'
}

/** Definite, but not destroyed: a wrong or damaged wrapped key, another vault, a disabled key. Somebody has to look. */
export class KeyUnusable extends Error {
  override readonly name = 'KeyUnusable'
}
