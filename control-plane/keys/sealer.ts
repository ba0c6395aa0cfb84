// How features keep secrets in the database: sealed under a key of the project, or of the installation (KM-1). Features are given a Sealer; how
// keys are kept, cached and rotated is behind it.
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { ofInstallation, ofProject } from './key-owner.ts'
import { openKeyRingIn } from './project-keys.ts'
import type { KeyDeps } from './project-keys.ts'

export interface SealPlace {
  /** `INSTALLATION` for what belongs to no organisation. */
  readonly organisation: OrganisationId
  /** undefined: the installation's own key. */
  readonly project: ProjectId | undefined
}

export interface Sealer {
  /**
   * @param purpose  what kind of secret: `dkim-key`, `proof-token`; a constant
   * @param context  which one: the row's id. It opens only under the same purpose and context.
   * @param tx  sees the place's organisation
   */
  seal(tx: Tx, place: SealPlace, purpose: string, context: string, plain: Uint8Array): Promise<Buffer>
  /** @throws KeyDestroyed, KeyServiceUnavailable, KeyUnusable (keys/key-provider.ts) */
  open(tx: Tx, place: SealPlace, purpose: string, context: string, sealed: Uint8Array): Promise<Buffer>
}

/** The one there is: rings of project-keys.ts, opened in the caller's transaction. */
export function createSealer(deps: KeyDeps): Sealer {
  const ring = (tx: Tx, { organisation, project }: SealPlace) =>
    openKeyRingIn(tx, project === undefined ? ofInstallation(organisation) : ofProject(organisation, project), deps)
  return {
    async seal(tx, place, purpose, context, plain) {
      return (await ring(tx, place)).seal({ purpose, context }, plain)
    },
    async open(tx, place, purpose, context, sealed) {
      return (await ring(tx, place)).open({ purpose, context }, sealed)
    },
  }
}
