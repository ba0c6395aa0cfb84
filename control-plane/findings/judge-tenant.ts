// What is to be said of a tenant as a whole: its connection, what could be seen of it, what it is. Pure.
// (microsoft-365.md §1, §4; coexistence.md §2.1 row 0)
import type { Said } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'
import type { ProjectView, TenantView } from './project-view.ts'

const DAY_MS = 86_400_000
const SOON_MS = 30 * DAY_MS
const OLD_MS = 14 * DAY_MS

export function judgeTenant(own: TenantView, project: ProjectView): Said[] {
  const said: Said[] = [
    ...judgeConnection(own),
    ...judgeDiscovery(own, project.now),
    ...judgeCertificate(own, project.now),
  ]
  const say = (code: FindingCode, isSo: boolean | undefined) => {
    if (isSo === true) said.push({ code })
  }
  const { cloud, side } = own.tenant
  const targetCloud = project.target?.tenant.cloud
  if (cloud !== 'global') said.push({ code: 'national-cloud', details: { cloud } })
  if (side === 'source' && targetCloud !== undefined && targetCloud !== cloud)
    said.push({ code: 'different-clouds', details: { source: cloud, target: targetCloud } })
  say('tenant-synced', own.facts?.isSyncedFromOnPremises)
  const exchange = own.facts?.exchange
  say('tenant-dehydrated', exchange?.isDehydrated)
  say('reject-direct-send', exchange?.rejectDirectSend)
  say('plus-addressing-off', exchange?.disablePlusAddressInRecipients)
  say('send-from-alias', exchange?.sendFromAliasEnabled)
  return said
}

function judgeConnection({ consent }: TenantView): Said[] {
  const { state = 'none', problem, missing = [] } = consent ?? {}
  const details = { state, ...(problem === undefined ? {} : { problem }) }
  return [
    ...(state === 'paused' ? [{ code: 'tenant-paused' as const, details }] : []),
    ...(state === 'connected' || state === 'paused' ? [] : [{ code: 'tenant-not-connected' as const, details }]),
    ...(missing.length === 0 || state === 'asked'
      ? []
      : [{ code: 'permission-missing' as const, details: { missing: [...missing] } }]),
  ]
}

function judgeDiscovery({ completed, hasFailedSince }: TenantView, now: number): Said[] {
  const said: Said[] = hasFailedSince ? [{ code: 'discovery-failed' }] : []
  if (completed === undefined) return [...said, { code: 'tenant-not-discovered' }]
  said.push(...completed.gaps.map((code) => ({ code })))
  if (now - completed.finishedAt.getTime() > OLD_MS) said.push({ code: 'discovery-old' })
  return said
}

function judgeCertificate({ certificateExpiresAt: end }: TenantView, now: number): Said[] {
  if (end === undefined || end.getTime() - now > SOON_MS) return []
  const details = { expiresAt: end.toISOString() }
  return [{ code: end.getTime() <= now ? 'certificate-expired' : 'certificate-expires-soon', details }]
}
