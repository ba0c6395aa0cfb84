// What people of both tenants and outsiders write to each other while coexistence goes on and off, and in which forms each copy may arrive: as it was
// written, or rewritten by a whole table, header and envelope alike. Pure. (coexistence.md §1, rewriting.md §2, §3)
import { ADELE, ALICE, CAROL, CAST, HUGO, NOBODY, OLGA } from '../../cli/tour/cast.ts'
import { inward, outward } from '../../cli/tour/rewritten.ts'
import type { Rewriting } from '../../cli/tour/rewritten.ts'
import type { Who } from '../../sandbox/people/correspondent.ts'

/** One way in which a copy may end. */
export interface Form {
  /** Address of the mailbox. */
  readonly place: string
  /** What became of the message on the way, in this order; empty: nothing. */
  readonly rewritings: readonly Rewriting[]
  readonly reversePath: string
  /** It comes back to the tenant that it left, whose own rules write under it once more (coexistence.md §1.9, §2.1 row 9). */
  readonly isReturned?: boolean
}

export interface TrafficKind {
  readonly name: string
  readonly from: Who
  readonly to: readonly string[]
  readonly cc?: readonly string[]
  /** Of each copy that has to arrive: one of these. */
  readonly copies: readonly (readonly Form[])[]
  /** Who is told, once, that it can't be delivered: in one of these mailboxes. */
  readonly reportTo?: readonly string[]
}

const [CONTOSO, FABRIKAM] = CAST
const MAPPED = [ALICE, CAROL]
const OUT = outward(MAPPED)
const IN = inward(MAPPED)
/** By the table after the move. */
const IN_MOVED = inward([ALICE, { mailbox: CAROL.presented, presented: CAROL.mailbox }])

const inContoso = ({ mailbox: person }: { readonly mailbox: string }): Who => ({ tenantId: CONTOSO.tenantId, person })
const inFabrikam = ({ mailbox: person }: { readonly mailbox: string }): Who => ({ tenantId: FABRIKAM.tenantId, person })
const OUTSIDER: Who = { outside: `${OLGA.name} <${OLGA.mailbox}>` }

const form = (place: string, reversePath: string, ...rewritings: readonly Rewriting[]): Form => ({
  place,
  rewritings,
  reversePath,
})
const untouched = (at: { readonly mailbox: string }, reversePath: string): readonly Form[] => [
  form(at.mailbox, reversePath),
]
/** By somebody of the table: under either of his addresses. */
const byAlice = (at: { readonly mailbox: string }): readonly Form[] => [
  form(at.mailbox, ALICE.mailbox),
  form(at.mailbox, ALICE.presented, OUT),
]
/** To a presented address, which has a mailbox of its own in the other tenant: there, or rewritten in hers. */
const toPresented = ({ mailbox, presented }: typeof ALICE | typeof CAROL, reversePath: string): readonly Form[] => [
  form(presented, reversePath),
  form(mailbox, reversePath, IN),
]
/** Carol moves: what the relay still took for the old mailbox is forwarded to the new one. */
const toCarol = (reversePath: string): readonly Form[] => [
  form(CAROL.presented, reversePath),
  form(CAROL.mailbox, reversePath, IN),
  form(CAROL.presented, reversePath, IN),
]
/** From one of the table to another: `out` presents everybody in the header, and goes to where the mailbox is (R8, R31). */
const byAliceToCarol: readonly Form[] = [
  ...toCarol(ALICE.mailbox),
  form(CAROL.mailbox, ALICE.presented, OUT),
  form(CAROL.presented, ALICE.presented, OUT),
  // Her mailbox has moved and the table not yet: the tenant that delivers sends it to the old one, that one on to the new one, and a rule once more here.
  form(CAROL.presented, ALICE.presented, OUT, IN),
  form(CAROL.mailbox, ALICE.presented, OUT, IN),
]

export const TRAFFIC: readonly TrafficKind[] = [
  { name: 'mapped to outside', from: inContoso(ALICE), to: [OLGA.mailbox], copies: [byAlice(OLGA)] },
  { name: 'outside to presented', from: OUTSIDER, to: [ALICE.presented], copies: [toPresented(ALICE, OLGA.mailbox)] },
  { name: 'mapped to the other tenant', from: inContoso(ALICE), to: [HUGO.mailbox], copies: [byAlice(HUGO)] },
  {
    name: 'mapped to everybody, with somebody mapped in copy',
    from: inContoso(ALICE),
    to: [OLGA.mailbox],
    cc: [ADELE.mailbox, HUGO.mailbox, CAROL.mailbox],
    copies: [byAlice(OLGA), untouched(ADELE, ALICE.mailbox), byAlice(HUGO), carolAsColleague()],
  },
  { name: 'unmapped to outside', from: inContoso(ADELE), to: [OLGA.mailbox], copies: [untouched(OLGA, ADELE.mailbox)] },
  {
    name: 'other tenant to presented',
    from: inFabrikam(HUGO),
    to: [ALICE.presented],
    copies: [toPresented(ALICE, HUGO.mailbox)],
  },
  {
    name: 'outside to somebody who moves, and to somebody unmapped',
    from: OUTSIDER,
    to: [CAROL.presented],
    cc: [HUGO.mailbox],
    copies: [toCarol(OLGA.mailbox), untouched(HUGO, OLGA.mailbox)],
  },
  {
    name: 'unmapped to outside, with somebody mapped in copy',
    from: inContoso(ADELE),
    to: [OLGA.mailbox],
    cc: [ALICE.mailbox],
    copies: [
      [form(OLGA.mailbox, ADELE.mailbox), { ...form(OLGA.mailbox, ADELE.mailbox, OUT), isReturned: true }],
      untouched(ALICE, ADELE.mailbox),
    ],
  },
  {
    name: 'unmapped to unmapped',
    from: inContoso(ADELE),
    to: [HUGO.mailbox],
    copies: [untouched(HUGO, ADELE.mailbox)],
  },
  {
    name: 'colleague to presented',
    from: inContoso(ADELE),
    to: [ALICE.presented],
    copies: [toPresented(ALICE, ADELE.mailbox)],
  },
  {
    name: 'other tenant to outside',
    from: inFabrikam(HUGO),
    to: [OLGA.mailbox],
    copies: [untouched(OLGA, HUGO.mailbox)],
  },
  { name: 'outside to a mailbox', from: OUTSIDER, to: [ALICE.mailbox], copies: [untouched(ALICE, OLGA.mailbox)] },
  {
    name: 'mapped to presented',
    from: inContoso(ALICE),
    to: [CAROL.presented],
    copies: [byAliceToCarol],
  },
  {
    name: 'mapped to nobody',
    from: inContoso(ALICE),
    to: [NOBODY],
    copies: [],
    reportTo: [ALICE.mailbox, ALICE.presented],
  },
]

/** Once she has moved she is a colleague no more, and the message goes on to where she is. */
function carolAsColleague(): readonly Form[] {
  return [form(CAROL.mailbox, ALICE.mailbox), form(CAROL.presented, ALICE.mailbox, IN_MOVED), ...byAliceToCarol]
}
