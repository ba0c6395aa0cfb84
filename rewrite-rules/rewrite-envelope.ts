// Rewrites an envelope (rewriting.md §2): reverse-path, forward-paths and the parameters that follow from them.
import { Buffer } from 'node:buffer'
import { formatAddrSpec, normaliseDomain, normaliseLocalPart, parseAddrSpec, stripSourceRoute } from './addr-spec.ts'
import { ReportRecorder } from './change-report.ts'
import type { Change, Direction, ReportCode } from './change-report.ts'
import type { Envelope, EsmtpParameters, ForwardPath } from './envelope.ts'
import type { AddressMap, MapFunction } from './lookup.ts'
import type { MappingTable } from './mapping-table.ts'
import type { Policy } from './policy.ts'
import { Refusal } from './refusal.ts'
import { formatOrcpt, mergeNotify } from './smtp-parameters.ts'

/** RFC 5321 §4.5.3.1.3: 256 octets with the brackets. */
const MAX_PATH_OCTETS = 254

export interface EnvelopeOptions {
  readonly direction: Direction
  readonly table: MappingTable
  readonly policy: Policy
  /** The message is signed and policy `signed: bypass` is on: nothing but RCPT changes (E97). */
  readonly bypassSigned?: boolean
}

export interface RewrittenEnvelope {
  readonly envelope: Envelope
  /** For each of its forward-paths the indices of the received ones that became it (R13), in ascending order. */
  readonly received: readonly (readonly number[])[]
  readonly changes: readonly Change[]
  readonly codes: readonly ReportCode[]
}

/**
 * @throws Refusal 553 5.1.3 where a rule or a carried extension makes a forward-path longer than SMTP allows (§12), 553 5.1.7 where it is
 *   the reverse-path
 */
export function rewriteEnvelope(envelope: Envelope, options: EnvelopeOptions): RewrittenEnvelope {
  const recorder = new ReportRecorder()
  const rewriting: Rewriting = {
    map: options.table.withPolicy(options.policy),
    smtpUtf8: envelope.parameters['SMTPUTF8'] !== undefined,
    recorder,
  }
  const { forwardPaths, received } = rewriteForwardPaths(envelope.forwardPaths, rewriting)
  const rewritten: Envelope = {
    reversePath: rewriteReversePath(envelope.reversePath, options, rewriting),
    // SIZE is the relay's to declare, which knows what it sends (R11); AUTH is never sent on.
    parameters: without(envelope.parameters, ['SIZE', 'AUTH']),
    forwardPaths,
  }
  return { envelope: rewritten, received, changes: recorder.changes, codes: recorder.codes }
}

interface Rewriting {
  readonly map: AddressMap
  readonly smtpUtf8: boolean
  readonly recorder: ReportRecorder
}

function rewriteReversePath(received: string, options: EnvelopeOptions, rewriting: Rewriting): string {
  const path = stripSourceRoute(received)
  if (options.direction === 'in' || options.bypassSigned === true) return path
  const mapped = mapPath('present', path, 'envelope:reverse-path', rewriting)
  if (mapped !== undefined && Buffer.byteLength(mapped) > MAX_PATH_OCTETS) {
    throw new Refusal(553, '5.1.7', 'Sender address too long after rewriting')
  }
  return mapped ?? path
}

function rewriteForwardPaths(
  paths: readonly ForwardPath[],
  rewriting: Rewriting,
): { forwardPaths: ForwardPath[]; received: number[][] } {
  const forwardPaths: ForwardPath[] = []
  const received: number[][] = []
  const places = new Map<string, number>()
  for (const [i, given] of paths.entries()) {
    const rewritten = rewriteForwardPath(given, i + 1, rewriting)
    const key = comparable(rewritten.path)
    const place = places.get(key) ?? forwardPaths.length
    places.set(key, place)
    const first = forwardPaths[place]
    const indices = received[place] ?? []
    if (first === undefined) {
      forwardPaths.push(rewritten)
      received.push([i])
      continue
    }
    rewriting.recorder.code('collapsed')
    indices.push(i)
    forwardPaths[place] = { path: first.path, parameters: withNotifyOf(first.parameters, rewritten.parameters) }
  }
  return { forwardPaths, received }
}

function rewriteForwardPath({ path, parameters }: ForwardPath, number: number, rewriting: Rewriting): ForwardPath {
  const received = stripSourceRoute(path)
  const mapped = mapPath('locate', received, `envelope:forward-path:${number}`, rewriting)
  if (mapped === undefined) return { path: received, parameters }
  if (Buffer.byteLength(mapped) > MAX_PATH_OCTETS) {
    throw new Refusal(553, '5.1.3', 'Recipient address too long after rewriting')
  }
  // A received ORCPT stays, so that the sender's DSN still names the address he used (R9).
  const orcpt = parameters['ORCPT'] ?? formatOrcpt(received)
  return { path: mapped, parameters: orcpt === undefined ? parameters : { ...parameters, ORCPT: orcpt } }
}

/** @returns undefined where the path stays as it is */
function mapPath(
  fn: MapFunction,
  path: string,
  where: string,
  { map, smtpUtf8, recorder }: Rewriting,
): string | undefined {
  const spec = parseAddrSpec(path)
  if (spec === undefined) return undefined
  const mapped = map.map(fn, spec.local, spec.domain, smtpUtf8)
  if (mapped.kind === 'kept') {
    if (mapped.code !== undefined) recorder.code(mapped.code)
    return undefined
  }
  const replacement = formatAddrSpec(mapped.local, mapped.domain)
  recorder.change(where, path, replacement, mapped.rule)
  return replacement
}

/** Form in which recipients are compared (R13, R20). */
function comparable(path: string): string {
  const at = path.lastIndexOf('@')
  if (at < 0) return path.toLowerCase()
  const domain = path.slice(at + 1)
  return formatAddrSpec(normaliseLocalPart(path.slice(0, at)), normaliseDomain(domain) ?? domain.toLowerCase())
}

function withNotifyOf(first: EsmtpParameters, other: EsmtpParameters): EsmtpParameters {
  const notify = mergeNotify(first['NOTIFY'], other['NOTIFY'])
  return notify === undefined ? without(first, ['NOTIFY']) : { ...first, NOTIFY: notify }
}

function without(parameters: EsmtpParameters, keywords: readonly string[]): EsmtpParameters {
  return Object.fromEntries(Object.entries(parameters).filter(([keyword]) => !keywords.includes(keyword)))
}
