// How much of the memory this process may have is in use: the high-water mark of reliability-security.md §4 is measured with it.
import { totalmem } from 'node:os'
import { constrainedMemory, memoryUsage } from 'node:process'

/** @returns 0 to 1, of the container's limit, or of the machine's memory where there is none */
export function processMemoryUse(): number {
  const machineBytes = totalmem()
  const constrainedBytes = constrainedMemory()
  const limitBytes = constrainedBytes > 0 ? Math.min(constrainedBytes, machineBytes) : machineBytes
  return memoryUsage.rss() / limitBytes
}
