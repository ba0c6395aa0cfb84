// Whose key seals a value: a project's, or the installation's for what belongs to no project (snapshot and app keys, session material,
// an organisation's webhooks). The value stays bound to its organisation either way.
import { INSTALLATION } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { INSTALLATION_KEY, projectKeyName } from './key-provider.ts'
import type { KeyName } from './key-provider.ts'

export type KeyOwner =
  | { readonly kind: 'project'; readonly organisation: OrganisationId; readonly project: ProjectId }
  /** `organisation`: whose value it is. */
  | { readonly kind: 'installation'; readonly organisation: OrganisationId }

export const ofProject = (organisation: OrganisationId, project: ProjectId): KeyOwner & { kind: 'project' } => ({
  kind: 'project',
  organisation,
  project,
})

export const ofInstallation = (organisation: OrganisationId = INSTALLATION): KeyOwner => ({
  kind: 'installation',
  organisation,
})

/** In which organisation's rows the key itself is kept. */
export const homeOf = (owner: KeyOwner): OrganisationId =>
  owner.kind === 'project' ? owner.organisation : INSTALLATION
export const projectOf = (owner: KeyOwner): ProjectId | null => (owner.kind === 'project' ? owner.project : null)
export const keyNameOf = (owner: KeyOwner): KeyName =>
  owner.kind === 'project' ? projectKeyName(owner.project) : INSTALLATION_KEY

/** What a wrapped project key is bound to: it unwraps as this key of this owner only. */
export const wrappingContext = (owner: KeyOwner, keyId: string): string =>
  `${homeOf(owner)}/${projectOf(owner) ?? ''}/${keyId}`
