// Which tenant a message comes from, and how that is proven: the token that its mail flow rule set, or DKIM. The client certificate says
// "Exchange Online" only, which every other customer of it has as well. (SP-4, R5) Pure.
import { fieldValue } from '../../rewrite-rules/index.ts'
import type { Direction, HeaderBlock } from '../../rewrite-rules/index.ts'
import type { ProofTokens, TokenOwner } from '../proof-tokens.ts'
import type { ProofSettings } from '../settings-routes.ts'
import type { Tenants } from '../tenants.ts'
import { REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'

/** Lower case; the field that mail flow rules set. It is taken off before anything is spooled (SP-6). */
export const PROOF_FIELD = 'x-causeway-project'
const CROSS_TENANT_FIELD = 'x-ms-exchange-crosstenant-id'
/** A message has one; each more costs a hash. */
const MOST_PROOF_FIELDS = 8

/** What the received header says of who sent the message. */
export interface HeaderProof {
  /** Of the valid tokens in it; more than one where they contradict each other. */
  readonly owners: readonly TokenOwner[]
  readonly crossTenant: 'absent' | 'ours' | 'foreign'
}

export function readHeaderProof(header: HeaderBlock, tokens: ProofTokens, tenants: Tenants): HeaderProof {
  const owners = new Map<string, TokenOwner>()
  let crossTenant: HeaderProof['crossTenant'] = 'absent'
  let seen = 0
  for (const field of header.fields) {
    if (field.name === PROOF_FIELD && seen++ < MOST_PROOF_FIELDS) {
      const owner = tokens.find(fieldValue(header, field))
      if (owner !== undefined) owners.set(`${owner.direction} ${owner.tenant}`, owner)
    } else if (field.name === CROSS_TENANT_FIELD && crossTenant !== 'foreign') {
      crossTenant = tenants.hasTenantId(fieldValue(header, field)) ? 'ours' : 'foreign'
    }
  }
  return { owners: [...owners.values()], crossTenant }
}

export type ProofVerdict =
  /** `tenant` is undefined where only a signature can tell it, which takes the whole message. */
  | { readonly kind: 'goes-on'; readonly direction: Direction; readonly tenant: string | undefined }
  | { readonly kind: 'refused'; readonly reply: Reply }

const refused = (reply: Reply): ProofVerdict => ({ kind: 'refused', reply })

/** @param listenerDirection  undefined: the token tells it (R5) */
export function judgeHeaderProof(
  { owners, crossTenant }: HeaderProof,
  listenerDirection: Direction | undefined,
  { need, crossTenantId }: ProofSettings,
): ProofVerdict {
  if (crossTenantId === 'demand' && crossTenant === 'foreign') return refused(REPLIES.foreignTenant)
  const [owner, ...others] = owners
  if (others.length > 0) return refused(REPLIES.noProof)
  if (owner === undefined && need !== 'dkim') return refused(REPLIES.noProof)
  // A token is for one direction: on the listener of the other it proves nothing.
  if (owner !== undefined && listenerDirection !== undefined && owner.direction !== listenerDirection) {
    return need === 'dkim'
      ? { kind: 'goes-on', direction: listenerDirection, tenant: undefined }
      : refused(REPLIES.noProof)
  }
  const direction = listenerDirection ?? owner?.direction
  return direction === undefined ? refused(REPLIES.noProof) : { kind: 'goes-on', direction, tenant: owner?.tenant }
}
