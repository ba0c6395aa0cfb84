// Download links of reports: whoever has one gets the file, for a few minutes; a token sent along is a mistake of the client's.
import { makeLink, openLink } from './link.ts'

export const REPORT_NAMES = ['mailboxes', 'drives'] as const
export type ReportName = (typeof REPORT_NAMES)[number]

export interface Download {
  readonly tenantId: string
  readonly report: ReportName
  readonly period: string
  /** ms since the epoch */
  readonly issuedMs: number
}

const VERSION = 'data'
const PATH = '/download'
/** "Preauthenticated download URLs are only valid for a short period of time (a few minutes)" */
const LIFE_MS = 5 * 60_000

export function downloadLink(download: Download): string {
  return makeLink({ version: VERSION, path: PATH, query: new URLSearchParams(), tenantId: '' }, '$skiptoken', download)
}

export function isDownload(path: string): boolean {
  return path === `/${VERSION}${PATH}`
}

/** undefined: no such link, or it is too old. */
export function openDownload(query: URLSearchParams, nowMs: number): Download | undefined {
  const opened = openLink({ version: VERSION, path: PATH, query, tenantId: '' })
  if (opened === undefined) return undefined
  const download = opened.payload as Download
  return nowMs - download.issuedMs <= LIFE_MS ? download : undefined
}
