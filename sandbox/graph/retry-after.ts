// The forms in which services say when to come again (RFC 9110 §10.2.3, and what was seen beside it): clients have to cope with all. Pure.

export const RETRY_AFTER_FORMS = ['integer', 'fractional', 'date', 'missing'] as const
export type RetryAfterForm = (typeof RETRY_AFTER_FORMS)[number]

/** Never sooner than `waitMs` from now. undefined: the header is left out. */
export function retryAfterText(form: RetryAfterForm, waitMs: number, nowMs: number): string | undefined {
  switch (form) {
    case 'integer':
      return String(Math.max(1, Math.ceil(waitMs / 1000)))
    case 'fractional':
      return (Math.max(1, Math.ceil(waitMs)) / 1000).toFixed(3)
    case 'date':
      // The header has whole seconds, and the reader compares it with a `Date` that was cut to the second as well.
      return new Date(Math.ceil((nowMs + waitMs) / 1000) * 1000 + 1000).toUTCString()
    case 'missing':
      return undefined
    default:
      return form satisfies never
  }
}
