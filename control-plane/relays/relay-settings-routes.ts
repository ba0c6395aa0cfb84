// `…/relay-settings`: what relays of a project are told beside the mapping, as one versioned document. (control-plane.md §2)
import { z } from 'zod'
import { callerName } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { findAppliedAt } from './applied-store.ts'
import { lockProject } from './project-place-store.ts'
import { placeOf, projectParams } from './project-params.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import {
  addSettings,
  findSettingsVersion,
  listSettingsTenants,
  listSettingsVersions,
  loadSettings,
} from './relay-settings-store.ts'
import type { StoredSettings } from './relay-settings-store.ts'
import { settingsDocumentSchema, settingsFaults } from './settings-document.ts'

const versionMembers = {
  version: z.int().meta({ description: 'Grows with every change; 0: the defaults, nobody has written any.' }),
  createdAt: z.iso.datetime().optional(),
  createdBy: z.string().optional(),
  appliedAt: z.iso.datetime().optional().meta({ description: 'When every live relay had it; absent: not yet.' }),
}
const settingsSchema = z
  .strictObject({ ...versionMembers, settings: settingsDocumentSchema })
  .meta({ id: 'RelaySettings' })
const versionSchema = z.strictObject(versionMembers).omit({ appliedAt: true }).meta({ id: 'RelaySettingsVersion' })

export function relaySettingsRoutes(): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/projects/{project}/relay-settings',
      id: 'readRelaySettings',
      summary: 'Read the settings of the relays',
      tag: 'relays',
      access: 'relay.read',
      params: projectParams,
      responses: { 200: { description: 'The settings', schema: settingsSchema } },
      handler: (context) =>
        context.read(async (tx) => {
          const place = placeOf(context)
          return answerOf(tx, place, await loadSettings(tx, place.organisation, place.project))
        }),
    }),
    route({
      method: 'put',
      path: '/projects/{project}/relay-settings',
      id: 'replaceRelaySettings',
      summary: 'Replace the settings of the relays',
      description:
        'Members that are absent get their defaults. The answer does not wait for the relays: see `appliedAt`.',
      tag: 'relays',
      access: 'relay.manage',
      params: projectParams,
      body: settingsDocumentSchema,
      ifMatch: 'needed',
      responses: { 200: { description: 'The settings', schema: settingsSchema } },
      handler: (context) =>
        context.change('relay-settings.replaced', async (tx) => {
          const place = placeOf(context)
          const { organisation, project } = place
          const { caller, now, body: document } = context
          if (caller === undefined) throw new Error('unreachable: the route asks for a permission')
          // Of two changes at once the second must see the first before it compares versions.
          await lockProject(tx, place)
          const before = await loadSettings(tx, organisation, project)
          context.checkVersion(before.version)
          const tenants = await listSettingsTenants(tx, organisation, project)
          const faults = settingsFaults(document, new Set(tenants.map(({ label }) => label)))
          if (faults.length > 0) throw badRequest(faults)
          const { settingsVersion: version } = await bumpSnapshot(tx, organisation, project, 'settings')
          const after = { version, document, createdAt: new Date(now), createdBy: callerName(caller) }
          await addSettings(tx, organisation, project, after)
          await publishEvent(tx, { organisation, project }, 'relay-settings.changed', { version })
          return {
            answer: await answerOf(tx, place, after),
            object: project,
            before: before.document,
            after: document,
            details: { version },
          }
        }),
    }),
    route({
      method: 'get',
      path: '/projects/{project}/relay-settings/versions',
      id: 'listRelaySettingsVersions',
      summary: 'List the versions of the settings',
      description: 'Newest first.',
      tag: 'relays',
      access: 'relay.read',
      params: projectParams,
      query: z.strictObject(pageQuery),
      responses: {
        200: {
          description: 'A page of versions',
          schema: pageOf(versionSchema).meta({ id: 'RelaySettingsVersionPage' }),
        },
      },
      handler: async (context) => {
        const { organisation, project } = placeOf(context)
        const page = parsePage(context.query, 1)
        const rows = await context.read((tx) => listSettingsVersions(tx, organisation, project, page))
        return { status: 200, body: toPage(rows, page.limit, versionShape, ({ version }) => [version], context.url) }
      },
    }),
    route({
      method: 'get',
      path: '/projects/{project}/relay-settings/versions/{version}',
      id: 'readRelaySettingsVersion',
      summary: 'Read the settings as they were',
      tag: 'relays',
      access: 'relay.read',
      params: projectParams.extend({ version: z.string() }),
      responses: { 200: { description: 'The settings of that version', schema: settingsSchema } },
      handler: (context) =>
        context.read(async (tx) => {
          const place = placeOf(context)
          const { version } = context.params
          const stored = /^\d{1,15}$/.test(version)
            ? await findSettingsVersion(tx, place.organisation, place.project, Number(version))
            : undefined
          if (stored === undefined) throw notFound()
          const { body } = await answerOf(tx, place, stored)
          return { status: 200, body }
        }),
    }),
  ]
}

async function answerOf(tx: Tx, { organisation, project }: ProjectPlace, stored: StoredSettings) {
  const { version, document } = stored
  const appliedAt = await findAppliedAt(tx, organisation, project, { settingsVersion: version })
  const body = {
    ...versionShape(stored),
    ...(appliedAt && { appliedAt: appliedAt.toISOString() }),
    settings: document,
  }
  return { status: 200, body, version }
}

const versionShape = ({ version, createdAt, createdBy }: Omit<StoredSettings, 'document'>) => ({
  version,
  ...(createdAt && { createdAt: createdAt.toISOString() }),
  ...(createdBy && { createdBy }),
})
