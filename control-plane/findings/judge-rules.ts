// What of the tenants' own rules and connectors stands against ours, by all that Get- answers of them. Pure. (coexistence.md §1.6, §2.1 row 0, §3)
import type { ObservedObject, Value } from '../coexistence/tenant-object.ts'
import { covers } from './project-view.ts'
import { textOf } from './preflight.ts'
import type { Preflight, PreflightFinding, PreflightTenant } from './preflight.ts'

const MAX_NAMED = 20
const isSet = (value: Value | undefined): boolean =>
  !(
    value === undefined ||
    value === null ||
    value === false ||
    value === '' ||
    (Array.isArray(value) && value.length === 0)
  )
/** Actions after which the message is somebody else's, later, or nowhere. */
const TAKING = [
  'RedirectMessageTo',
  'DeleteMessage',
  'RejectMessageReasonText',
  'RejectMessageEnhancedStatusCode',
  'SmtpRejectMessageRejectText',
  'Quarantine',
  'ModerateMessageByUser',
  'ModerateMessageByManager',
  'Disconnect',
]

export function judgeRules(preflight: Preflight): PreflightFinding[] {
  return preflight.tenants.flatMap((tenant) => [
    ...named('rules-take-mail', tenant, theirs(tenant, 'TransportRule').filter(isActive).filter(takesMail)),
    ...named('rules-touch-our-fields', tenant, theirs(tenant, 'TransportRule').filter(isActive).filter(touchesOurs)),
    ...judgeClaims(tenant),
  ])
}

/** By name: what coexistence made is not in its own way, whichever project's. */
const theirs = ({ observed }: PreflightTenant, noun: ObservedObject['noun']): ObservedObject[] =>
  observed.filter((each) => each.noun === noun && !each.name.startsWith('Causeway-'))

/** Test modes do nothing. */
const isActive = ({ isEnabled, properties }: ObservedObject): boolean =>
  isEnabled === true && !textOf(properties['Mode']).startsWith('Audit')

const takesMail = ({ properties }: ObservedObject): boolean => TAKING.some((name) => isSet(properties[name]))

const touchesOurs = ({ properties }: ObservedObject): boolean =>
  ['SetHeaderName', 'RemoveHeader'].some((name) => /^\s*x-causeway-/i.test(textOf(properties[name])))

function judgeClaims(tenant: PreflightTenant): PreflightFinding[] {
  const names = tenant.certificate?.names ?? []
  const claiming = theirs(tenant, 'InboundConnector').filter(({ properties }) => {
    const claimed = textOf(properties['TlsSenderCertificateName'])
    return properties['Enabled'] !== false && claimed !== '' && names.some((name) => covers(claimed, name))
  })
  return named('relay-certificate-claimed', tenant, claiming)
}

function named(
  code: 'rules-take-mail' | 'rules-touch-our-fields' | 'relay-certificate-claimed',
  { id }: PreflightTenant,
  objects: readonly ObservedObject[],
): PreflightFinding[] {
  if (objects.length === 0) return []
  const names = objects
    .map(({ name }) => name)
    .toSorted()
    .slice(0, MAX_NAMED)
  return [{ code, tenant: id, details: { count: objects.length, names } }]
}
