// Every key and certificate of the product has a line here: whose it is, since and until when, when it was last used (KM-7). And the rule when
// to raise the alarm: 30, 7 and 1 days before the end, and at the end, each once.

const DAY_MS = 86_400_000
/** Days before expiry, the farthest first; 0: it has expired. */
export const ALARM_DAYS = [30, 7, 1, 0] as const
export type AlarmDays = (typeof ALARM_DAYS)[number]
/** What is replaced by itself is replaced so long before its end: an alarm about it means that this has failed. */
export const RENEWED_BEFORE_MS = (ALARM_DAYS[0] + 1) * DAY_MS

export const KEY_KINDS = [
  'project-key',
  'dkim',
  'tls-certificate',
  'client-certificate',
  'app-certificate',
  'snapshot-key',
  'checkpoint-key',
  'webhook-secret',
  'api-key',
] as const
export type KeyKind = (typeof KEY_KINDS)[number]

export interface InventoryEntry {
  readonly organisation: string
  readonly kind: KeyKind
  readonly id: string
  readonly project: string | undefined
  /** Who answers for it, in words: a feature, a domain, a tenant's label. No personal data. */
  readonly owner: string
  readonly createdAt: Date
  /** Absent: never. */
  readonly expiresAt: Date | undefined
  readonly lastUsedAt: Date | undefined
  /** The alarm that was raised last. */
  readonly alarmedDays: AlarmDays | undefined
}

/** The alarm that is due at `now`; undefined when the end is farther than 30 days, or never comes. */
export function alarmDays(expiresAt: Date | undefined, now: Date): AlarmDays | undefined {
  if (expiresAt === undefined) return undefined
  const leftMs = expiresAt.getTime() - now.getTime()
  return ALARM_DAYS.findLast((days) => leftMs <= days * DAY_MS)
}

/** What has to be raised now: alarms that were not raised yet, the most urgent of each key. */
export function dueAlarms(entries: readonly InventoryEntry[], now: Date): { entry: InventoryEntry; days: AlarmDays }[] {
  return entries.flatMap((entry) => {
    const days = alarmDays(entry.expiresAt, now)
    const isNew = days !== undefined && (entry.alarmedDays === undefined || days < entry.alarmedDays)
    return isNew ? [{ entry, days }] : []
  })
}
