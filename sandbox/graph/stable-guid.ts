// Ids for what the simulated directory doesn't store but shows: the same each time, also after a restart.
import { createHash } from 'node:crypto'

export function stableGuid(...parts: readonly string[]): string {
  const hex = createHash('sha256').update(parts.join('\n')).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
