// A tenant as far as a plan needs one: calls change its objects as Exchange would, and every step leaves what the ledger keeps. For the tests of plans.
import { createHash } from 'node:crypto'
import type { DesiredInput, TenantInput } from '../../../control-plane/coexistence/desired.ts'
import { parseMark } from '../../../control-plane/coexistence/mark.ts'
import type { LedgerObject } from '../../../control-plane/coexistence/planning.ts'
import type { Call, CallStep, Step } from '../../../control-plane/coexistence/step.ts'
import type { Noun, ObservedObject, Properties, Value } from '../../../control-plane/coexistence/tenant-object.ts'
import type { TenantId } from '../../../control-plane/ids.ts'

export const S = 'tnt_s' as TenantId
export const T = 'tnt_t' as TenantId

export class TenantModel {
  objects: ObservedObject[]
  ledger: LedgerObject[] = []
  #made = 0

  constructor(objects: readonly ObservedObject[]) {
    this.objects = [...objects]
  }

  run(step: Step): void {
    if (step.kind === 'gate') return
    const before = this.objects.find((each) => this.#is(each, step.tenant, step.noun, step.parameters['Identity']))
    this.call(step.tenant, step)
    this.#record(step, before)
  }

  call(tenant: TenantId, { cmdlet, parameters }: Call): void {
    const [verb = '', rest = ''] = cmdlet.split('-')
    const noun = (rest === 'Group' ? 'DistributionGroup' : rest.replace(/Member$/, '')) as Noun
    const { Identity, Name, Priority, Comment, Comments, Notes, Member, Enabled, ...given } = parameters
    const comment = Comment ?? Comments ?? Notes
    const marked = typeof comment === 'string' ? { mark: parseMark(comment).mark } : {}
    const {
      BypassSecurityGroupManagerCheck: _bypass,
      Confirm: _confirm,
      Type: _type,
      LastValidationTimestamp: _at,
      Recipients: _to,
      ...properties
    } = given
    if (verb === 'New') {
      const enabled = noun === 'TransportRule' || Enabled === undefined ? {} : { Enabled }
      const made = {
        tenant,
        noun,
        guid: `guid-${(this.#made += 1)}`,
        name: textOf(Name),
        properties: { ...properties, ...enabled },
        ...marked,
        ...(noun === 'TransportRule' ? { isEnabled: false } : {}),
        ...(noun === 'DistributionGroup' ? { members: [] } : {}),
      } as ObservedObject
      this.#place(made, typeof Priority === 'number' ? Priority : undefined)
      return
    }
    const at = this.objects.findIndex((each) => this.#is(each, tenant, noun, Identity))
    const there = this.objects[at]
    if (there === undefined) return
    const members = there.members ?? []
    let next: ObservedObject = { ...there, ...marked } as ObservedObject
    if (verb === 'Set') {
      const enabled = Enabled === undefined ? {} : { Enabled }
      next = { ...next, properties: { ...there.properties, ...properties, ...enabled } }
    }
    if (verb === 'Enable' || verb === 'Disable') next = { ...next, isEnabled: verb === 'Enable' }
    if (verb === 'Add') next = { ...next, members: [...new Set([...members, textOf(Member)])] }
    if (verb === 'Remove' && Member !== undefined)
      next = { ...next, members: members.filter((each) => each !== Member) }
    this.objects[at] = next
    if (verb === 'Remove' && Member === undefined) this.objects.splice(at, 1)
    if (verb === 'Set' && typeof Priority === 'number') {
      this.objects.splice(at, 1)
      this.#place(next, Priority)
    }
    this.#renumber()
  }

  #place(made: ObservedObject, priority: number | undefined): void {
    const rules = this.objects.filter((each) => each.tenant === made.tenant && each.noun === 'TransportRule')
    const next = priority === undefined ? undefined : rules[priority]
    if (made.noun === 'TransportRule' && next !== undefined) this.objects.splice(this.objects.indexOf(next), 0, made)
    else this.objects.push(made)
    this.#renumber()
  }

  #renumber(): void {
    const seen = new Map<TenantId, number>()
    this.objects = this.objects.map((each) => {
      if (each.noun !== 'TransportRule') return each
      const priority = seen.get(each.tenant) ?? 0
      seen.set(each.tenant, priority + 1)
      return { ...each, priority }
    })
  }

  #is(each: ObservedObject, tenant: TenantId, noun: Noun, identity: Value | undefined): boolean {
    return each.tenant === tenant && each.noun === noun && (each.guid === identity || each.name === identity)
  }

  #record(step: CallStep, before: ObservedObject | undefined): void {
    const old = this.ledger.find(
      (each) => each.tenant === step.tenant && each.noun === step.noun && each.key === step.key,
    )
    const others = this.ledger.filter((each) => each !== old)
    if (step.effect === 'remove') {
      this.ledger = others
      return
    }
    const seen = this.objects.find(
      (each) =>
        each.tenant === step.tenant && each.noun === step.noun && (each.guid === step.guid || each.name === step.name),
    )
    if (seen === undefined) return
    const ownership = old?.ownership ?? (step.effect === 'create' ? 'created' : 'changed')
    const first = ownership === 'changed' ? pick(before?.properties ?? {}, Object.keys(step.writes)) : {}
    this.ledger = [
      ...others,
      {
        tenant: step.tenant,
        noun: step.noun,
        key: step.key,
        name: step.name,
        ownership,
        guid: seen.guid,
        written: { ...old?.written, ...step.writes },
        before: { ...first, ...old?.before },
      },
    ]
  }
}

function textOf(value: Value | undefined): string {
  if (typeof value !== 'string') throw new TypeError('the call names nothing')
  return value
}

function pick(properties: Properties, names: readonly string[]): Properties {
  return Object.fromEntries(names.map((name) => [name, properties[name] ?? null]))
}

const token = (proof: 'out' | 'in', of: string) => ({ proof, sha256: createHash('sha256').update(of).digest('hex') })

export function inputOf(
  observed: readonly ObservedObject[],
  setting: Partial<DesiredInput['setting']> = {},
): DesiredInput {
  const tenant = (id: TenantId, domain: string): TenantInput => ({
    tenant: id,
    domains: [domain, `${domain.split('.')[0]}.onmicrosoft.com`],
    certificateName: `t-${domain.split('.')[0]}.relay.example`,
    proofs: { out: token('out', id), in: token('in', id) },
    partners: ['partner-1'],
    pilots: [],
    observed: observed.filter((each) => each.tenant === id),
    probeNonces: { out: 'nonce-out', in: 'nonce-in' },
  })
  return {
    project8: 'abcd1234',
    setting: {
      state: 'on',
      scope: 'all-mapped',
      mode: 'member',
      hasPartners: true,
      route: 'owner-tenant',
      enhancedFiltering: 'everyone',
      arcSealingDomain: 'relay.example',
      turnsTnefOff: true,
      connectorHoldMs: 0,
      relayHosts: { out: 'out.relay.example', in: 'in.relay.example' },
      ...setting,
    },
    freeBusy: { state: setting.state === 'off' ? 'off' : 'on', accessLevel: 'LimitedDetails' },
    people: [
      { mailboxIn: S, presentedBy: T, mailboxGuid: 'mailbox-1', presentedGuid: 'object-1' },
      { mailboxIn: S, presentedBy: T, mailboxGuid: 'mailbox-2', presentedGuid: undefined },
    ],
    markerWords: ['word-1'],
    tenants: [tenant(S, 'contoso.example'), tenant(T, 'fabrikam.example')],
  }
}

/** What both tenants hold before: rules of their own, the configuration everybody has, a remote domain and a relationship with the other organisation. */
export function firstState(): ObservedObject[] {
  return [S, T].flatMap((tenant): ObservedObject[] => {
    const object = (noun: Noun, guid: string, name: string, properties: Properties) => ({
      tenant,
      noun,
      guid,
      name,
      properties,
    })
    const other = tenant === S ? 'fabrikam.example' : 'contoso.example'
    return [
      object('ArcConfig', `arc-${tenant}`, 'Default', { ArcTrustedSealers: ['seal.example'] }),
      object('RemoteDomain', `default-${tenant}`, 'Default', {
        DomainName: '*',
        TNEFEnabled: null,
        AllowedOOFType: 'External',
      }),
      ...(tenant === S
        ? [
            object('RemoteDomain', 'theirs', 'Partner', {
              DomainName: other,
              TNEFEnabled: true,
              AllowedOOFType: 'None',
            }),
            object('OrganizationRelationship', 'relationship', 'Partner', { DomainNames: [other] }),
          ]
        : []),
      { ...object('TransportRule', `rule-a-${tenant}`, 'A', { Mode: 'Enforce' }), isEnabled: true, priority: 0 },
      { ...object('TransportRule', `rule-b-${tenant}`, 'B', { Mode: 'Enforce' }), isEnabled: true, priority: 1 },
    ]
  })
}
