// The switch: on, seen to be on, off again, and both tenants as they were. (coexistence.md §1, §2)
import { textOf } from './api-client.ts'
import type { ApiClient, Fields } from './api-client.ts'
import { CAROL, CAST, OLGA, RELAY_HOSTS } from './cast.ts'
import { signInAfresh } from './sign-in.ts'
import { stateDifferences } from './state-differences.ts'
import { StepFailed } from './step.ts'
import type { Running, TourStep } from './step.ts'
import { tenantsOf } from './tour-context.ts'
import type { TourContext } from './tour-context.ts'
import { until } from './wait.ts'

const ON_WITHIN_MS = 120_000
const OFF_WITHIN_MS = 120_000
/** Rules are enabled; that they act shows with the first message of each. */
const PROPAGATING = 'rules-propagate'
const [{ administrator }] = CAST

export const quietStep: TourStep<TourContext> = {
  name: 'quiet',
  title: 'begin with coexistence off, and everybody at home',
  async run(context, step) {
    await context.sandbox.do('add-outside-mailbox', { address: OLGA.mailbox })
    const wasOn = await switchOff(context, step)
    const wasAway = await bringBack(context)
    return `${wasOn ? 'switched off' : 'it is off'}${wasAway ? ', one person moved back' : ''}`
  },
}

/** What coexistence is switched to in the tour: nothing is waited for that a real tenant's mail would take days for. */
const WANTED = { state: 'on', scope: 'pairs', relayHosts: RELAY_HOSTS, connectorHoldMs: 0 } as const

export const planStep: TourStep<TourContext> = {
  name: 'plan',
  title: 'plan: what it would do, and what stands against it',
  async run(context, step) {
    const { api, sandbox, project } = context
    const tenants = Object.values(tenantsOf(context))
    const count = async () =>
      Promise.all(
        tenants.map(
          async ({ tenantId }) => ((await sandbox.do('writes', { tenant: tenantId }))['writes'] as unknown[]).length,
        ),
      )
    const before = await count()
    const { state: _state, ...question } = WANTED
    const { body } = await api.post(`${project}/coexistence/plan`, question)
    step.demandEqual('writes of a dry run', await count(), before)
    for (const name of ['obstacles', 'missing', 'problems']) step.demandEqual(`${name} of the plan`, body[name], [])
    const findings = body['findings'] as readonly PlanFinding[]
    step.demandEqual(
      'what forbids it',
      findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code),
      [],
    )
    const forecasts = findings.filter(({ code }) => code.startsWith('external-recipients-'))
    step.demand('the external recipients of a day are forecast', forecasts.length > 0)
    for (const { tenant, details } of forecasts) {
      const { tenantId = '', label = '' } = tenants.find(({ id }) => id === tenant) ?? {}
      const { limit } = await sandbox.do('mail-externals', { tenant: tenantId })
      step.demandEqual(`the limit of ${label} that the forecast goes by`, details['limit'], limit)
    }
    return `${String(body['stepCount'])} steps, ${findings.length} findings, nothing forbids it`
  },
}

interface PlanFinding {
  readonly severity: string
  readonly code: string
  readonly tenant?: string
  readonly details: Fields
}

export const enableStep: TourStep<TourContext> = {
  name: 'enable',
  title: 'switch coexistence on in both tenants',
  async run(context, step) {
    const { api, sandbox, project } = context
    const tenants = Object.values(tenantsOf(context))
    const first: Record<string, Fields> = {}
    for (const { tenantId } of tenants) first[tenantId] = await sandbox.do('state', { tenant: tenantId })
    context.first = first
    await api.put(`${project}/coexistence`, () => WANTED)
    const reached = await untilState(
      context,
      'coexistence to be on',
      ({ state, waitingFor }) => state === 'on' || waitingFor === PROPAGATING,
      ON_WITHIN_MS,
      step,
    )
    let made = 0
    for (const { label, tenantId } of tenants) {
      const rules = rulesIn(await sandbox.do('state', { tenant: tenantId }))
      step.demand(`rules of ours act in ${label}`, rules.length > 0)
      step.demandEqual(
        `rules of ${label} that don't act`,
        rules.filter(({ isEnabled }) => !isEnabled),
        [],
      )
      made += rules.length
    }
    return `${made} rules act; ${reached['state'] === 'on' ? 'it is on' : 'they show with the first mail'}`
  },
}

function rulesIn(state: Fields): { readonly name: string; readonly isEnabled: boolean }[] {
  const objects = state['exchangeObjects'] as readonly { noun: string; properties: Fields }[]
  return objects
    .filter(({ noun, properties }) => noun === 'TransportRule' && textOf(properties, 'Name').startsWith('Causeway-'))
    .map(({ properties }) => ({ name: String(properties['Name']), isEnabled: properties['State'] === 'Enabled' }))
}

export const onStep: TourStep<TourContext> = {
  name: 'on',
  title: 'it is on: a message of each direction was seen',
  async run(context, step) {
    const { problems, drift } = await untilState(
      context,
      'it to be on',
      ({ state }) => state === 'on',
      ON_WITHIN_MS,
      step,
    )
    step.demandEqual('problems', problems, [])
    step.demandEqual('drift', drift, [])
    return 'no problem, no drift'
  },
}

export const disableStep: TourStep<TourContext> = {
  name: 'disable',
  title: 'switch it off, signed in afresh',
  isTidying: true,
  async run(context, step) {
    const wasOn = await switchOff(context, step)
    if (!wasOn) return 'it was off'
    const { body } = await context.api.get(`${context.project}/coexistence`)
    const proof = (body['proof'] ?? {}) as Fields
    step.demandEqual('what is left of ours', proof['ours'], [])
    step.demandEqual('the proof says that all was restored', proof['isRestored'], true)
    return 'the product proves that both tenants are as they were'
  },
}

export const compareStep: TourStep<TourContext> = {
  name: 'compare',
  title: 'compare both tenants with how they were',
  isTidying: true,
  async run(context, step) {
    const { sandbox, first } = context
    await bringBack(context)
    if (first === undefined) return 'it was never switched on'
    let objects = 0
    for (const [tenantId, before] of Object.entries(first)) {
      const after = await sandbox.do('state', { tenant: tenantId })
      step.demandEqual(`differences of ${String(before['displayName'])}`, stateDifferences(before, after), [])
      objects += ['objects', 'recipients', 'exchangeObjects'].flatMap((list) => before[list] as unknown[]).length
    }
    return `${objects} objects, no difference`
  },
}

export const contractStep: TourStep<TourContext> = {
  name: 'contract',
  title: 'nothing was asked of Microsoft that is not published',
  async run({ sandbox }, step) {
    const { uses, violations } = (await sandbox.do('report')) as {
      uses: readonly unknown[]
      violations: readonly Fields[]
    }
    step.demandEqual('violations of the published contracts', violations, [])
    return `${uses.length} operations and cmdlets were used`
  },
}

/** @returns whether there was anything to do */
async function switchOff(context: TourContext, step: Running): Promise<boolean> {
  const { api, project } = context
  const { body } = await api.get(`${project}/coexistence`)
  if (body['state'] === 'off') return false
  const afresh: ApiClient = await signInAfresh(api, administrator)
  await afresh.put(`${project}/coexistence`, () => ({ state: 'off', connectorHoldMs: 0 }))
  await untilState(context, 'it to be off', ({ state }) => state === 'off', OFF_WITHIN_MS, step)
  return true
}

/** @returns whether somebody was away */
async function bringBack({ api, sandbox, project }: TourContext): Promise<boolean> {
  const pair = await pairOf(api, project)
  if (pair !== undefined && pair['holds'] !== 'source')
    await api.patch(`${project}/pairs/${String(pair['id'])}`, () => ({ holds: 'source' }))
  const state = await sandbox.do('state', { tenant: CAST[0].tenantId })
  const recipients = state['recipients'] as readonly { recipientTypeDetails: string; properties: Fields }[]
  const carol = recipients.find(({ properties }) =>
    JSON.stringify(properties['EmailAddresses']).includes(`SMTP:${CAROL.mailbox}`),
  )
  if (carol?.recipientTypeDetails !== 'MailUser') return false
  await sandbox.do('move-person-back', { tenant: CAST[0].tenantId, person: CAROL.mailbox }).catch((cause: unknown) => {
    throw new StepFailed(
      `${CAROL.name} can not be moved back: where she moved in an earlier life of the sandbox, remove its data and start again`,
      { cause },
    )
  })
  return true
}

/** Of who moves; undefined: nobody is matched yet. */
export async function pairOf(api: ApiClient, project: string): Promise<Fields | undefined> {
  const pairs = await api.list(`${project}/pairs?state=confirmed&limit=200`)
  return pairs.find(({ source }) => (source as Fields)['address'] === CAROL.mailbox)
}

/** @throws StepFailed at once when it went the other way */
async function untilState(
  { api, project }: TourContext,
  what: string,
  isReached: (switched: Fields) => boolean,
  withinMs: number,
  step: Running,
): Promise<Fields> {
  let last: Fields = {}
  const words = (): string => {
    const said = ['state', 'step', 'waitingFor'].map((name) => textOf(last, name)).filter((each) => each !== '')
    const problems = Array.isArray(last['problems']) ? last['problems'] : []
    return `${said.join(', ')}${problems.length === 0 ? '' : `: ${JSON.stringify(problems)}`}`
  }
  const wanted = (await api.get(`${project}/coexistence`)).body['setting'] as Fields
  return until(
    what,
    async () => {
      last = (await api.get(`${project}/coexistence`)).body
      step.progress(words())
      if (isReached(last)) return last
      if (wanted['state'] === 'on' && last['state'] === 'off') throw new StepFailed(`it was refused: ${words()}`)
      return undefined
    },
    { withinMs, found: words },
  )
}
