// The configuration of an enrolled relay names no project: the enrolment does. For whoever opens the spool, which is sealed for it (SF-1).
import type { Settings } from '../settings.ts'
import { loadSpoolKey } from '../spool/keys.ts'
import { EnrolmentStore } from './enrolment-state.ts'
import type { Enrolment } from './enrolment-state.ts'

export function withProjectOf<S extends Settings>(settings: S, { project }: Pick<Enrolment, 'project'>): S {
  return { ...settings, spool: { ...settings.spool, project } }
}

/** The same by what is kept; without a control plane, and before it is enrolled, as it is. @throws SettingsFault, SpoolUnusable */
export async function withKeptProject<S extends Settings>(settings: S): Promise<S> {
  const { controlPlane, spool } = settings
  if (controlPlane === undefined) return settings
  const rootKey = loadSpoolKey(spool.key.file, spool.directory)
  const kept = await new EnrolmentStore(controlPlane.state.directory, rootKey).load()
  return kept?.enrolment === undefined ? settings : withProjectOf(settings, kept.enrolment)
}
