// What it takes to speak to a tenant, read anew each time: the registration, and the credential of its app model. (EC-1)
import { readFile } from 'node:fs/promises'
import type { Db } from '../db/database.ts'
import { withScope } from '../db/database.ts'
import type { Sealer } from '../keys/sealer.ts'
import type { Connection } from '../microsoft/clients.ts'
import type { ConnectSettings } from '../settings.ts'
import { openCertificate, usableCertificates } from './connection-certificate-store.ts'
import type { ConnectionCertificate } from './connection-certificate.ts'
import type { Tenant } from './tenant.ts'
import type { ProjectPlace } from './tenant-store.ts'

/** The installation's own registration, for tenants of the multi-tenant model. */
export interface SharedApp {
  readonly clientId: string
  /** PEM, both */
  readonly certificate: string
  readonly privateKey: string
}

export interface ConnectionDeps {
  readonly db: Db
  readonly sealer: Sealer
  /** undefined: the installation has none. */
  readonly sharedApp: SharedApp | undefined
}

/** What the administrator has to do before anything can be asked of the tenant. */
export class NoCredential extends Error {
  override readonly name = 'NoCredential'
  readonly lacks: 'shared-app' | 'client-id' | 'certificate'

  constructor(lacks: NoCredential['lacks']) {
    super(lacks)
    this.lacks = lacks
  }
}

export const LACKS: Readonly<Record<NoCredential['lacks'], string>> = {
  'shared-app':
    'This installation has no multi-tenant app registration (CONNECT_CLIENT_ID): give the tenant one of its own, with `appModel` single-tenant.',
  'client-id': 'Register an application in the tenant and write its id to `clientId`.',
  certificate: 'Make a certificate for the connection and upload it to the app registration first.',
}

/** @throws Error when the files can't be read */
export async function loadSharedApp(settings: ConnectSettings | undefined): Promise<SharedApp | undefined> {
  if (settings === undefined) return undefined
  const [certificate, privateKey] = await Promise.all([
    readFile(settings.certificateFile, 'utf8'),
    readFile(settings.keyFile, 'utf8'),
  ])
  return { clientId: settings.clientId.toLowerCase(), certificate, privateKey }
}

/** @param certificate  of the tenant's, in place of the active one. @throws NoCredential */
export async function openConnection(
  { db, sealer, sharedApp }: ConnectionDeps,
  place: ProjectPlace,
  tenant: Tenant,
  certificate?: ConnectionCertificate,
): Promise<Connection> {
  const base = {
    organisation: place.organisation,
    project: place.project,
    tenant: tenant.id,
    cloud: tenant.cloud,
    entraTenantId: tenant.entraTenantId,
  }
  if (tenant.appModel === 'multi-tenant') {
    if (sharedApp === undefined) throw new NoCredential('shared-app')
    return { ...base, ...sharedApp }
  }
  if (tenant.clientId === undefined) throw new NoCredential('client-id')
  const { clientId } = tenant
  return withScope(db, { organisation: place.organisation }, async (tx) => {
    const chosen = certificate ?? (await usableCertificates(tx, place, tenant.id))[0]
    const privateKey = chosen && (await openCertificate(tx, sealer, place, chosen.id))
    if (chosen === undefined || privateKey === undefined) throw new NoCredential('certificate')
    return { ...base, clientId, certificate: chosen.certificate, privateKey }
  })
}
