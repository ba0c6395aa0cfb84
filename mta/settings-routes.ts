// Keys of the configuration that say where mail goes and whose it is: two routes for trying, tenants in production.
// (rewriting.md §13, SP-4, DL-1, R85)
import { isAddress, isLoopback } from './network-names.ts'
import { oneOf, parsed } from './settings-forms.ts'
import { fileOf, host, hostName, keyPair, mailDomain, nextHopPort } from './settings-parts.ts'
import type { KeyPairFiles } from './settings-parts.ts'
import { checked, list, optional, optionalSection, required, section } from './settings-reader.ts'
import type { Form, Values } from './settings-reader.ts'

const serverSettings = {
  host: required(host, 'The server. A name is looked up at each new connection.'),
  port: optional(nextHopPort, 25, 'Its port.'),
  tls: required(
    oneOf('verify', 'none'),
    '`verify`: STARTTLS, certificate verified by name; without it mail waits (DL-1). `none`: cleartext, to a loopback address only.',
  ),
  tlsName: optional<string | undefined>(hostName, undefined, 'Name that its certificate must have.', '`host`'),
}

const smartHostSettings = {
  ...serverSettings,
  trust: optional<{ readonly file: string } | undefined>(
    fileOf('PEM: the certificates of the authorities that are believed.'),
    undefined,
    'Whose certificates the server may have.',
    'the public authorities that Node ships',
  ),
}

/** Mail never leaves the machine in cleartext: whoever is on the way could read and redirect it. */
function verifiable<T extends Omit<SmartHost, 'trust'>>(form: Form<T>): Form<T> {
  return checked(form, (value, place, reading) => {
    const isHere = isLoopback(value.host) || value.host === 'localhost'
    if (value.tls === 'none' && !isHere) {
      reading.faultWithin(
        place,
        ['tls'],
        'cleartext is accepted to a loopback address only (127.0.0.0/8, ::1, localhost): write `tls: verify`',
      )
    }
    if (value.tls === 'verify' && value.tlsName === undefined && isAddress(value.host)) {
      reading.faultWithin(place, ['tlsName'], 'is missing: a host given by its address has no name to verify')
    }
  })
}

const routeSettings = {
  kind: required(oneOf('smart-host'), 'All mail of the route goes to one server.'),
  ...smartHostSettings,
}
export const route = verifiable(section(routeSettings))
/** A server that all mail of a route goes to. */
export interface SmartHost {
  readonly host: string
  readonly port: number
  readonly tls: 'verify' | 'none'
  /** undefined: `host` */
  readonly tlsName?: string | undefined
  /** Where the authorities are that are believed; pushed ones have a name that is no file's. undefined: the public ones that Node ships. */
  readonly trust?: { readonly file: string } | undefined
}

/** PEM, as it is pushed: what is wrong with it shows when it is read. */
const pem = parsed('text in PEM form', (written) => (written.includes('-----BEGIN ') ? written : undefined))
/** A smart host as a control plane pushes it: with its authorities, not their file. */
const pushedSmartHost = verifiable(
  section({
    ...serverSettings,
    trust: optional<string | undefined>(pem, undefined, 'PEM of the authorities that are believed.'),
  }),
)

const tenantIdentity = {
  id: required(
    parsed('a name of 1 to 32 lower case letters, digits and `-`', (written) =>
      /^[a-z0-9-]{1,32}$/.test(written) ? written : undefined,
    ),
    'Names the tenant in logs, traces and queue commands.',
  ),
  tenantId: optional<string | undefined>(
    parsed('a tenant id (a GUID)', (written) => {
      const id = written.toLowerCase()
      return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : undefined
    }),
    undefined,
    'Its id in Entra: what X-MS-Exchange-CrossTenant-Id is compared with (SP-4).',
    'not compared',
  ),
  acceptedDomains: required(
    list(mailDomain, 1),
    'All domains that the tenant accepts mail for, `….onmicrosoft.com` included: who may send, and where mail goes (SP-5, rewriting.md §13).',
  ),
}

const tenantSettings = {
  ...tenantIdentity,
  smartHost: required(verifiable(section(smartHostSettings)), 'Where mail for the tenant is delivered.'),
  clientCertificate: optional<KeyPairFiles | undefined>(
    keyPair,
    undefined,
    "Shown to the smart host: the certificate that the tenant's inbound connector names (R85).",
    'none is shown',
  ),
  proofTokens: optionalSection(
    section({
      out: proofToken("The token that the tenant's rules set on mail of its people."),
      in: proofToken("The token that the tenant's rules set on mail for people whose mailbox is elsewhere."),
    }),
    'How mail shows that this tenant sent it (SP-4).',
    'none: only DKIM can prove it',
  ),
}

function proofToken(why: string) {
  return optional<{ readonly file: string } | undefined>(
    fileOf(
      'One token a line: the current one, then the previous one while it is being replaced. 43 to 128 letters, digits, `-` or `_`.',
    ),
    undefined,
    why,
    'none',
  )
}

const tenantSection = section(tenantSettings)
export type TenantSettings = Values<typeof tenantSettings>

type PushedServer = typeof pushedSmartHost extends Form<infer T> ? T : never
const pushedTenantSection = section({
  ...tenantIdentity,
  smartHost: optional<PushedServer | undefined>(
    pushedSmartHost,
    undefined,
    'Absent: nothing can be delivered to it yet.',
  ),
})

/** Two tenants must be told apart by everything that tells a tenant. */
function toldApart<T extends Pick<TenantSettings, 'id' | 'tenantId' | 'acceptedDomains'>>(
  form: Form<readonly T[]>,
): Form<readonly T[]> {
  return checked(form, (values, place, reading) => {
    const seen = new Map<string, string>()
    for (const [index, tenant] of values.entries()) {
      const tell = (key: (string | number)[], what: string, value: string): void => {
        const other = seen.get(`${what} ${value}`)
        if (other !== undefined) reading.faultWithin(place, [index, ...key], `tenant ${other} has this ${what} already`)
        else seen.set(`${what} ${value}`, tenant.id)
      }
      tell(['id'], 'id', tenant.id)
      if (tenant.tenantId !== undefined) tell(['tenantId'], 'tenant id', tenant.tenantId)
      for (const [at, domain] of tenant.acceptedDomains.entries()) tell(['acceptedDomains', at], 'domain', domain)
    }
  })
}

export const tenants: Form<readonly TenantSettings[]> = toldApart(list(tenantSection, 1))
export const pushedTenants = toldApart(list(pushedTenantSection))

const proofSettings = {
  need: optional(
    oneOf('token', 'dkim', 'token+dkim'),
    'token',
    'What proves that a message comes from a tenant of the project: the token of its rules, a DKIM signature of one of its domains, or both (SP-4).',
  ),
  crossTenantId: optional(
    oneOf('count', 'demand'),
    'count',
    'X-MS-Exchange-CrossTenant-Id that names no tenant of the project: only counted, or refused (SP-4).',
  ),
}
export const proof = section(proofSettings)
export type ProofSettings = Values<typeof proofSettings>
