// `…/certificates`: make a key and signing request or upload key and chain, give the issued chain, activate, rotate, retire. Keys are in no answer:
// they leave only to the project's relays, sealed in the snapshot. (control-plane.md §2, KM-5, KM-7)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import type { Sealer } from '../keys/sealer.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { parseHostName } from '../relays/network-names.ts'
import { placeOf, projectParams } from '../relays/project-params.ts'
import { lockProject } from '../relays/project-place-store.ts'
import { readChain } from './certificate-chain.ts'
import { CERTIFICATE_STATES, readNames } from './certificate.ts'
import type { Certificate } from './certificate.ts'
import {
  algorithmMember,
  certificateSchema,
  chainMember,
  newCertificateSchema,
  purposeMember,
  shapeCertificate,
} from './certificate-shape.ts'
import { activateCertificate, listCertificates, retireCertificate, storeChain } from './certificate-store.ts'
import { addNew, certificateOf, certificateParams, keyFor, mayBe, mustBeTenant } from './new-certificate.ts'
import type { CertificateContext } from './new-certificate.ts'
import { requestCertificate } from './signing-request.ts'

const BASE = '/projects/{project}/certificates'
const found = { 200: { description: 'The certificate', schema: certificateSchema } }
const made = {
  201: {
    description: 'The certificate, with its signing request where the key was made here',
    schema: certificateSchema,
  },
}

export function relayCertificateRoutes({ sealer }: { readonly sealer: Sealer }): AnyRoute[] {
  return [listRoute, createRoute(sealer), readRoute, chainRoute, activateRoute, rotateRoute(sealer), retireRoute]
}

const listRoute = route({
  method: 'get',
  path: BASE,
  id: 'listCertificates',
  summary: 'List the certificates of the relays',
  description: 'Oldest first.',
  tag: 'certificates',
  access: 'relay.read',
  params: projectParams,
  query: z.strictObject({
    ...pageQuery,
    purpose: purposeMember.optional(),
    state: z.enum(CERTIFICATE_STATES).optional(),
    tenant: z.string().max(64).optional(),
    name: z.string().max(255).optional().meta({ description: 'Those with this name.' }),
  }),
  responses: {
    200: { description: 'A page of certificates', schema: pageOf(certificateSchema).meta({ id: 'CertificatePage' }) },
  },
  handler: async (context) => {
    const { query, url, now } = context
    const page = parsePage(query, 2)
    const name = query.name === undefined ? undefined : (parseHostName(query.name) ?? query.name)
    const rows = await context.read((tx) => listCertificates(tx, placeOf(context), { ...query, name }, page))
    const keyOf = ({ createdAt, id }: Certificate) => [createdAt.getTime(), id]
    return { status: 200, body: toPage(rows, page.limit, (row) => shapeCertificate(row, now), keyOf, url) }
  },
})

const createRoute = (sealer: Sealer) =>
  route({
    method: 'post',
    path: BASE,
    id: 'createCertificate',
    summary: 'Make a key and signing request, or upload a key and its chain',
    description: 'Relays show nothing of it before it is activated.',
    tag: 'certificates',
    access: 'relay.manage',
    params: projectParams,
    body: newCertificateSchema,
    responses: made,
    problems: ['limit-reached'],
    handler: async (context) => {
      const { body, now } = context
      const names = readNames(body.names)
      // Takes a while: not in the transaction.
      const key = await keyFor(body, names, new Date(now))
      return context.change('certificate.created', async (tx) => {
        const tenant = await mustBeTenant(tx, placeOf(context), body)
        return addNew(tx, context, sealer, { purpose: body.purpose, tenant, names, key })
      })
    },
  })

const readRoute = route({
  method: 'get',
  path: `${BASE}/{certificate}`,
  id: 'readCertificate',
  summary: 'Read one certificate, with the days left',
  tag: 'certificates',
  access: 'relay.read',
  params: certificateParams,
  responses: found,
  handler: (context) => context.read(async (tx) => answerOf(await certificateOf(tx, context, 'read'), context.now)),
})

const chainRoute = route({
  method: 'put',
  path: `${BASE}/{certificate}/chain`,
  id: 'putCertificateChain',
  summary: 'Give the chain that the authority has issued',
  description: 'It must be of the key, have all the names, hold now, and be in order.',
  tag: 'certificates',
  access: 'relay.manage',
  params: certificateParams,
  body: z.strictObject({ chain: chainMember }),
  ifMatch: 'optional',
  responses: found,
  problems: ['conflict'],
  handler: (context) =>
    context.change('certificate.issued', async (tx) => {
      const before = await certificateOf(tx, context, 'lock')
      context.checkVersion(before.version)
      mayBe('chain', before)
      const issued = readChain(context.body.chain, before, new Date(context.now))
      if (Array.isArray(issued)) throw badRequest(issued)
      await storeChain(tx, placeOf(context), before, issued)
      return changed(tx, context, before, { fingerprint: issued.fingerprint })
    }),
})

const activateRoute = route({
  method: 'post',
  path: `${BASE}/{certificate}/activate`,
  id: 'activateCertificate',
  summary: 'Let relays show the certificate',
  description: 'The active one of the same tenant, or of the same first listener name, is replaced.',
  tag: 'certificates',
  access: 'relay.manage',
  params: certificateParams,
  ifMatch: 'optional',
  responses: found,
  problems: ['conflict'],
  handler: (context) =>
    context.change('certificate.activated', async (tx) => {
      const place = placeOf(context)
      const at = new Date(context.now)
      await lockProject(tx, place)
      const before = await certificateOf(tx, context, 'lock')
      context.checkVersion(before.version)
      mayBe('activate', before)
      if (before.expiresAt === undefined || before.expiresAt <= at)
        throw new Problem('conflict', { detail: 'It has expired: rotate it.' })
      const replaced = await activateCertificate(tx, place, before, at)
      await tell(tx, context, 'certificate.activated', { certificate: before.id, ...(replaced && { replaced }) })
      return changed(tx, context, before, replaced && { replaced })
    }),
})

const rotateRoute = (sealer: Sealer) =>
  route({
    method: 'post',
    path: `${BASE}/{certificate}/rotate`,
    id: 'rotateCertificate',
    summary: 'Make the key and signing request that are to replace this one',
    description: 'This one stays in use until the new one is issued and activated.',
    tag: 'certificates',
    access: 'relay.manage',
    params: certificateParams,
    body: z.strictObject({ algorithm: algorithmMember.optional() }),
    responses: made,
    problems: ['conflict', 'limit-reached'],
    handler: async (context) => {
      const before = await context.read((tx) => certificateOf(tx, context, 'read'))
      const { purpose, tenant, names } = mayBe('rotate', before)
      const algorithm = context.body.algorithm ?? (before.algorithm.startsWith('ec') ? 'ec-p256' : 'rsa-3072')
      const key = { ...(await requestCertificate(algorithm, names)), algorithm, issued: undefined }
      return context.change('certificate.rotated', async (tx) => {
        const { id: replaces } = mayBe('rotate', await certificateOf(tx, context, 'lock'))
        return addNew(tx, context, sealer, { purpose, tenant, names, key, replaces })
      })
    },
  })

const retireRoute = route({
  method: 'post',
  path: `${BASE}/{certificate}/retire`,
  id: 'retireCertificate',
  summary: 'Let nobody show the certificate any more, and destroy its key',
  tag: 'certificates',
  access: 'relay.manage',
  params: certificateParams,
  ifMatch: 'optional',
  responses: found,
  problems: ['conflict'],
  handler: (context) =>
    context.change('certificate.retired', async (tx) => {
      const place = placeOf(context)
      await lockProject(tx, place)
      const before = await certificateOf(tx, context, 'lock')
      context.checkVersion(before.version)
      mayBe('retire', before)
      await retireCertificate(tx, place, before, new Date(context.now))
      if (before.state === 'active') await tell(tx, context, 'certificate.retired', { certificate: before.id })
      return changed(tx, context, before)
    }),
})

async function tell(tx: Tx, context: CertificateContext, event: string, body: Record<string, unknown>): Promise<void> {
  const place = placeOf(context)
  await bumpSnapshot(tx, place.organisation, place.project, 'settings')
  await publishEvent(tx, place, event, body)
}

async function changed(
  tx: Tx,
  context: CertificateContext & { readonly now: number },
  before: Certificate,
  details?: Readonly<Record<string, unknown>>,
) {
  const after = await certificateOf(tx, context, 'read')
  return {
    answer: answerOf(after, context.now),
    object: after.id,
    before: { state: before.state },
    after: { state: after.state },
    details: { purpose: after.purpose, ...details },
  }
}

const answerOf = (certificate: Certificate, now: number) => ({
  status: 200,
  body: shapeCertificate(certificate, now),
  version: certificate.version,
})
