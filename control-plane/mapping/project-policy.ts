// The rewriting policy that a project's relays go by (rewriting.md §13), as their settings have it.
import { parsePolicy } from '../../rewrite-rules/index.ts'
import type { Policy } from '../../rewrite-rules/index.ts'
import type { Tx } from '../db/database.ts'
import { loadSettings } from '../relays/relay-settings-store.ts'
import type { Place } from './mapping.ts'

export async function projectPolicy(tx: Tx, { organisation, project }: Place): Promise<Policy> {
  const { document } = await loadSettings(tx, organisation, project)
  return parsePolicy(document.policy)
}
