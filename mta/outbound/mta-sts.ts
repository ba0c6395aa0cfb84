// MTA-STS policies of domains: announced in DNS, fetched over HTTPS, kept until their max_age whatever becomes of both, over restarts too.
// Without a policy that was once had, a domain has none: an attacker on the first contact is what RFC 8461 §10.2 leaves open. (DL-7, WS-5)
import { randomBytes } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { Log } from '../../common/log.ts'
import { BoundedCache } from './bounded-cache.ts'
import type { Dns } from './dns-client.ts'
import { parseStsRecord, STS_MODES } from './mta-sts-policy.ts'
import type { FetchPolicy } from './mta-sts-fetch.ts'
import type { StsPolicy } from './mta-sts-policy.ts'
import type { TlsFailure } from './tls-failure.ts'

export interface StsDeps {
  readonly dns: Dns
  readonly fetchPolicy: FetchPolicy
  /** Where policies are kept; made when missing. */
  readonly file: string
  readonly log: Log
  /** ms since the epoch: policies outlive the process */
  readonly now: () => number
}

export interface StsFinding {
  /** undefined: none is in force. */
  readonly policy: StsPolicy | undefined
  /** Why the announced one couldn't be had just now. */
  readonly failure?: TlsFailure
}

interface KeptPolicy {
  readonly id: string
  readonly policy: StsPolicy
  /** ms since the epoch */
  readonly fetchedAt: number
}

const FORMAT = 'causeway-mta-sts/1'
/** Octets of all policies, as the file holds them. */
const MOST_KEPT_BYTES = 4 * 1024 * 1024
const MOST_FILE_BYTES = 3 * MOST_KEPT_BYTES
const DAY_MS = 86_400_000
/** RFC 8461 §3.3: no more than one try in 5 minutes. */
const RETRY_MS = 300_000
const MOST_FAILURES = 10_000

export class StsPolicies {
  readonly #deps: StsDeps
  readonly #kept: BoundedCache<KeptPolicy>
  readonly #failed: BoundedCache<TlsFailure>
  readonly #fetching = new Map<string, Promise<StsFinding>>()
  #writing: Promise<void> = Promise.resolve()
  #isWriteDue = false

  constructor(deps: StsDeps) {
    this.#deps = deps
    this.#kept = new BoundedCache(MOST_KEPT_BYTES, deps.now)
    this.#failed = new BoundedCache(MOST_FAILURES, deps.now)
  }

  /** Takes over what an earlier process knew. A file that can't be read costs only that. */
  async load(): Promise<void> {
    try {
      for (const [domain, kept] of parseKept(await readFile(this.#deps.file))) this.#keep(domain, kept)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
        this.#deps.log.warn('mta-sts.file-unread', { error })
    }
  }

  /** Never throws. @param domain  lower case, A-labels */
  async policyOf(domain: string): Promise<StsFinding> {
    const kept = this.#kept.get(domain)
    const announced = await this.#deps.dns.query(`_mta-sts.${domain}`, 'TXT')
    const id = announced.kind === 'records' ? parseStsRecord(announced.records) : undefined
    // RFC 8461 §5.1: a policy in force doesn't end because its announcement can't be seen.
    if (id === undefined) return { policy: kept?.policy }
    if (kept?.id === id) {
      if (this.#deps.now() - kept.fetchedAt > Math.min(DAY_MS, 500 * kept.policy.maxAgeSeconds))
        void this.#refresh(domain, id)
      return { policy: kept.policy }
    }
    return await this.#refresh(domain, id)
  }

  async #refresh(domain: string, id: string): Promise<StsFinding> {
    const failure = this.#failed.get(domain)
    if (failure !== undefined) return { policy: this.#kept.get(domain)?.policy, failure }
    const known = this.#fetching.get(domain)
    if (known !== undefined) return await known
    const fetching = this.#fetch(domain, id)
    this.#fetching.set(domain, fetching)
    try {
      return await fetching
    } finally {
      this.#fetching.delete(domain)
    }
  }

  async #fetch(domain: string, id: string): Promise<StsFinding> {
    const fetched = await this.#deps.fetchPolicy(domain)
    if ('failure' in fetched) {
      this.#failed.set(domain, fetched.failure, { weight: 1, untilMs: this.#deps.now() + RETRY_MS })
      this.#deps.log.info('mta-sts.not-fetched', { failure: fetched.failure, reason: fetched.text })
      return { policy: this.#kept.get(domain)?.policy, failure: fetched.failure }
    }
    this.#keep(domain, { id, policy: fetched.policy, fetchedAt: this.#deps.now() })
    this.#write()
    return { policy: fetched.policy }
  }

  #keep(domain: string, kept: KeptPolicy): void {
    const weight = domain.length + JSON.stringify(kept).length
    this.#kept.set(domain, kept, { weight, untilMs: kept.fetchedAt + 1000 * kept.policy.maxAgeSeconds })
  }

  /** One write at a time; what changes meanwhile is in the next. */
  #write(): void {
    if (this.#isWriteDue) return
    this.#isWriteDue = true
    this.#writing = this.#writing.then(async () => {
      this.#isWriteDue = false
      const { file, log } = this.#deps
      const fresh = `${file}.${randomBytes(6).toString('hex')}`
      const policies = [...this.#kept.entries()].map(([domain, kept]) => ({ domain, ...kept }))
      try {
        await writeFile(fresh, JSON.stringify({ format: FORMAT, policies }), { mode: 0o600, flag: 'wx' })
        await rename(fresh, file)
      } catch (error) {
        // The policies hold as long as this process does.
        log.warn('mta-sts.file-unwritten', { error })
        await rm(fresh, { force: true }).catch(() => {})
      }
    })
  }

  /** Resolves when all that is known is in the file. */
  async close(): Promise<void> {
    await this.#writing
  }
}

/** @throws when it is no such file */
function parseKept(bytes: Buffer): [domain: string, kept: KeptPolicy][] {
  if (bytes.length > MOST_FILE_BYTES) throw new Error('the file is too large')
  const read: unknown = JSON.parse(bytes.toString('utf8'))
  if (!isObject(read) || read['format'] !== FORMAT || !Array.isArray(read['policies']))
    throw new Error('another format')
  return read['policies'].map((each: unknown) => {
    const { domain, id, fetchedAt, policy } = isObject(each) ? each : {}
    const { mode, mx, maxAgeSeconds } = isObject(policy) ? policy : {}
    const knownMode = STS_MODES.find((known) => known === mode)
    if (typeof domain !== 'string' || typeof id !== 'string' || !isTime(fetchedAt) || !isTime(maxAgeSeconds))
      throw new Error('a policy that is none')
    if (knownMode === undefined || !isStrings(mx)) throw new Error('a policy that is none')
    return [domain, { id, fetchedAt, policy: { mode: knownMode, mx, maxAgeSeconds } }]
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}
