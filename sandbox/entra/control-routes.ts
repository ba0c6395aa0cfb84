// EntraControl over HTTP, for whoever runs in another process: `POST /control/<operation>` with a JSON object.
// A page in a browser can't reach it: the header below makes any cross-origin request ask first, and nobody answers that.
import type { Decision } from './authorize.ts'
import type { EntraControl } from './control.ts'
import type { AppSeed } from './seed.ts'
import { HOSTILE_TOKENS } from './hostile-tokens.ts'
import { FAULTY_ENDPOINTS } from './faults.ts'
import type { Fault } from './faults.ts'
import { ControlFault } from './control-fault.ts'

export { ControlFault } from './control-fault.ts'

export const CONTROL_HEADER = 'x-sandbox-control'

export type Fields = Readonly<Record<string, unknown>>

const OPERATIONS: Readonly<Record<string, (control: EntraControl, fields: Fields) => unknown>> = {
  decide: (control, fields) => control.decide(text(fields, 'url'), decision(fields)),
  'set-enabled': (control, fields) => control.setEnabled(text(fields, 'user'), flag(fields, 'isEnabled')),
  'revoke-sessions': (control, fields) => control.revokeSessions(text(fields, 'user')),
  'grant-consent': (control, fields) => control.grantConsent(text(fields, 'tenant'), text(fields, 'clientId')),
  'withdraw-consent': (control, fields) => control.withdrawConsent(text(fields, 'tenant'), text(fields, 'clientId')),
  'set-app-enabled': (control, fields) =>
    control.setAppEnabled(text(fields, 'tenant'), text(fields, 'clientId'), flag(fields, 'isEnabled')),
  'block-app': (control, fields) =>
    control.blockApp(text(fields, 'tenant'), text(fields, 'clientId'), flag(fields, 'isBlocked')),
  'register-app': (control, fields) => control.registerApp(appSeed(fields)),
  'set-permissions': (control, fields) => control.setPermissions(text(fields, 'clientId'), permissions(fields)),
  'add-certificate': (control, fields) => control.addCertificate(text(fields, 'clientId'), text(fields, 'certificate')),
  'remove-certificate': (control, fields) =>
    control.removeCertificate(text(fields, 'clientId'), text(fields, 'thumbprint')),
  'publish-next-key': (control, fields) => control.publishNextKey(text(fields, 'tenant')),
  'use-newest-key': (control, fields) => control.useNewestKey(text(fields, 'tenant')),
  'drop-old-keys': (control, fields) => control.dropOldKeys(text(fields, 'tenant')),
  'make-next-id-token': (control, fields) => control.makeNextIdToken(oneOf(HOSTILE_TOKENS, fields, 'kind')),
  'point-keys-elsewhere': (control, fields) =>
    control.pointKeysElsewhere(fields['url'] === undefined ? undefined : text(fields, 'url')),
  'add-fault': (control, fields) => control.addFault(fault(fields)),
}

/** @returns what the operation gives, `{}` when nothing. @throws ControlFault, EntraError */
export async function runControl(control: EntraControl, operation: string, fields: unknown): Promise<unknown> {
  if (!Object.hasOwn(OPERATIONS, operation)) throw new ControlFault('no such operation')
  if (typeof fields !== 'object' || fields === null) throw new ControlFault('the body has to be a JSON object')
  return (await OPERATIONS[operation]?.(control, fields as Fields)) ?? {}
}

function decision(fields: Fields): Decision {
  if (oneOf(['approve', 'deny'] as const, fields, 'kind') === 'deny') return { kind: 'deny' }
  const at = fields['authenticatedAtMs']
  return {
    kind: 'approve',
    user: text(fields, 'user'),
    hasMfa: fields['hasMfa'] === undefined ? true : flag(fields, 'hasMfa'),
    ...(at === undefined ? {} : { authenticatedAtMs: whole(at, 'authenticatedAtMs') }),
  }
}

function appSeed(fields: Fields): AppSeed {
  return {
    clientId: text(fields, 'clientId'),
    name: text(fields, 'name'),
    homeTenant: text(fields, 'homeTenant'),
    isMultiTenant: fields['isMultiTenant'] === undefined ? false : flag(fields, 'isMultiTenant'),
    redirectUris: texts(fields['redirectUris'] ?? [], 'redirectUris'),
    certificates: texts(fields['certificates'] ?? [], 'certificates'),
    permissions: permissions(fields),
  }
}

/** `{ "https://graph.microsoft.com": ["User.Read.All"] }`; default none. */
function permissions(fields: Fields): Readonly<Record<string, readonly string[]>> {
  const given = fields['permissions'] ?? {}
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new ControlFault('permissions has to be an object')
  return Object.fromEntries(Object.entries(given).map(([resource, roles]) => [resource, texts(roles, 'permissions')]))
}

function texts(value: unknown, name: string): readonly string[] {
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string'))
    throw new ControlFault(`${name} has to hold lists of strings`)
  return value
}

/** Faults of a status only; the nastier ones are for tests in the same process. */
function fault(fields: Fields): Fault {
  const retryAfter = fields['retryAfterS']
  return {
    endpoint: oneOf(FAULTY_ENDPOINTS, fields, 'endpoint'),
    times: whole(fields['times'], 'times'),
    answer: {
      kind: 'status',
      status: whole(fields['status'], 'status'),
      ...(retryAfter === undefined ? {} : { retryAfterS: whole(retryAfter, 'retryAfterS') }),
    },
  }
}

export function text(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new ControlFault(`${name} has to be a string`)
  return value
}

export function flag(fields: Fields, name: string): boolean {
  const value = fields[name]
  if (typeof value !== 'boolean') throw new ControlFault(`${name} has to be true or false`)
  return value
}

export function whole(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new ControlFault(`${name} has to be a whole number`)
  return value
}

export function oneOf<T extends string>(allowed: readonly T[], fields: Fields, name: string): T {
  const found = allowed.find((each) => each === fields[name])
  if (found === undefined) throw new ControlFault(`${name} has to be one of ${allowed.join(', ')}`)
  return found
}
