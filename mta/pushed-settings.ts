// Settings and secrets as a control plane pushes them (common/relay-contract.ts), read by the forms of the configuration file: the same names, the
// same rules, unknown members are faults. What is wrong is told by place and rule; no value leaves this file in a fault. (RC-5, KM-5)
import { SECRETS_FORMAT, SETTINGS_FORMAT } from '../common/relay-contract.ts'
import { parsePolicy, PolicyFault } from '../rewrite-rules/index.ts'
import type { Policy } from '../rewrite-rules/index.ts'
import { PRIVACY_LEVELS } from './privacy.ts'
import { integer, oneOf, parsed } from './settings-forms.ts'
import { SettingsFault } from './settings-fault.ts'
import { hostName, mailAddress, range } from './settings-parts.ts'
import { FAULTY, list, optional, readSettingsValue, required, section } from './settings-reader.ts'
import type { Form } from './settings-reader.ts'
import { proof, pushedTenants } from './settings-routes.ts'
import { keyNameSettings } from './settings-signing.ts'

const WHY = 'Pushed.'
const DAY_MS = 86_400_000

const policy: Form<Policy> = {
  text: 'section',
  isSection: true,
  read(place, reading) {
    try {
      return parsePolicy(reading.plain(place) ?? {})
    } catch (error) {
      if (!(error instanceof PolicyFault)) throw error
      for (const { path, reason } of error.faults)
        reading.fault({ ...place, path: `${place.path}/${path}` }, reason, '')
      return FAULTY
    }
  },
}

const keyName = section(keyNameSettings)
const text = parsed('text', (written) => written)
/** Read where they are made into what they are; here they only have to be there. */
const anything: Form<unknown> = { text: 'any value', read: (place, reading) => reading.plain(place) }

const settingsForm = section({
  format: required(oneOf(SETTINGS_FORMAT), WHY),
  version: required(integer(0, Number.MAX_SAFE_INTEGER), WHY),
  tenants: required(pushedTenants, WHY),
  proof: required(proof, WHY),
  policy: required(policy, WHY),
  allow: required(list(range), WHY),
  dkim: required(list(keyName), WHY),
  seal: optional<KeyName | undefined>(keyName, undefined, WHY),
  privacy: required(oneOf(...PRIVACY_LEVELS), WHY),
  maxTableAgeMs: optional<number | undefined>(integer(60_000, 3650 * DAY_MS), undefined, WHY),
  postmaster: optional<string | undefined>(mailAddress, undefined, WHY),
  hosts: optional<readonly string[]>(list(hostName), [], WHY),
  clientTrust: optional<string | undefined>(text, undefined, WHY),
})
type KeyName = typeof keyName extends Form<infer T> ? T : never
export type ReadSettings = typeof settingsForm extends Form<infer T> ? T : never

const keySection = section({ ...keyNameSettings, key: required(text, WHY) })
type Key = typeof keySection extends Form<infer T> ? T : never

const listenerCertificate = section({
  names: required(list(text), WHY),
  certificate: required(text, WHY),
  key: required(text, WHY),
})
type ListenerCertificate = typeof listenerCertificate extends Form<infer T> ? T : never

const probe = section({
  nonce: required(text, WHY),
  tenant: required(text, WHY),
  direction: required(oneOf('out', 'in'), WHY),
  host: required(hostName, WHY),
})
type Probe = typeof probe extends Form<infer T> ? T : never

const secretsForm = section({
  format: required(oneOf(SECRETS_FORMAT), WHY),
  proofTokens: required(
    list(
      section({
        tenant: required(text, WHY),
        direction: required(oneOf('out', 'in'), WHY),
        tokens: required(list(text), WHY),
      }),
    ),
    WHY,
  ),
  dkim: required(list(keySection), WHY),
  seal: optional<Key | undefined>(keySection, undefined, WHY),
  clientCertificates: required(
    list(section({ tenant: required(text, WHY), certificate: required(text, WHY), key: required(text, WHY) })),
    WHY,
  ),
  listenerCertificates: optional<readonly ListenerCertificate[]>(list(listenerCertificate), [], WHY),
  nonces: required(anything, WHY),
  probes: optional<readonly Probe[]>(list(probe), [], WHY),
  marker: required(anything, WHY),
})
export type ReadSecrets = typeof secretsForm extends Form<infer T> ? T : never

/** What was pushed can't be used. Its text is place and rule: bland enough for log and control plane. */
export class PushedFault extends Error {
  override readonly name = 'PushedFault'
}

/** @throws PushedFault */
export function readPushedSettings(bytes: Uint8Array): ReadSettings {
  return readPart('settings', bytes, settingsForm)
}

/** @throws PushedFault */
export function readPushedSecrets(bytes: Uint8Array): ReadSecrets {
  return readPart('secrets', bytes, secretsForm)
}

function readPart<T>(what: string, bytes: Uint8Array, form: Form<T>): T {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new PushedFault(`${what} are no JSON`) // without the cause: it quotes what is written
  }
  return withoutValues(() => readSettingsValue(what, json, form))
}

/** Told of at once; the control plane shows them, and its operator has more to look at than one line holds. */
const MAX_TOLD = 5

/** Runs what reads. @throws PushedFault in place of SettingsFault */
export function withoutValues<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof SettingsFault)) throw error
    const told = error.faults
      .slice(0, MAX_TOLD)
      .map(({ file, path, rule }) => [file, path, rule].filter(Boolean).join(': '))
    const more = error.faults.length - told.length
    throw new PushedFault(told.join('; ') + (more > 0 ? `; and ${more} more` : ''))
  }
}
