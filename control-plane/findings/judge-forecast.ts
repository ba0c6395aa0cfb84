// How many external recipients each tenant will write to in a day by the chosen route, against what Exchange Online allows it. Pure.
// (coexistence.md §1.6, §3: TERRL, onmicrosoft.com)
import { recipientLimit } from './judge-licences.ts'
import { inScope, peopleOf } from './preflight.ts'
import type { Preflight, PreflightFinding, PreflightTenant } from './preflight.ts'

/** External recipients that a mailbox writes to in a day, where nobody says. */
const ASSUMED_A_MAILBOX = 20
const NEAR = 0.8

export function judgeForecast(preflight: Preflight): PreflightFinding[] {
  return [...preflight.tenants.flatMap((tenant) => judgeTenant(preflight, tenant)), ...judgeInitialDomains(preflight)]
}

/**
 * What leaves a tenant counts there once, whether straight or by a connector. With route return it comes back and counts there again; otherwise it
 * counts where it is delivered. Whether mail counts that a rule brings to a relay although its recipient is in the tenant's own domains nobody has
 * verified (coexistence.md §4): `atMost` has it, and is what the limit is held against.
 */
function judgeTenant(preflight: Preflight, tenant: PreflightTenant): PreflightFinding[] {
  const { setting, routed } = preflight
  const own = ownOf(tenant)
  const rerouted = reroutedTo(preflight, tenant)
  const broughtIn = routed?.broughtIn.get(tenant.id) ?? 0
  if (rerouted + broughtIn === 0) return []
  const expected = Math.ceil(own + rerouted)
  const atMost = expected + broughtIn
  // None with Exchange Online, and mailboxes all the same: nobody could see them.
  const limit = tenant.licences === 0 ? undefined : recipientLimit(tenant.licences)
  const details = {
    route: setting.route,
    licences: tenant.licences,
    ...(limit === undefined ? {} : { limit }),
    expected,
    atMost,
    own,
    routed: Math.ceil(rerouted),
    ownFrom: tenant.ownRecipients === undefined ? `assumed: ${ASSUMED_A_MAILBOX} a mailbox` : 'given',
    routedFrom: routed === undefined ? 'people in scope' : 'relays',
  }
  return [{ code: codeOf(atMost, limit), tenant: tenant.id, details }]
}

function codeOf(atMost: number, limit: number | undefined): PreflightFinding['code'] {
  if (limit === undefined) return 'external-recipients-limit-unknown'
  if (atMost > limit) return 'external-recipients-over-limit'
  return atMost > limit * NEAR ? 'external-recipients-near-limit' : 'external-recipients-forecast'
}

/** Where it went by this very route the relays have seen it; otherwise from whose people it comes. */
function reroutedTo(preflight: Preflight, tenant: PreflightTenant): number {
  const { setting, people, routed } = preflight
  if (routed?.route === setting.route) return routed.delivered.get(tenant.id) ?? 0
  if (setting.route === 'return') return reroutedFrom(preflight, tenant)
  return people
    .filter(({ presentedBy }) => presentedBy === tenant.id)
    .reduce((sum, each) => {
      const sender = preflight.tenants.find(({ id }) => id === each.mailboxIn)
      if (sender === undefined) return sum
      // Of a tenant whose people are presented by two others, each delivers its part.
      const share = inScope(each) / Math.max(1, peopleOf(preflight, sender.id))
      return sum + reroutedFrom(preflight, sender) * share
    }, 0)
}

const ownOf = ({ ownRecipients, mailboxes }: PreflightTenant): number => ownRecipients ?? mailboxes * ASSUMED_A_MAILBOX

/** As the relays have seen it, where they have; otherwise the part of the tenant's mail that is in scope. */
function reroutedFrom(preflight: Preflight, tenant: PreflightTenant): number {
  const { setting, routed, tenants } = preflight
  const inTenant = peopleOf(preflight, tenant.id)
  if (inTenant === 0) return 0
  if (routed !== undefined) {
    const delivered = [...routed.delivered.values()].reduce((sum, each) => sum + each, 0)
    const all = tenants.reduce((sum, { id }) => sum + peopleOf(preflight, id), 0)
    return (delivered * inTenant) / all
  }
  if (setting.mode === 'all-outbound') return ownOf(tenant)
  return (ownOf(tenant) * Math.min(inTenant, tenant.mailboxes)) / Math.max(1, tenant.mailboxes)
}

/** Of Exchange Online, in all clouds. */
const INITIAL = /\.(?:onmicrosoft\.(?:com|us|de)|partner\.onmschina\.cn)$/
const MAX_FROM_INITIAL = 100

function judgeInitialDomains({ domains }: Preflight): PreflightFinding[] {
  return domains
    .filter(({ domain }) => INITIAL.test(domain))
    .map(({ domain, owner, people }) => ({
      code: 'presented-onmicrosoft',
      tenant: owner,
      domain,
      details: { people, recipientsADay: MAX_FROM_INITIAL },
    }))
}
