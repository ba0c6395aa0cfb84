// What a relay keeps of its enrolment (RC-1): its own keys, and whom it belongs to. Sealed with the spool's root key, replaced in one step.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { SnapshotKey } from '../../common/relay-contract.ts'
import { openText, sealText } from '../sealed-file.ts'
import { SettingsFault } from '../settings-fault.ts'
import { Disk } from '../spool/disk.ts'

export interface RelayKeys {
  /** Ed25519; signs the relay's tokens. */
  readonly signing: KeyObject
  /** X25519; secret parts are sealed to it (RC-2). */
  readonly sealing: KeyObject
}

/** Whom the relay belongs to. */
export interface Enrolment {
  readonly relay: string
  readonly organization: string
  readonly project: string
  readonly installation: string
  /** The one pinned key that snapshots are believed by. */
  readonly snapshotKey: SnapshotKey
  readonly isRevoked: boolean
  /** SHA-256 of the code it was enrolled with, hex: another code asks for another enrolment. */
  readonly codeDigest: string
}

export interface EnrolmentState {
  readonly keys: RelayKeys
  /** undefined: asked for, not answered yet. */
  readonly enrolment: Enrolment | undefined
}

const FILE = 'enrolment'
const PURPOSE = 'causeway relay enrolment 1'
const FORMAT = 'causeway-relay-enrolment/1'

export function makeRelayKeys(): RelayKeys {
  return { signing: generateKeyPairSync('ed25519').privateKey, sealing: generateKeyPairSync('x25519').privateKey }
}

/** SPKI DER of the public half in base64url, as the contract writes keys. */
export function publicText(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64url')
}

export class EnrolmentStore {
  readonly #disk: Disk
  readonly #rootKey: Uint8Array
  readonly file: string

  constructor(stateDirectory: string, rootKey: Uint8Array) {
    this.#disk = new Disk(stateDirectory)
    this.#rootKey = rootKey
    this.file = `${stateDirectory}/${FILE}`
  }

  /** undefined: never asked for. @throws SettingsFault when it is there and can't be opened */
  async load(): Promise<EnrolmentState | undefined> {
    const sealed = await this.#disk.readWhole(FILE)
    if (sealed === undefined) return undefined
    const text = openText(this.#rootKey, PURPOSE, sealed)
    const state = text === undefined ? undefined : parseState(text)
    if (state !== undefined) return state
    const rule =
      "can't be opened with the spool key: it was sealed with another one, or is damaged. Without it the relay must be enrolled anew: remove its folder"
    throw new SettingsFault([{ file: this.file, path: '', value: '', rule }])
  }

  /** Durable on return. */
  async save({ keys, enrolment }: EnrolmentState): Promise<void> {
    const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()
    const text = JSON.stringify({
      format: FORMAT,
      signingKey: pem(keys.signing),
      sealingKey: pem(keys.sealing),
      ...(enrolment === undefined ? {} : { enrolment }),
    })
    this.#disk.makeDirectory('.')
    await this.#disk.replace(FILE, [sealText(this.#rootKey, PURPOSE, text)])
  }
}

/** It was sealed by us: what doesn't fit was written by another version. */
function parseState(text: string): EnrolmentState | undefined {
  const { format, signingKey, sealingKey, enrolment } = JSON.parse(text) as Partial<Record<string, unknown>>
  if (format !== FORMAT || typeof signingKey !== 'string' || typeof sealingKey !== 'string') return undefined
  return {
    keys: { signing: createPrivateKey(signingKey), sealing: createPrivateKey(sealingKey) },
    enrolment: enrolment === undefined ? undefined : (enrolment as Enrolment),
  }
}
