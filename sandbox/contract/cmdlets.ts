// exchange-cmdlets.json, indexed: cmdlets and parameters by name in any case, and the rules of a call.
import type { RolesOfNoun } from './management-roles.ts'
import type { Violation, ViolationRule } from './violation.ts'

/** As the file has it; what is not read is left out. */
export interface CmdletsFile {
  readonly how: { readonly commonParameters: readonly string[] }
  readonly cmdlets: Readonly<Record<string, CmdletFile>>
  readonly requiredRbac: Readonly<Record<string, RolesOfNoun>>
}

interface CmdletFile {
  readonly applicable: readonly string[]
  readonly sets: Readonly<
    Record<string, { readonly mandatory: readonly string[]; readonly optional: readonly string[] }>
  >
  readonly parameters: Readonly<Record<string, ParameterFile>>
}

interface ParameterFile {
  readonly type: string
  readonly exchangeOnline?: boolean
  readonly aliases?: readonly string[]
  readonly allowed?: readonly string[]
  readonly allowedSource?: 'yaml' | 'type' | 'prose list'
}

export interface Cmdlet {
  /** As published: `Get-Mailbox`. */
  readonly name: string
  readonly isOnline: boolean
  /** By name and alias, in lower case. */
  readonly parameters: ReadonlyMap<string, Parameter>
  readonly sets: readonly ParameterSet[]
}

export interface Parameter {
  readonly name: string
  readonly type: string
  readonly isOnline: boolean
  /** In lower case; undefined: anything. */
  readonly allowed: ReadonlySet<string> | undefined
  /** Whether the list is whole. */
  readonly isClosed: boolean
}

/** Names in lower case. */
interface ParameterSet {
  readonly name: string
  readonly mandatory: readonly string[]
  readonly all: ReadonlySet<string>
}

export interface Cmdlets {
  /** By name, in lower case. */
  readonly byName: ReadonlyMap<string, Cmdlet>
  /** Of every cmdlet; in lower case. */
  readonly common: ReadonlySet<string>
}

export function indexCmdlets({ how, cmdlets }: CmdletsFile): Cmdlets {
  return {
    byName: new Map(Object.entries(cmdlets).map(([name, file]) => [name.toLowerCase(), indexCmdlet(name, file)])),
    common: new Set(how.commonParameters.map((name) => name.toLowerCase())),
  }
}

function indexCmdlet(name: string, file: CmdletFile): Cmdlet {
  const parameters = new Map<string, Parameter>()
  for (const [parameter, { type, exchangeOnline = true, aliases = [], allowed, allowedSource }] of Object.entries(
    file.parameters,
  )) {
    const indexed: Parameter = {
      name: parameter,
      type,
      isOnline: exchangeOnline,
      allowed: allowed && new Set(allowed.map((value) => value.toLowerCase())),
      isClosed: allowedSource !== 'prose list',
    }
    for (const each of [parameter, ...aliases]) parameters.set(each.toLowerCase(), indexed)
  }
  const sets = Object.entries(file.sets).map(([set, { mandatory, optional }]): ParameterSet => {
    const lower = (names: readonly string[]) => names.map((each) => each.toLowerCase())
    // The page's syntax names some that its list leaves out.
    for (const each of [...mandatory, ...optional]) {
      const key = each.toLowerCase()
      if (!parameters.has(key)) {
        parameters.set(key, { name: each, type: '', isOnline: true, allowed: undefined, isClosed: false })
      }
    }
    return { name: set, mandatory: lower(mandatory), all: new Set(lower([...mandatory, ...optional])) }
  })
  const isOnline = file.applicable.includes('Exchange Online')
  return { name, isOnline, parameters, sets }
}

export function judgeCall(
  cmdlets: Cmdlets,
  name: string,
  given: Readonly<Record<string, unknown>>,
): { violations: Violation[]; warnings: Violation[] } {
  const cmdlet = cmdlets.byName.get(name.toLowerCase())
  if (cmdlet === undefined) {
    return { violations: [wrong('unknown-cmdlet', name.slice(0, 60), 'no such cmdlet is published')], warnings: [] }
  }
  if (!cmdlet.isOnline) {
    return { violations: [wrong('on-premises-only', cmdlet.name, 'Exchange Online does not have it')], warnings: [] }
  }
  const violations: Violation[] = []
  const warnings: Violation[] = []
  const used = new Set<string>()
  for (const [as, value] of Object.entries(given)) {
    const key = as.toLowerCase()
    const where = `${cmdlet.name} -${as.slice(0, 60)}`
    const parameter = cmdlet.parameters.get(key)
    if (parameter === undefined) {
      if (!cmdlets.common.has(key))
        violations.push(wrong('unknown-parameter', where, 'the cmdlet has no such parameter'))
      continue
    }
    const canonical = parameter.name.toLowerCase()
    if (used.has(canonical)) violations.push(wrong('unknown-parameter', where, 'it is there twice'))
    used.add(canonical)
    if (!parameter.isOnline) violations.push(wrong('on-premises-only', where, 'Exchange Online does not have it'))
    if (!isOfType(parameter.type, value)) violations.push(wrong('wrong-type', where, `has to be ${parameter.type}`))
    else if (parameter.allowed !== undefined && !isAllowed(parameter.allowed, value)) {
      const finding = wrong('value-not-allowed', where, 'not among the published values')
      ;(parameter.isClosed ? violations : warnings).push(finding)
    }
  }
  // Told only where nothing else is wrong: a parameter that does not exist fits no set.
  if (violations.length === 0 && !cmdlet.sets.some((set) => fits(set, used))) {
    violations.push(wrong('no-parameter-set', cmdlet.name, 'no parameter set takes these parameters together'))
  }
  return { violations, warnings }
}

function fits({ mandatory, all }: ParameterSet, used: ReadonlySet<string>): boolean {
  return mandatory.every((name) => used.has(name)) && used.isSubsetOf(all)
}

/** As InvokeCommand takes them. What is not a plain type is converted by the service from text. */
function isOfType(type: string, value: unknown): boolean {
  switch (type.replace(/^System\./, '')) {
    // Present or absent.
    case 'SwitchParameter':
      return typeof value === 'boolean'
    case 'Boolean':
      return value === null || typeof value === 'boolean'
    case 'Int32':
    case 'Int64':
    case 'UInt32':
      return value === null || Number.isInteger(value)
    case 'String':
      return value === null || typeof value === 'string'
    default:
      return value !== undefined && (/(?:\[\]|Collection|^MultiValuedProperty)$/.test(type) || !Array.isArray(value))
  }
}

/** Lists are allowed when each of their values is; `$true` stands for true. */
function isAllowed(allowed: ReadonlySet<string>, value: unknown): boolean {
  if (Array.isArray(value)) return value.every((each) => isAllowed(allowed, each))
  if (typeof value === 'boolean') return allowed.has(`$${value}`)
  if (typeof value !== 'string') return true
  return value.split(',').every((each) => allowed.has(each.trim().toLowerCase()))
}

function wrong(rule: ViolationRule, where: string, message: string): Violation {
  return { rule, where, message, status: rule === 'unknown-cmdlet' ? 404 : 400 }
}
