// What became of a probe on its way through a tenant: whose proof it carries, and whether it still says what the relay that made it wrote. Whatever comes
// is the octets of a stranger. Pure. (coexistence.md §2.1 row 12, SP-4, SP-11)
import { fieldValue, Refusal, rewriteMessage, scanHeader } from '../../rewrite-rules/index.ts'
import type { HeaderBlock, Policy } from '../../rewrite-rules/index.ts'
import { parseProbePart, probeMessage, PROBE_PART_FIELD, probeTable } from '../probe-message.ts'
import type { ProbeName } from '../probe-message.ts'
import type { ProofTokens } from '../proof-tokens.ts'
import type { Tenants } from '../tenants.ts'
import { readHeaderProof } from './tenant-proof.ts'

/** A run of probes, as the settings have it. */
export interface ProbeRun {
  readonly nonce: string
  readonly tenant: string
  readonly direction: 'out' | 'in'
  /** A name of the relays. */
  readonly host: string
}

/** What the words mean is said where they are kept: control-plane/coexistence/evidence.ts. */
export type ProbeVerdict = 'expected' | 'no-proof' | 'other-tenant' | 'altered'

export interface ProbeJudgement {
  readonly name: ProbeName
  readonly verdict: ProbeVerdict
}

/**
 * @param content  whole, bounded by its reader
 * @returns undefined for what was made by no relay: a message that somebody wrote by hand
 */
export function judgeProbe(
  content: Buffer,
  run: ProbeRun,
  { tokens, tenants, policy }: { readonly tokens: ProofTokens; readonly tenants: Tenants; readonly policy: Policy },
): ProbeJudgement | undefined {
  const header = headerOf(content)
  if (header === undefined) return undefined
  const part = header.fields.find((field) => field.name === PROBE_PART_FIELD)
  const made = part && parseProbePart(fieldValue(header, part))
  if (made === undefined) return undefined
  const name = { nonce: run.nonce, ...made }
  const { owners } = readHeaderProof(header, tokens, tenants)
  const [owner, ...others] = owners
  if (owner === undefined) return { name, verdict: 'no-proof' }
  if (others.length > 0 || owner.tenant !== run.tenant || owner.direction !== run.direction)
    return { name, verdict: 'other-tenant' }
  return { name, verdict: isAsMade(content, name, run, policy) ? 'expected' : 'altered' }
}

/** Rewritten with the probe's own people, what was made and what came back have to be the same but for the fields that servers add. */
function isAsMade(content: Buffer, name: ProbeName, { host, direction }: ProbeRun, policy: Policy): boolean {
  const options = { direction, table: probeTable(host), policy, smtpUtf8: false }
  const made = rewriteMessage(probeMessage(name, host, direction), options).bytes
  let came: Buffer
  try {
    came = rewriteMessage(content, options).bytes
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return false
  }
  const [wanted, seen] = [headerOf(made), headerOf(came)]
  if (wanted === undefined || seen === undefined) return false
  const names = new Set(wanted.fields.map((field) => field.name))
  const fieldsOf = (header: HeaderBlock) =>
    header.fields.filter((field) => names.has(field.name)).map(({ start, end }) => header.text.slice(start, end))
  const [ours, theirs] = [fieldsOf(wanted), fieldsOf(seen)]
  return (
    ours.length === theirs.length &&
    ours.every((field, index) => field === theirs[index]) &&
    made.subarray(wanted.bytes.length).equals(came.subarray(seen.bytes.length))
  )
}

function headerOf(content: Buffer): HeaderBlock | undefined {
  try {
    return scanHeader(content)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return undefined
  }
}
