// A worker's events for the control plane, handed to the primary in batches: a message for each line would cost more than the line. What is not handed over
// when a worker dies is lost, as the tail of the buffer would be. (RC-7)

export interface ToldEventsDeps {
  readonly tell: (messages: readonly string[], audit: readonly string[]) => void
  /** Calls `run` once after `delayMs`. */
  readonly timer: (run: () => void, delayMs: number) => void
}

const TELL_MS = 200
const MAX_LINES = 1_000

export class ToldEvents {
  readonly #deps: ToldEventsDeps
  #messages: string[] = []
  #audit: string[] = []
  #isTimed = false

  constructor(deps: ToldEventsDeps) {
    this.#deps = deps
  }

  message(line: string): void {
    this.#messages.push(line)
    this.#tellSoon()
  }

  audit(line: string): void {
    this.#audit.push(line)
    this.#tellSoon()
  }

  /** Hands over what there is. */
  flush(): void {
    this.#isTimed = false
    if (this.#messages.length + this.#audit.length === 0) return
    const [messages, audit] = [this.#messages, this.#audit]
    this.#messages = []
    this.#audit = []
    this.#deps.tell(messages, audit)
  }

  #tellSoon(): void {
    if (this.#messages.length + this.#audit.length >= MAX_LINES) this.flush()
    else if (!this.#isTimed) {
      this.#isTimed = true
      this.#deps.timer(() => this.flush(), TELL_MS)
    }
  }
}
