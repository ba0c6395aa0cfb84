// Answers that have nothing to do with the request: an outage, throttling, a proxy's page. Each is used up after so many requests.

export const FAULTY_ENDPOINTS = ['metadata', 'keys', 'token'] as const
export type FaultyEndpoint = (typeof FAULTY_ENDPOINTS)[number]

export interface Fault {
  readonly endpoint: FaultyEndpoint
  readonly times: number
  readonly answer:
    | { readonly kind: 'status'; readonly status: number; readonly retryAfterS?: number; readonly body?: string }
    /** To another place: an honest client doesn't follow. */
    | { readonly kind: 'redirect'; readonly location: string }
    /** A body that does not end. */
    | { readonly kind: 'flood' }
    /** No answer at all; the connection stays open. */
    | { readonly kind: 'silence' }
    | { readonly kind: 'reset' }
}

export class Faults {
  #waiting: { fault: Fault; left: number }[] = []

  add(fault: Fault): void {
    this.#waiting.push({ fault, left: fault.times })
  }

  /** Uses up one time of the oldest fault for this endpoint. */
  take(endpoint: FaultyEndpoint): Fault['answer'] | undefined {
    const found = this.#waiting.find(({ fault }) => fault.endpoint === endpoint)
    if (found === undefined) return undefined
    found.left--
    if (found.left <= 0) this.#waiting = this.#waiting.filter((each) => each !== found)
    return found.fault.answer
  }
}
