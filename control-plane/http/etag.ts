// Versions of resources as ETags (RFC 9110 §8.8, §13): a change says which version it is of. Pure.
import { Problem } from './problem.ts'

export const formatEtag = (version: number | string): string => `"${version}"`

/**
 * @param ifMatch  header as sent
 * @throws Problem 412 when the resource is at another version, 428 when the header is missing where it must be there
 */
export function checkIfMatch(ifMatch: string | undefined, version: number | string, isMandatory: boolean): void {
  if (ifMatch === undefined) {
    if (isMandatory) throw new Problem('etag-needed')
    return
  }
  const tags = ifMatch.split(',').map((tag) => tag.trim())
  if (!tags.includes('*') && !tags.includes(formatEtag(version)))
    throw new Problem('stale-etag', { current: formatEtag(version) })
}
