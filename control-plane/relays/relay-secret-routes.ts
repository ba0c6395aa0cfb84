// `…/relay-settings/proof-tokens` and `…/marker`: the secrets that a project's relays share, replaced by hand. No answer holds one. (SP-4, DL-10, KM-5)
import { z } from 'zod'
import { stampIfNamed } from '../coexistence/stamp-token.ts'
import { loadSwitch } from '../coexistence/switch-store.ts'
import type { Tx } from '../db/database.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import { parseId } from '../ids.ts'
import type { TenantId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { rotateMarker } from './marker-rotation-store.ts'
import { lockProject } from './project-place-store.ts'
import { placeOf, projectParams } from './project-params.ts'
import { endPreviousToken, rotateProofToken } from './relay-secret-store.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import { listProofTokens, viewMarker } from './relay-secret-view-store.ts'
import type { MarkerView, ProofTokenView } from './relay-secret-view-store.ts'
import { listSettingsTenants } from './relay-settings-store.ts'
import { tellRelays } from './tell-relays.ts'

const tag = 'relays'
const path = '/projects/{project}/relay-settings'
const tenantParams = projectParams.extend({ tenant: z.string() })

const tokenSchema = z.strictObject({ id: z.string(), createdAt: time })
const directionSchema = z.strictObject({
  current: tokenSchema.optional().meta({ description: 'Absent: none yet; it is made with the first push.' }),
  previous: tokenSchema.optional().meta({ description: 'Still proves; it ends with the next rotation.' }),
})
const tokensSchema = z
  .strictObject({ tenant: z.string(), out: directionSchema, in: directionSchema })
  .meta({ id: 'ProofTokens', description: 'Which tokens prove that mail comes from a tenant; never the tokens.' })
const directionBody = z.strictObject({
  direction: z.enum(['out', 'in']).meta({ description: '`out`: from the tenant into the world.' }),
})
const markerSchema = z
  .strictObject({
    createdAt: time.optional().meta({ description: 'Absent: none yet; it is made with the first push.' }),
    tokenRotatedAt: time.optional(),
    secretRotatedAt: time.optional(),
    tokenPendingSince: time.optional().meta({
      description: 'Since when the newest token waits for the mail flow rules to name it. Absent: relays write it.',
    }),
  })
  .meta({ id: 'RelayMarker', description: 'Of the field that says a message went through here; never its keys.' })
export function relaySecretRoutes(sealer: Sealer): AnyRoute[] {
  return [
    listTokens,
    readTokens,
    changeTokens('rotate', {
      id: 'rotateProofToken',
      summary: 'Replace a proof token of a tenant',
      description:
        'Mail is believed with the new token and with the one before, until that is ended or the token is replaced again: so see to it first that the tenant sets the last one.',
      action: 'proof-token.rotated',
      act: (tx, place, tenant, direction, now) => rotateProofToken(tx, sealer, place, tenant, direction, now),
    }),
    changeTokens('end-previous', {
      id: 'endPreviousProofToken',
      summary: 'End the proof token that was replaced',
      description: 'Mail that comes with it is refused from then on.',
      action: 'proof-token.ended',
      act: endPreviousToken,
    }),
    readMarker,
    rotateMarkerRoute(sealer),
  ]
}

// ── Proof tokens ──────────────────────────────────────────────────────────────────────────────────────────────────

const listTokens = route({
  method: 'get',
  path: `${path}/proof-tokens`,
  id: 'listProofTokens',
  summary: 'Which proof tokens the tenants have',
  description: 'By tenant; a project has few.',
  tag,
  access: 'relay.read',
  params: projectParams,
  responses: { 200: { description: 'Of each tenant', schema: z.strictObject({ items: z.array(tokensSchema) }) } },
  handler: (context) =>
    context.read(async (tx) => {
      const place = placeOf(context)
      const tenants = await listSettingsTenants(tx, place.organisation, place.project)
      const tokens = await listProofTokens(tx, place)
      return { status: 200, body: { items: tenants.map(({ id }) => tokensShape(id, tokens)) } }
    }),
})

const readTokens = route({
  method: 'get',
  path: `${path}/proof-tokens/{tenant}`,
  id: 'readProofTokens',
  summary: 'Which proof tokens a tenant has',
  tag,
  access: 'relay.read',
  params: tenantParams,
  responses: { 200: { description: 'Of the tenant', schema: tokensSchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const place = placeOf(context)
      return tokensAnswer(tx, place, await tenantOf(tx, place, context.params.tenant))
    }),
})

interface TokenChange {
  readonly id: string
  readonly summary: string
  readonly description: string
  readonly action: string
  readonly act: (tx: Tx, place: ProjectPlace, tenant: TenantId, direction: 'out' | 'in', now: Date) => Promise<void>
}

const changeTokens = (verb: string, { id, summary, description, action, act }: TokenChange): AnyRoute =>
  route({
    method: 'post',
    path: `${path}/proof-tokens/{tenant}/${verb}`,
    id,
    summary,
    description,
    tag,
    access: 'relay.manage',
    params: tenantParams,
    body: directionBody,
    ifMatch: 'needed',
    responses: { 200: { description: 'Of the tenant', schema: tokensSchema } },
    handler: (context) =>
      context.change(action, async (tx) => {
        const place = placeOf(context)
        const { direction } = context.body
        const tenant = await tenantOf(tx, place, context.params.tenant)
        await lockProject(tx, place)
        context.checkVersion(tokensVersion(await listProofTokens(tx, place, tenant)))
        await act(tx, place, tenant, direction, new Date(context.now))
        await tellRelays(tx, place)
        return { answer: await tokensAnswer(tx, place, tenant), object: tenant, details: { direction } }
      }),
  })

/** @throws Problem 404 */
async function tenantOf(tx: Tx, { organisation, project }: ProjectPlace, text: string): Promise<TenantId> {
  const id = parseId('tenant', text)
  const tenants = id === undefined ? [] : await listSettingsTenants(tx, organisation, project)
  if (id === undefined || !tenants.some((tenant) => tenant.id === id)) throw notFound()
  return id
}

async function tokensAnswer(tx: Tx, place: ProjectPlace, tenant: TenantId) {
  const tokens = await listProofTokens(tx, place, tenant)
  return { status: 200, body: tokensShape(tenant, tokens), version: tokensVersion(tokens) }
}

/** Of one tenant: which tokens there are. */
const tokensVersion = (tokens: readonly ProofTokenView[]): string => tokens.map(({ id }) => id).join('.')

function tokensShape(tenant: TenantId, tokens: readonly ProofTokenView[]): z.input<typeof tokensSchema> {
  const one = (direction: 'out' | 'in', state: 'current' | 'previous') => {
    const token = tokens.find((each) => each.tenant === tenant && each.direction === direction && each.state === state)
    return token === undefined ? {} : { [state]: { id: token.id, createdAt: token.createdAt.toISOString() } }
  }
  const of = (direction: 'out' | 'in') => ({ ...one(direction, 'current'), ...one(direction, 'previous') })
  return { tenant, out: of('out'), in: of('in') }
}

// ── Marker ────────────────────────────────────────────────────────────────────────────────────────────────────────

const readMarker = route({
  method: 'get',
  path: `${path}/marker`,
  id: 'readRelayMarker',
  summary: "Since when the marker's keys are in use",
  tag,
  access: 'relay.read',
  params: projectParams,
  responses: { 200: { description: 'The marker', schema: markerSchema } },
  handler: (context) => context.read(async (tx) => markerAnswer(await viewMarker(tx, placeOf(context)))),
})

const rotateMarkerRoute = (sealer: Sealer): AnyRoute =>
  route({
    method: 'post',
    path: `${path}/marker/rotate`,
    id: 'rotateRelayMarker',
    summary: "Replace one of the marker's keys",
    description:
      'The one before stays valid until the next rotation. While coexistence is not off, relays go on writing the token of before until the mail flow rules of both tenants have named the new one for an hour, so that no mail is routed twice: `tokenPendingSince` is there meanwhile, and the token can not be replaced again. `secret` makes the tags of addresses as well: events from before the one before are found by an address no more.',
    tag,
    access: 'relay.manage',
    params: projectParams,
    body: z.strictObject({
      what: z.enum(['token', 'secret']).meta({
        description: '`token`: what mail flow rules look for. `secret`: what nobody but the relays knows.',
      }),
    }),
    ifMatch: 'needed',
    responses: { 200: { description: 'The marker', schema: markerSchema } },
    problems: ['marker-token-pending'],
    handler: (context) =>
      context.change('relay-marker.rotated', async (tx) => {
        const place = placeOf(context)
        const { what } = context.body
        await lockProject(tx, place)
        context.checkVersion((await viewMarker(tx, place))?.version ?? 0)
        const at = new Date(context.now)
        await rotateMarker(tx, sealer, place, what, at)
        if (what === 'token') await stampIfNamed(tx, sealer, place, await loadSwitch(tx, place), at)
        await tellRelays(tx, place)
        const answer = markerAnswer(await viewMarker(tx, place))
        return { answer, object: place.project, details: { what } }
      }),
  })

function markerAnswer(marker: MarkerView | undefined) {
  const body = {
    ...(marker && { createdAt: marker.createdAt.toISOString() }),
    ...(marker?.tokenAt && { tokenRotatedAt: marker.tokenAt.toISOString() }),
    ...(marker?.secretAt && { secretRotatedAt: marker.secretAt.toISOString() }),
    ...(marker?.tokenPendingSince && { tokenPendingSince: marker.tokenPendingSince.toISOString() }),
  }
  return { status: 200, body, version: marker?.version ?? 0 }
}
