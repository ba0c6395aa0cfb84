// Asks DNS whether the record of a DKIM key is there. (RFC 6376 §3.6.2)
import { Resolver } from 'node:dns/promises'
import type { CheckResult, DkimKey } from './dkim-key.ts'
import { dnsRecordOf, judgeDnsRecords } from './dkim-key.ts'

/** TXT records of a name, each its strings. @throws with a DNS error's `code` */
export type ResolveTxt = (name: string) => Promise<readonly (readonly string[])[]>

const TIMEOUT_MS = 3_000
const TRIES = 2

/** @param servers  addresses, with a port where it isn't 53; empty: those of the system */
export function createResolveTxt(servers: readonly string[]): ResolveTxt {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers([...servers])
  return (name) => resolver.resolveTxt(name)
}

const ABSENT = new Set(['ENOTFOUND', 'ENODATA'])

/** What of the found is shown: DNS may say anything. */
const MAX_SHOWN = 5
const MAX_SHOWN_LENGTH = 1_000

export interface RecordCheck {
  readonly result: CheckResult
  /** The texts that were found. */
  readonly found: readonly string[]
}

export async function checkDkimRecord(
  key: Pick<DkimKey, 'domain' | 'selector' | 'algorithm' | 'publicKey'>,
  resolveTxt: ResolveTxt,
): Promise<RecordCheck> {
  try {
    const records = await resolveTxt(dnsRecordOf(key).name)
    const found = records.slice(0, MAX_SHOWN).map((strings) => strings.join('').slice(0, MAX_SHOWN_LENGTH))
    return { result: judgeDnsRecords(records, key), found }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (typeof code !== 'string') throw error
    return { result: ABSENT.has(code) ? 'missing' : 'unreachable', found: [] }
  }
}
