// Keys of a project, an organisation, the installation, and their rotation.
import { nothing } from './world.ts'
import type { Examples } from './world.ts'

export const KEY_EXAMPLES: Examples = {
  listOrganizationKeys: nothing,
  listProjectKeys: nothing,
  listInstallationKeys: nothing,
  rotateProjectKeys: () => ({ body: {} }),
  rotateInstallationKeys: () => ({ body: { level: 'root' } }),
}
