// An organisation's settings over HTTP.
import { z } from 'zod'
import { countAdministrators } from '../access/member-store.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import type { OrganisationId } from '../ids.ts'
import { settingsBody, settingsSchema } from './organisation-settings.ts'
import type { OrganisationDeps } from './organisation-routes.ts'
import { findOrganisation, loadSettings, lockOrganisation, updateSettings } from './organisation-store.ts'

const params = z.strictObject({ organization: z.string() })

export function settingsRoutes({ region: ours }: OrganisationDeps): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/organizations/{organization}/settings',
      id: 'readOrganizationSettings',
      summary: 'Read the settings of an organization',
      tag: 'organizations',
      access: 'organization.read',
      params,
      responses: { 200: { description: 'The settings', schema: settingsSchema } },
      handler: ({ read, organisation }) =>
        read(async (tx) => {
          const { version, ...settings } = await current(tx, organisation)
          return { status: 200, body: settings, version }
        }),
    }),
    route({
      method: 'put',
      path: '/organizations/{organization}/settings',
      id: 'replaceOrganizationSettings',
      summary: 'Replace the settings of an organization',
      description: 'What is left out has its default.',
      tag: 'organizations',
      access: 'organization.manage',
      params,
      body: settingsBody,
      ifMatch: 'optional',
      responses: { 200: { description: 'Replaced', schema: settingsSchema } },
      problems: ['region-mismatch', 'last-administrator'],
      handler: ({ change, organisation, body, checkVersion }) =>
        change('organization.settings-changed', async (tx) => {
          await lockOrganisation(tx, organisation)
          const { version, ...before } = await current(tx, organisation)
          checkVersion(version)
          const { region = before.region, ...settings } = body
          if (region !== ours) throw new Problem('region-mismatch', { region: ours })
          await updateSettings(tx, organisation, region, settings, version + 1)
          // A policy that lets no administrator in could be changed by nobody.
          if ((await countAdministrators(tx, organisation)) === 0) throw new Problem('last-administrator')
          // PR-2: switching it off purges what was written.
          if (before.privacy.pii === 'customer' && settings.privacy.pii === 'off')
            await requestJob(tx, { organisation }, 'retention.sweep')
          await publishEvent(tx, { organisation }, 'organization.settings-changed', { version: version + 1 })
          const after = { region, ...settings }
          return { answer: { status: 200, body: after, version: version + 1 }, object: organisation, before, after }
        }),
    }),
  ]
}

async function current(tx: Tx, organisation: OrganisationId) {
  const found = await findOrganisation(tx, organisation)
  if (found === undefined) throw notFound()
  return { version: found.settingsVersion, region: found.region, ...(await loadSettings(tx, organisation)) }
}
