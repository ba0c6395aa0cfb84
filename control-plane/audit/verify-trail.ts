// Verifies an exported audit trail in constant memory, and names the first place where it doesn't hold: change, deletion, reorder, truncation, fork
// (AU-3). Believes only what the keys sign, and of the keys only the first, whose id is part of the origin: compare it with what you know.
//
// What it can't find: events behind the last checkpoint that were all removed or all made up by whoever can write the database. `provenTo` says
// how far the signatures reach; a checkpoint from elsewhere (`known`) says how long the trail must be at least.
import { hash } from 'node:crypto'
import { AUDIT_FORMAT, EMPTY_HEAD, eventHash } from './audit.ts'
import { auditKeyFault } from './audit-key.ts'
import type { AuditKey } from './audit-key.ts'
import { noteFault, parseNote, parseOrigin } from './checkpoint.ts'
import type { SignedCheckpoint } from './checkpoint.ts'
import { parseRecord, toAuditKey } from './trail.ts'
import type { TrailCheckpoint, TrailEnd, TrailEvent, TrailHead, TrailKey, TrailRecord } from './trail.ts'
import type { Line } from './trail-lines.ts'

export type TrailFaultCode =
  /** A line that no export writes. */
  | 'malformed'
  /** A line that doesn't belong where it is. */
  | 'misplaced'
  | 'cut-off'
  | 'head'
  | 'key'
  /** Another installation's, or another chain's. */
  | 'foreign'
  /** Events are not there, or in another order. */
  | 'missing'
  | 'changed'
  | 'checkpoint'
  /** A history that was signed is another one. */
  | 'fork'
  /** Shorter than a checkpoint says. */
  | 'truncated'

export interface TrailFault {
  readonly code: TrailFaultCode
  /** In words; quotes nothing of the trail but numbers and ids. */
  readonly detail: string
  /** From 1. */
  readonly line: number
  /** The first event that is not there, not the one that was written, or not proven to be. */
  readonly event?: number
  /** The last such event, where the first can't be told more exactly. */
  readonly until?: number
  /** Size of the checkpoint that is at fault. */
  readonly checkpoint?: number
}

export interface TrailReport {
  readonly holds: boolean
  readonly origin: string
  readonly chain: string
  /** Id of the installation's first key: everything rests on it. */
  readonly firstKey: string
  readonly from: number
  /** Sequence of the last event that was read and holds; `from` - 1 when none. */
  readonly size: number
  readonly events: number
  /** Events whose payload was cleared (AU-4). */
  readonly redacted: number
  readonly checkpoints: number
  /** Checkpoints from elsewhere that agree. */
  readonly compared: number
  /** Sequence up to which a signature says that these are the events; `from` - 1 when none does. */
  readonly provenTo: number
  /** Time of the checkpoint that says so. */
  readonly provenAt?: string
  readonly fault?: TrailFault
}

export interface VerifyOptions {
  /** Id of the installation's first key, from elsewhere. */
  readonly firstKey?: string | undefined
  /** Notes from elsewhere: write-once storage, an earlier export. */
  readonly known?: readonly string[] | undefined
}

type FaultPlace = Pick<TrailFault, 'event' | 'until' | 'checkpoint'>

export class TrailVerifier {
  readonly #options: VerifyOptions
  readonly #known = new Map<number, SignedCheckpoint>()
  #longestKnown = 0
  readonly #keys: AuditKey[] = []
  #phase: 'head' | 'keys' | 'body' | 'ended' = 'head'
  #line = 0
  #head: TrailHead | undefined
  #chain = ''
  #firstKey = ''
  #size = 0
  #hash: Buffer = EMPTY_HEAD
  #events = 0
  #redacted = 0
  #checkpoints = 0
  #compared = 0
  #last: { readonly size: number; readonly keyOrdinal: number } | undefined
  #provenTo = 0
  #provenAt: string | undefined
  #fault: TrailFault | undefined

  constructor(options: VerifyOptions = {}) {
    this.#options = options
  }

  get events(): number {
    return this.#events
  }

  /** @returns false once there is a fault: the rest tells nothing more */
  takeLine({ bytes, isWhole }: Line): boolean {
    const record = isWhole ? parseRecord(bytes) : undefined
    if (record !== undefined) return this.takeRecord(record)
    this.#line++
    if (isWhole) this.#failHere('malformed', 'the line is not one that an export writes')
    else this.#failHere('cut-off', 'the file ends inside a line')
    return false
  }

  /** @returns as `takeLine` */
  takeRecord(record: TrailRecord): boolean {
    this.#line++
    if (this.#fault !== undefined) return false
    if (this.#phase === 'head' && record.kind === 'trail') this.#takeHead(record)
    else if (this.#phase === 'keys' && record.kind === 'key') this.#takeKey(record)
    else if (this.#phase === 'body' && record.kind === 'event') this.#takeEvent(record)
    else if (this.#phase === 'body' && record.kind === 'checkpoint') this.#takeCheckpoint(record)
    else if (this.#phase === 'body' && record.kind === 'end') this.#takeEnd(record)
    else {
      const due = { head: 'the head', keys: 'a key', body: 'an event', ended: 'nothing' }[this.#phase]
      this.#failHere('misplaced', `here is ${withArticle(record.kind)} where ${due} was due`)
    }
    return this.#fault === undefined
  }

  /** To be called after the last line. */
  report(): TrailReport {
    if (this.#fault === undefined && this.#phase !== 'ended') {
      this.#line++
      this.#failHere('cut-off', 'the trail has no end')
    }
    return {
      holds: this.#fault === undefined,
      origin: this.#head?.origin ?? '',
      chain: this.#chain,
      firstKey: this.#firstKey,
      from: this.#head?.from ?? 0,
      size: this.#size,
      events: this.#events,
      redacted: this.#redacted,
      checkpoints: this.#checkpoints,
      compared: this.#compared,
      provenTo: this.#provenTo,
      ...(this.#provenAt === undefined ? {} : { provenAt: this.#provenAt }),
      ...(this.#fault === undefined ? {} : { fault: this.#fault }),
    }
  }

  #takeHead(head: TrailHead): void {
    const origin = parseOrigin(head.origin)
    if (origin === undefined) return this.fail('head', 'the origin is not one of an audit trail')
    if (head.from === 1 && head.previous !== EMPTY_HEAD.toString('hex'))
      return this.fail('head', 'a hash before the first event')
    if (head.keys === 0) return this.fail('head', 'a trail without keys')
    const { firstKey } = this.#options
    if (firstKey !== undefined && firstKey !== origin.firstKey)
      return this.fail('foreign', `the trail is of the installation with key ${origin.firstKey}, not ${firstKey}`)
    this.#head = head
    this.#chain = origin.chain
    this.#firstKey = origin.firstKey
    this.#size = head.from - 1
    this.#provenTo = head.from - 1
    this.#hash = Buffer.from(head.previous, 'hex')
    this.#phase = 'keys'
    return undefined
  }

  #takeKey(record: TrailKey): void {
    const key = toAuditKey(record)
    const fault = auditKeyFault(key, this.#keys.at(-1))
    if (fault !== undefined) return this.fail('key', `key ${this.#keys.length + 1} ${fault}`)
    if (this.#keys.length === 0 && key.id !== this.#firstKey)
      return this.fail('key', 'the first key is not the one that the origin names')
    this.#keys.push(key)
    if (this.#keys.length !== this.#head?.keys) return undefined
    this.#phase = 'body'
    return this.#takeKnown(this.#options.known ?? [])
  }

  /** Checkpoints from elsewhere must be of this trail and signed by its keys. */
  #takeKnown(notes: readonly string[]): void {
    for (const text of notes) {
      const note = parseNote(text)
      if (note === undefined) return this.fail('checkpoint', 'a given checkpoint is not one')
      const place = { checkpoint: note.size }
      if (note.origin !== this.#head?.origin)
        return this.fail(
          'foreign',
          `the given checkpoint is of ${note.origin}, the trail of ${this.#head?.origin}`,
          place,
        )
      const fault = this.#noteFault(text, note)
      if (fault !== undefined)
        return this.fail('checkpoint', `the given checkpoint of size ${note.size} ${fault}`, place)
      const same = this.#known.get(note.size)
      if (same !== undefined && !same.hash.equals(note.hash))
        return this.fail('fork', `two given checkpoints of size ${note.size} say two things`, {
          event: note.size,
          ...place,
        })
      this.#known.set(note.size, note)
      this.#longestKnown = Math.max(this.#longestKnown, note.size)
    }
    return this.#compareKnown()
  }

  #takeEvent({ header: text, payload, hash: written }: TrailEvent): void {
    const due = this.#size + 1
    const header = parseHeader(text)
    if (header === undefined) return this.fail('changed', `event ${due} has no header that can be read`, { event: due })
    if (header.format !== AUDIT_FORMAT || header.chain !== this.#chain)
      return this.fail('foreign', `in the place of event ${due} stands one of another chain`, { event: due })
    if (header.sequence > due) {
      const until = header.sequence - 1
      const missing = until === due ? `event ${due} is` : `events ${due} to ${until} are`
      return this.fail('missing', `${missing} not where they belong: event ${header.sequence} follows`, {
        event: due,
        until,
      })
    }
    if (header.sequence < due)
      return this.fail('missing', `event ${header.sequence} stands in the place of event ${due}`, { event: due })
    const head = eventHash(this.#hash, text)
    if (head.toString('hex') !== written)
      return this.fail('changed', `event ${due}, or its hash, is not what was written`, { event: due })
    if (payload === null) this.#redacted++
    else if (hash('sha256', payload, 'hex') !== header.payload)
      return this.fail('changed', `the payload of event ${due} is not what was written`, { event: due })
    this.#size = due
    this.#hash = head
    this.#events++
    return this.#compareKnown()
  }

  #takeCheckpoint({ note: text }: TrailCheckpoint): void {
    const note = parseNote(text)
    const at = { checkpoint: this.#size }
    if (note === undefined) return this.fail('checkpoint', `the checkpoint after event ${this.#size} is not one`, at)
    if (note.origin !== this.#head?.origin)
      return this.fail('foreign', `the checkpoint after event ${this.#size} is of another trail`, at)
    const fault = this.#noteFault(text, note)
    if (fault !== undefined) return this.fail('checkpoint', `the checkpoint after event ${this.#size} ${fault}`, at)
    // It was signed by the installation, so whatever doesn't fit to it is not what was signed.
    if (note.size > this.#size)
      return this.fail('missing', `a checkpoint of ${note.size} events follows event ${this.#size}`, {
        event: this.#size + 1,
        until: note.size,
        checkpoint: note.size,
      })
    if (note.size < this.#size)
      return this.fail('misplaced', `a checkpoint of ${note.size} events stands after event ${this.#size}`, at)
    if (!note.hash.equals(this.#hash)) return this.#failFork(note)
    if (this.#size === this.#last?.size)
      return this.fail('misplaced', `a second checkpoint stands after event ${this.#size}`, at)
    const ordinal = this.#ordinalOf(note)
    if (this.#last === undefined ? note.previous >= (this.#head?.from ?? 1) : note.previous !== this.#last.size)
      return this.fail('missing', `the checkpoint of ${note.previous} events is not there`, {
        checkpoint: note.previous,
      })
    if (ordinal < (this.#last?.keyOrdinal ?? 0))
      return this.fail(
        'checkpoint',
        `the checkpoint after event ${this.#size} is signed by a key that was retired before`,
        at,
      )
    this.#last = { size: note.size, keyOrdinal: ordinal }
    this.#checkpoints++
    this.#prove(note)
    return undefined
  }

  #takeEnd({ size, checkpoint }: TrailEnd): void {
    if (size !== this.#size)
      return this.fail('truncated', `the trail says that it ends with event ${size}, and ends with ${this.#size}`, {
        event: Math.min(size, this.#size) + 1,
      })
    if (checkpoint !== (this.#last?.size ?? 0))
      return this.fail('missing', `the checkpoint of ${checkpoint} events is not there`, { checkpoint })
    const longest = this.#longestKnown
    if (longest > size)
      return this.fail('truncated', `a given checkpoint says that there are ${longest} events at least`, {
        event: size + 1,
        until: longest,
        checkpoint: longest,
      })
    this.#phase = 'ended'
    return undefined
  }

  #noteFault(text: string, note: SignedCheckpoint): string | undefined {
    const key = this.#keys[this.#ordinalOf(note) - 1]
    return key === undefined ? 'is signed by a key that the trail does not have' : noteFault(text, note, key)
  }

  #ordinalOf({ keyId }: SignedCheckpoint): number {
    return this.#keys.find(({ id }) => id === keyId)?.ordinal ?? 0
  }

  #compareKnown(): void {
    const known = this.#known.get(this.#size)
    if (known === undefined) return undefined
    if (!known.hash.equals(this.#hash)) return this.#failFork(known)
    this.#compared++
    this.#prove(known)
    return undefined
  }

  #prove({ size, time }: SignedCheckpoint): void {
    this.#provenTo = size
    this.#provenAt = time
  }

  #failFork({ size, time }: SignedCheckpoint): void {
    // Each event fits to the one before: somebody wrote the chain anew from some event on.
    const event = Math.min(this.#provenTo + 1, size)
    const which = event === size ? `event ${size} is` : `events ${event} to ${size} are`
    this.fail('fork', `${which} not what was signed at ${time}`, { event, until: size, checkpoint: size })
  }

  /** Of a line that can't be told to be of any event. */
  #failHere(code: TrailFaultCode, detail: string): void {
    if (this.#phase === 'body') this.fail(code, `after event ${this.#size}: ${detail}`, { event: this.#size + 1 })
    else this.fail(code, detail)
  }

  /** A fault that whoever reads the records has found; the first one counts. */
  fail(code: TrailFaultCode, detail: string, place: FaultPlace = {}): void {
    this.#fault ??= { code, detail, line: this.#line, ...place }
  }
}

/** @param onProgress  told of the number of events after every 64 Ki octets or so */
export async function verifyTrail(
  lines: AsyncIterable<Line>,
  options: VerifyOptions = {},
  onProgress: (events: number) => void = () => {},
): Promise<TrailReport> {
  const verifier = new TrailVerifier(options)
  for await (const line of lines) {
    if (!verifier.takeLine(line)) break
    if (verifier.events % 1024 === 0) onProgress(verifier.events)
  }
  return verifier.report()
}

interface HeaderPlace {
  readonly format: unknown
  readonly chain: unknown
  readonly sequence: number
  readonly payload: unknown
}

function parseHeader(text: string): HeaderPlace | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('sequence' in value)) return undefined
    const { format, chain, sequence, payload } = value as Partial<Record<string, unknown>>
    return Number.isSafeInteger(sequence) ? { format, chain, sequence: sequence as number, payload } : undefined
  } catch {
    return undefined
  }
}

const withArticle = (kind: TrailRecord['kind']): string =>
  ({ trail: 'a head', key: 'a key', event: 'an event', checkpoint: 'a checkpoint', end: 'the end' })[kind]
