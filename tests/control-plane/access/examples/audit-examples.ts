// The audit trail of an organisation and of the installation.
import { nothing } from './world.ts'
import type { Examples, World } from './world.ts'

async function event({ api, organisation, key }: World): Promise<{ event: string }> {
  const { body } = await api.request('GET', `/organizations/${organisation}/audit?limit=1`, undefined, { key })
  return { event: body.items[0].id as string }
}

async function installationEvent({ api }: World): Promise<{ event: string }> {
  const { body } = await api.request(
    'GET',
    '/installation/audit?limit=1',
    undefined,
    await api.installationAdministrator(),
  )
  return { event: body.items[0].id as string }
}

export const AUDIT_EXAMPLES: Examples = {
  listAuditEvents: nothing,
  exportAudit: async (world) => {
    // The first one ever makes the key that checkpoints are signed with, which is told as well.
    await world.api.request('GET', `/organizations/${world.organisation}/audit/export`, undefined, world)
    return { audits: ['done'] } // AU-1: exports are told
  },
  listAuditCheckpoints: nothing,
  listAuditKeys: nothing,
  verifyAudit: nothing,
  readAuditEvent: async (world) => ({ params: await event(world) }),
  listInstallationAuditEvents: nothing,
  exportInstallationAudit: () => ({ audits: ['done'] }),
  listInstallationAuditCheckpoints: nothing,
  listInstallationAuditKeys: nothing,
  verifyInstallationAudit: nothing,
  readInstallationAuditEvent: async (world) => ({ params: await installationEvent(world) }),
  rotateAuditKey: nothing,
}
