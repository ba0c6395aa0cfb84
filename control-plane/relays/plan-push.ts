// What a relay that has this needs of what there is: nothing, the whole, or what changed. Pure. (product.md §5, RC-2)
import type { HeldSnapshot, ProjectVersions } from './relay.ts'

export type PushPlan =
  | { readonly kind: 'nothing' }
  /** It has what was never made here: an older state of the database is in force. Somebody has to look. */
  | { readonly kind: 'ahead' }
  | { readonly kind: 'whole' }
  | {
      readonly kind: 'change'
      /** The snapshot version that it completes. */
      readonly base: number
      /** From which mapping revision; undefined: the table is the same. */
      readonly tableFrom: number | undefined
      readonly hasNewSettings: boolean
    }

/**
 * @param held  undefined: nothing yet
 * @param wantsWhole  it can't use what it has
 */
export function planPush(
  held: HeldSnapshot | undefined,
  wantsWhole: boolean,
  { snapshotVersion, mappingRevision, settingsVersion }: ProjectVersions,
): PushPlan {
  if (held === undefined) return { kind: 'whole' }
  if (held.version > snapshotVersion || held.revision > mappingRevision) return { kind: 'ahead' }
  if (held.version === snapshotVersion) return { kind: 'nothing' }
  if (wantsWhole) return { kind: 'whole' }
  return {
    kind: 'change',
    base: held.version,
    tableFrom: held.revision === mappingRevision ? undefined : held.revision,
    hasNewSettings: held.settings !== settingsVersion,
  }
}
