// The assessment as a page: to be read on a screen, with a screen reader, and on A4. No script, nothing from elsewhere. Names in it come from whoever could
// write them: they are text, each by itself in its direction, and what can not be seen is shown by its number. Pure. (WS-3)
import type { Assessment } from './assessment.ts'
import type { FindingBody } from './finding.ts'
import { SEVERITIES } from './finding-kind.ts'
import { kindOf } from './finding-kinds.ts'
import type { FindingCode } from './finding-kinds.ts'

/** Lines of one kind; a report of a hundred thousand is for a program. */
const MAX_LINES = 500
const MAX_TEXT = 200

const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')

/** A name from outside: cut, escaped, isolated. */
function foreign(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT).toWellFormed()}…` : text.toWellFormed()
  const visible = cut.replaceAll(
    UNSEEN,
    (character) => `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
  )
  return `<bdi>${escapeHtml(visible)}</bdi>`
}

const STYLE = `
:root { color-scheme: light; }
body { font: 11pt/1.4 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 2px solid #1b1b1b; } h3 { font-size: 1rem; margin-bottom: .2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
caption { text-align: left; font-style: italic; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #999; padding: .2rem .5rem .2rem 0; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; }
p { margin: .2rem 0; }
code { font-size: .9em; }
@media print {
  @page { size: A4; margin: 16mm; }
  body { font-size: 9pt; max-width: none; margin: 0; padding: 0; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; }
}
`

const HEADINGS = { blocker: 'Blockers', warning: 'Warnings', notice: 'Notices' } as const

/** @param nonce  of the answer's content security policy */
export async function* writePage(assessment: Omit<Assessment, 'findings'>, nonce: string): AsyncGenerator<string> {
  const { tenants, summary, firstOf } = assessment
  const labels = new Map<string, string>(tenants.map(({ id, label }) => [id, label]))
  yield head(assessment, nonce)
  for (const severity of SEVERITIES) {
    const kinds = summary.kinds.filter((kind) => kind.severity === severity)
    if (kinds.length > 0) yield `<h2>${HEADINGS[severity]}</h2>\n`
    for (const { code, open, acknowledged } of kinds) {
      const findings = await firstOf(code, MAX_LINES)
      const more = open + acknowledged - findings.length
      yield (
        beginKind(code, open + acknowledged) +
        findings.map((finding) => line(finding, labels)).join('') +
        `</tbody>\n</table>\n${more > 0 ? `<p>And ${more} more: see the report as CSV.</p>\n` : ''}`
      )
    }
  }
  yield `${summary.kinds.length === 0 ? '<p>There are no findings.</p>\n' : ''}</main>\n</body>\n</html>\n`
}

function head(
  { project, tenants, summary }: Pick<Assessment, 'project' | 'tenants' | 'summary'>,
  nonce: string,
): string {
  const { judgedAt, isUnderWay, severities, kinds } = summary
  const sum = (member: 'open' | 'acknowledged') =>
    Object.values(severities).reduce((total, counts) => total + counts[member], 0)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Assessment</title>
<style nonce="${escapeHtml(nonce)}">${STYLE}</style>
</head>
<body>
<main>
<h1>Assessment</h1>
<p>Project <code>${escapeHtml(project)}</code>. ${judgedAt === undefined ? 'Nothing has been judged yet.' : `Judged ${escapeHtml(judgedAt)}.`}${isUnderWay ? ' Something has changed since, and is being judged.' : ''}</p>
<table>
<caption>Tenants</caption>
<thead><tr><th scope="col">Label</th><th scope="col">Side</th><th scope="col">Name</th></tr></thead>
<tbody>
${tenants.map(({ label, side, name }) => `<tr><th scope="row">${escapeHtml(label)}</th><td>${side}</td><td>${foreign(name)}</td></tr>`).join('\n')}
</tbody>
</table>
<table>
<caption>Findings by severity</caption>
<thead><tr><th scope="col">Severity</th><th scope="col" class="number">Open</th><th scope="col" class="number">Acknowledged</th></tr></thead>
<tbody>
${SEVERITIES.map((one) => countRow(HEADINGS[one], severities[one])).join('\n')}
</tbody>
<tfoot>${countRow('All', { open: sum('open'), acknowledged: sum('acknowledged') })}</tfoot>
</table>
<table>
<caption>Findings by kind</caption>
<thead><tr><th scope="col">Kind</th><th scope="col" class="number">Open</th><th scope="col" class="number">Acknowledged</th></tr></thead>
<tbody>
${kinds.map(({ code, title, ...counts }) => countRow(`<a href="#${code}">${escapeHtml(title)}</a>`, counts)).join('\n')}
</tbody>
</table>
`
}

const countRow = (
  name: string,
  { open, acknowledged }: { readonly open: number; readonly acknowledged: number },
): string =>
  `<tr><th scope="row">${name}</th><td class="number">${open}</td><td class="number">${acknowledged}</td></tr>`

function beginKind(code: FindingCode, total: number): string {
  const { severity, title, explanation, remedy } = kindOf(code)
  return `<h3 id="${code}">${escapeHtml(title)}</h3>
<p><code>${code}</code>, ${severity}, ${total}</p>
<p>${escapeHtml(explanation)}</p>
<p><strong>What to do:</strong> ${escapeHtml(remedy)}</p>
<table>
<thead><tr><th scope="col">Tenant</th><th scope="col">About</th><th scope="col">Details</th></tr></thead>
<tbody>
`
}

function line(
  { tenant, account, other, domain, details, state, note = '' }: FindingBody,
  labels: ReadonlyMap<string, string>,
): string {
  const labelOf = (id: string) => escapeHtml(labels.get(id) ?? id)
  const people = [account, other].flatMap((one) => (one === undefined ? [] : [aboutAccount(one)]))
  const about = people.length > 0 ? people.join('<br>and ') : domain === undefined ? 'the tenant' : foreign(domain)
  const told = Object.entries(details).map(
    ([name, value]) =>
      `${escapeHtml(name)}: ${Array.isArray(value) ? value.map(foreign).join(', ') : foreign(readable(name, value))}`,
  )
  if (state === 'acknowledged') told.push(`<em>acknowledged</em>${note === '' ? '' : `: ${foreign(note)}`}`)
  return `<tr><td>${labelOf(tenant)}</td><td>${about}</td><td>${told.join('<br>')}</td></tr>\n`
}

const GB = 1024 ** 3
const MB = 1024 ** 2

/** Octets as people read them. */
function readable(name: string, value: string | number | boolean): string {
  if (typeof value !== 'number' || !/bytes$/i.test(name)) return String(value)
  return value >= GB ? `${(value / GB).toFixed(1)} GB` : `${(value / MB).toFixed(1)} MB`
}

function aboutAccount({
  displayName,
  userPrincipalName,
  address,
  objectId,
  isGone,
}: NonNullable<FindingBody['account']>): string {
  const name = userPrincipalName ?? address ?? objectId
  return `${foreign(displayName === '' ? '(no name)' : displayName)} ${foreign(name)}${isGone === true ? ' (gone)' : ''}`
}
