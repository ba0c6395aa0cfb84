// How much each service of Microsoft 365 takes from us: published numbers as defaults of the setting MICROSOFT_BUDGETS, because Microsoft changes them
// and tests run at one hundredth (microsoft-365.md §3). Pure.

/** One or both; neither: it can only be paused. */
export interface Limit {
  /** Units in any window of so many ms. We keep to a share of them (throttle.ts). */
  readonly units?: { readonly amount: number; readonly windowMs: number }
  /** Requests at the same time. */
  readonly concurrent?: number
}

/** Each with what one process of ours may use of it; `n/s`: units in so many seconds, `n`: at the same time. */
const DEFAULTS = {
  /** The application in all tenants, requests. */
  app: '130000/10',
  /** Directory, resource units of application and tenant: below 50 people, to 500, above. */
  'directory-small': '3500/10',
  'directory-medium': '5000/10',
  'directory-large': '8000/10',
  'directory-writes': '3000/150',
  invitations: '150/5',
  /** Of each report. */
  reports: '14/600',
  /** Of each mailbox: mail, calendar, contacts, import and export. */
  mailbox: '10000/600',
  'mailbox-calls': '4',
  /** OneDrive and SharePoint, resource units, of the smallest tenants. */
  files: '1250/60',
  /** Nothing is published for Exchange's cmdlets: a rule of ours. */
  'exchange-reads': '3',
  'exchange-writes': '1',
} as const
export type BudgetName = keyof typeof DEFAULTS
export type Budgets = Readonly<Record<BudgetName, Limit>>

export const DEFAULT_BUDGETS_TEXT = Object.entries(DEFAULTS)
  .map(([name, value]) => `${name}=${value}`)
  .join(',')

/** @param text  `name=n/s` or `name=n`, `,` between; what it doesn't name keeps its default @param onFault  told each thing that is wrong */
export function parseBudgets(text: string, onFault: (rule: string) => void): Budgets {
  const budgets = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, limitOf(value)]))
  for (const entry of text.split(',').map((part) => part.trim())) {
    if (entry === '') continue
    const [name = '', value = ''] = entry.split('=', 2)
    const limit = limitOf(value)
    if (!isBudgetName(name))
      onFault(`has no budget ${JSON.stringify(name)}: there are ${Object.keys(DEFAULTS).join(', ')}`)
    else if (limit === undefined || isRate(limit) !== DEFAULTS[name].includes('/'))
      onFault(`must have ${name} as ${DEFAULTS[name].includes('/') ? 'units/seconds' : 'a whole number of requests'}`)
    else budgets[name] = limit
  }
  return budgets as Budgets
}

const isBudgetName = (name: string): name is BudgetName => Object.hasOwn(DEFAULTS, name)
const isRate = ({ units }: Limit): boolean => units !== undefined

function limitOf(text: string): Limit | undefined {
  const [, amount, seconds] = /^(\d{1,9}(?:\.\d{1,3})?)(?:\/(\d{1,6}))?$/.exec(text) ?? []
  if (amount === undefined || Number(amount) <= 0) return undefined
  if (seconds === undefined) return Number.isInteger(Number(amount)) ? { concurrent: Number(amount) } : undefined
  return Number(seconds) > 0 ? { units: { amount: Number(amount), windowMs: Number(seconds) * 1_000 } } : undefined
}

/** @param people  of the tenant, as last counted; unknown: as if few */
export function directoryBudget(budgets: Budgets, people: number | undefined): Limit {
  if (people === undefined || people < 50) return budgets['directory-small']
  return people <= 500 ? budgets['directory-medium'] : budgets['directory-large']
}
