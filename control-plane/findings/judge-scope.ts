// Who is in scope of coexistence, and which of their mail the rules do not see. Pure. (coexistence.md §1.4, §1.6, §1.7, §2.1 rows 9b, 9d, §3)
import type { PreflightFinding, Preflight } from './preflight.ts'
import { inScope, owners, peopleOf, senders } from './preflight.ts'

export function judgeScope(preflight: Preflight): PreflightFinding[] {
  const { people } = preflight
  const out: PreflightFinding[] = people
    .filter(({ withoutObject }) => withoutObject > 0)
    .map(({ mailboxIn, presentedBy, withoutObject, accounts }) => ({
      code: 'people-without-presented-object',
      tenant: mailboxIn,
      details: { people: withoutObject, presentedBy, accounts: [...accounts] },
    }))
  const unseen: PreflightFinding[] = people
    .filter(({ withoutMailbox }) => withoutMailbox > 0)
    .map(({ mailboxIn, presentedBy, withoutMailbox }) => ({
      code: 'people-without-mailbox',
      tenant: mailboxIn,
      details: { people: withoutMailbox, presentedBy },
    }))
  const nobody: PreflightFinding[] = people.some((each) => inScope(each) > 0)
    ? []
    : [{ code: 'nobody-in-scope', details: { entries: people.reduce((sum, each) => sum + each.people, 0) } }]
  const gaps = preflight.setting.mode === 'member' ? judgeGaps(preflight) : []
  return [...nobody, ...unseen, ...out, ...gaps, ...judgeDirectSend(preflight)]
}

/** Mail that returned comes to the tenant whose address it bears from another one, not by our connector. (§3, RejectDirectSend) */
function judgeDirectSend(preflight: Preflight): PreflightFinding[] {
  const { setting, view, people } = preflight
  if (setting.route !== 'return') return []
  return owners(preflight)
    .filter(({ id }) => view.byId.get(id)?.facts?.exchange?.rejectDirectSend === true)
    .map(({ id }): PreflightFinding => {
      const presented = people.filter(({ presentedBy }) => presentedBy === id)
      return {
        code: 'direct-send-refused-on-return',
        tenant: id,
        details: { people: presented.reduce((sum, each) => sum + inScope(each), 0) },
      }
    })
}

/** Routing everything that leaves has none of these. */
function judgeGaps(preflight: Preflight): PreflightFinding[] {
  return senders(preflight).flatMap(({ id }): PreflightFinding[] => {
    const inTenant = peopleOf(preflight, id)
    const withAliases = preflight.people
      .filter(({ mailboxIn }) => mailboxIn === id)
      .reduce((sum, each) => sum + each.withAliases, 0)
    const sendsFromAliases = preflight.view.byId.get(id)?.facts?.exchange?.sendFromAliasEnabled === true
    return [
      ...(withAliases > 0 && sendsFromAliases
        ? [{ code: 'alias-senders-unseen' as const, tenant: id, details: { people: withAliases } }]
        : []),
      ...(withAliases > 0
        ? [{ code: 'alias-recipients-unseen' as const, tenant: id, details: { people: withAliases } }]
        : []),
      { code: 'bcc-unseen', tenant: id, details: { people: inTenant } },
      { code: 'membership-lags', tenant: id, details: { people: inTenant } },
    ]
  })
}
