// Enrolment (RC-1): the relay makes its keys, shows the code, and learns whom it belongs to. Once; later starts only read what was kept.
import { hash } from 'node:crypto'
import type { Log } from '../../common/log.ts'
import { RELAY_PATHS } from '../../common/relay-contract.ts'
import type { EnrolAnswer, EnrolRequest } from '../../common/relay-contract.ts'
import { readText } from '../certificates.ts'
import { SettingsFault } from '../settings-fault.ts'
import type { ControlPlaneSettings } from '../settings.ts'
import { makeRelayKeys, publicText } from './enrolment-state.ts'
import type { Enrolment, EnrolmentState, EnrolmentStore } from './enrolment-state.ts'
import type { Answer, ControlPlaneClient } from './http-client.ts'
import { retryDelayMs } from './retry-delay.ts'
import { snapshotKeyOf } from './snapshot-key.ts'

export interface EnrolDeps {
  readonly settings: ControlPlaneSettings
  /** The relay's name on the wire. */
  readonly name: string
  readonly softwareVersion: string
  readonly store: EnrolmentStore
  readonly client: Pick<ControlPlaneClient, 'post'>
  readonly log: Log
  /** In [0, 1) */
  readonly random: () => number
  /** @throws when the relay is told to stop meanwhile */
  readonly wait: (ms: number) => Promise<void>
  /** Told why it isn't enrolled yet, for readiness. */
  readonly waiting: (why: string) => void
}

/** An enrolled relay. */
export interface Enrolled {
  readonly keys: EnrolmentState['keys']
  readonly enrolment: Enrolment
}

/**
 * Reads what was kept, or enrols with the code of the configuration, for as long as it takes to reach the control plane.
 * @throws SettingsFault when there is neither enrolment nor code, or the control plane doesn't take the code
 */
export async function ensureEnrolled(deps: EnrolDeps): Promise<Enrolled> {
  const { store, settings, log } = deps
  const kept = await store.load()
  const code = kept?.enrolment?.isRevoked === false ? undefined : readCode(settings)
  const digest = code === undefined ? undefined : hash('sha256', code, 'hex')
  const isEnrolled = kept?.enrolment !== undefined
  if (isEnrolled && (!kept.enrolment.isRevoked || digest === undefined || digest === kept.enrolment.codeDigest))
    return { keys: kept.keys, enrolment: kept.enrolment }
  if (code === undefined || digest === undefined) {
    throw faultAt(
      settings,
      'the relay is not enrolled: write `controlPlane.enrolmentCode`, which the control plane gives out',
    )
  }
  // Before they are shown to anybody: should the answer get lost, the same keys ask again.
  const keys = kept === undefined || isEnrolled ? makeRelayKeys() : kept.keys
  if (kept === undefined) await store.save({ keys, enrolment: undefined })
  const answer = await askUntilAnswered(code, keys, deps)
  if (isEnrolled && kept.enrolment.project !== answer.project)
    throw faultAt(
      settings,
      'the code is of another project: a relay keeps its project. Begin with an empty spool, and without its folder',
    )
  const enrolment = { ...answer, isRevoked: false, codeDigest: digest }
  await store.save({ keys, enrolment })
  log.info('enrolment.done', { relay: answer.relay, project: answer.project, installation: answer.installation })
  return { keys, enrolment }
}

function readCode({ enrolmentCode }: ControlPlaneSettings): string | undefined {
  if (enrolmentCode === undefined) return undefined
  if ('code' in enrolmentCode) return enrolmentCode.code
  const code = readText(enrolmentCode.file).trim()
  if (/^[\x21-\x7e]{1,512}$/.test(code)) return code
  throw new SettingsFault([{ file: enrolmentCode.file, path: '', value: '', rule: 'holds no enrolment code' }])
}

async function askUntilAnswered(code: string, keys: EnrolmentState['keys'], deps: EnrolDeps): Promise<EnrolAnswer> {
  const { client, log, random, wait, waiting, settings, name, softwareVersion } = deps
  const body: EnrolRequest = {
    code,
    name,
    softwareVersion,
    signingKey: publicText(keys.signing),
    sealingKey: publicText(keys.sealing),
  }
  for (let failures = 1; ; failures++) {
    let answer: Answer | undefined
    let error: unknown
    try {
      answer = await client.post(RELAY_PATHS.enrol, JSON.stringify(body), undefined)
    } catch (caught) {
      error = caught
    }
    const judged = judgeAnswer(answer)
    if (judged.kind === 'enrolled') return judged.answer
    if (judged.kind === 'refused') {
      log.error('enrolment.refused', { status: answer?.status })
      throw faultAt(
        settings,
        `the control plane does not take the enrolment code (${judged.why}): it was used, or is too old. Ask for a new one`,
      )
    }
    waiting(`the relay is not enrolled yet: the control plane ${judged.why}`)
    const delayMs = retryDelayMs(failures, random())
    log.warn('enrolment.waits', { reason: judged.why, retryInMs: delayMs, ...(error === undefined ? {} : { error }) })
    await wait(delayMs)
  }
}

export type EnrolVerdict =
  | { readonly kind: 'enrolled'; readonly answer: EnrolAnswer }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'later'; readonly why: string }

const TEMPORARY_STATUSES = new Set([408, 425, 429])

/** @param answer  undefined: there was none. Pure. */
export function judgeAnswer(answer: Pick<Answer, 'status' | 'text'> | undefined): EnrolVerdict {
  if (answer === undefined) return { kind: 'later', why: "can't be reached" }
  const { status, text } = answer
  if (status === 200) {
    const parsed = parseAnswer(text)
    return parsed === undefined
      ? { kind: 'later', why: 'gave an answer that is none' }
      : { kind: 'enrolled', answer: parsed }
  }
  if (status >= 400 && status < 500 && !TEMPORARY_STATUSES.has(status))
    return { kind: 'refused', why: `status ${status}` }
  return { kind: 'later', why: `answered with status ${status}` }
}

const ID = /^[A-Za-z0-9._:/-]{1,255}$/

function parseAnswer(text: string): EnrolAnswer | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined // told as no answer
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { relay, organization, project, installation, snapshotKey } = value as Partial<Record<string, unknown>>
  const isId = (id: unknown): id is string => typeof id === 'string' && ID.test(id)
  const key = snapshotKeyOf(snapshotKey)
  if (!isId(relay) || !isId(organization) || !isId(project) || !isId(installation) || key === undefined)
    return undefined
  return { relay, organization, project, installation, snapshotKey: key }
}

function faultAt({ url }: ControlPlaneSettings, rule: string): SettingsFault {
  return new SettingsFault([{ file: url, path: '', value: '', rule }])
}
