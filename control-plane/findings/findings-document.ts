// docs/findings.md: every kind of finding, for whoever reads a report. Pure.
import { SEVERITIES } from './finding-kind.ts'
import type { FindingKind, Severity } from './finding-kind.ts'
import { FINDING_CODES, kindOf } from './finding-kinds.ts'

const INTRODUCTION = `# Findings

What a project's assessment can say, by severity and code. Findings are judged after each discovery, each matching and each change of a consent, and once a
day; \`GET /projects/{project}/findings\` lists them, \`GET /projects/{project}/reports/assessment\` gives them as JSON, CSV or a page to print.

A finding keeps its id, and what was said about it, as long as it is found again. What is not found any more is resolved, and gone 30 days later. What a
missing permission or role hides gives no finding about accounts, but one about the tenant.

What a dry run of coexistence (\`POST /projects/{project}/coexistence/plan\`) says beside its steps is judged for it alone and not kept; it says again what
of the kept findings concerns mail between the tenants, by what it sees in them at that moment. See [coexistence.md](coexistence.md).
`

const MEANING: Readonly<Record<Severity, readonly [title: string, text: string]>> = {
  blocker: ['Blockers', 'Something that the project needs can not be done until it is dealt with.'],
  warning: ['Warnings', 'Something will go wrong, or be lost, for somebody.'],
  notice: ['Notices', 'Somebody should know it, or decide.'],
}

export function findingsDocument(): string {
  return [INTRODUCTION, ...SEVERITIES.map(section)].join('\n')
}

function section(severity: Severity): string {
  const [title, text] = MEANING[severity]
  const codes = FINDING_CODES.filter((code) => kindOf(code).severity === severity).toSorted()
  return `## ${title}

${text}

${codes.map((code) => entry(code, kindOf(code))).join('\n')}`
}

const entry = (code: string, { about, title, explanation, remedy }: FindingKind): string => `### ${code}

**${title}** (about: ${about}). ${explanation}

What to do: ${remedy}
`
