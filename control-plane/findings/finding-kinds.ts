// Every kind of finding by its code. Codes are for ever: reports and scripts go by them. (docs/findings.md is made from this)
import type { FindingKind } from './finding-kind.ts'
import { ACCOUNT_FINDINGS } from './kinds-of-accounts.ts'
import { COEXISTENCE_FINDINGS } from './kinds-of-coexistence.ts'
import { COLLISION_FINDINGS, GROUP_FINDINGS } from './kinds-of-collisions.ts'
import { DOMAIN_FINDINGS, TENANT_FINDINGS } from './kinds-of-tenants.ts'

export const FINDING_KINDS = {
  ...TENANT_FINDINGS,
  ...DOMAIN_FINDINGS,
  ...COEXISTENCE_FINDINGS,
  ...COLLISION_FINDINGS,
  ...GROUP_FINDINGS,
  ...ACCOUNT_FINDINGS,
}

export type FindingCode = keyof typeof FINDING_KINDS
export const FINDING_CODES = Object.keys(FINDING_KINDS) as [FindingCode, ...FindingCode[]]

export const kindOf = (code: FindingCode): FindingKind => FINDING_KINDS[code]
