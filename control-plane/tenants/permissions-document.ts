// docs/permissions.md: every permission, and why, for whoever has to approve it before anything is installed. Pure. (EC-2)
import { CAPABILITIES, defaultLevel, LEVELS, optionalOf, setOf, neededFor } from './capabilities.ts'
import type { Capability, Level } from './capabilities.ts'
import { PERMISSION_SETS } from './permission-sets.ts'
import type { PermissionSet } from './permission-sets.ts'

const INTRODUCTION = `# Permissions

What Causeway asks for in a tenant, by capability and level, and why. A source is asked for the minimal level, which reads and changes nothing; a target
for the full one. All are application permissions, used with a certificate; no passwords, no client secrets (EC-1). An administrator is shown the
same list before consenting (\`GET /projects/{project}/tenants/{tenant}/consent/manifest\`), and what was granted is held against it afterwards.

\`Exchange.ManageAsApp\` opens nothing by itself: the application also needs roles of Exchange's own. The consent of a tenant shows the commands that give
it a role group with just these (\`GET …/consent\`, member \`exchange\`).

Permissions marked _optional_ are asked for only where somebody chose them.
`

export function permissionsDocument(): string {
  const sections = CAPABILITIES.flatMap((capability) => {
    const levels = LEVELS.filter(
      (level) => level === 'full' || setOf(capability, 'minimal') !== setOf(capability, 'full'),
    )
    return levels.map((level) => section(capability, level, levels.length === 1))
  })
  return [INTRODUCTION, ...sections].join('\n')
}

function section(capability: Capability, level: Level, isOnlyOne: boolean): string {
  const set: PermissionSet = PERMISSION_SETS[setOf(capability, level)]
  const sides = (['source', 'target'] as const).filter((side) => isOnlyOne || defaultLevel(side) === level)
  const chosen = [{ capability, level }]
  const { permissions, exchangeRoles } = neededFor({ capabilities: chosen, optional: [...optionalOf(chosen)] })
  const rows = permissions.map(({ resource, name, id, reasons, isOptional }) => [
    `\`${name}\`${isOptional ? ' _optional_' : ''}`,
    resource === 'graph' ? 'Microsoft Graph' : 'Exchange Online',
    reasons.join('; '),
    `\`${id}\``,
  ])
  return `## ${capability}${isOnlyOne ? '' : `, ${level}`}

${set.purpose[0]?.toUpperCase() ?? ''}${set.purpose.slice(1)}. Default for a ${sides.join(' and a ')}.

${table(['permission', 'of', 'why', 'id'], rows)}
${exchangeRoles.length === 0 ? '' : `\nRoles of Exchange: ${exchangeRoles.map((role) => `\`${role}\``).join(', ')}.\n`}`
}

/** Columns as wide as their widest cell: read as text as well as rendered. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[], fill = ' ') =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(' | ')} |`
  return [
    line(head),
    line(
      head.map(() => ''),
      '-',
    ),
    ...rows.map((row) => line(row)),
  ].join('\n')
}
