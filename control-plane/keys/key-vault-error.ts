// What an error of Key Vault's SDK means for us: come again, gone for good, or somebody has to look. Temporary by default: only the vault's
// definite word about the key itself is final. (Microsoft Learn: "Azure Key Vault REST API error codes", "Common error codes for Azure Key
// Vault"; that a disabled key's inner code ends in `Disabled` is seen with secrets there, for keys unverified)
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from './key-provider.ts'

export type KeyServiceError = KeyServiceUnavailable | KeyDestroyed | KeyUnusable

/** What we read of the SDK's RestError; everything may be missing, proxies answer too. */
interface VaultError {
  readonly status: number | undefined
  readonly innerCode: string
  readonly retryAfterMs: number | undefined
}

const BEING_DELETED = new Set(['ObjectIsDeletedButRecoverable', 'ObjectIsBeingDeleted'])

/** @param nowMs  for a Retry-After that is a date */
export function judgeVaultError(cause: unknown, key: string, nowMs: number): KeyServiceError {
  if (cause instanceof KeyServiceUnavailable || cause instanceof KeyDestroyed || cause instanceof KeyUnusable)
    return cause
  const { status, innerCode, retryAfterMs } = readVaultError(cause, nowMs)
  if (status === 404) return new KeyDestroyed(`the key vault has no key ${key} any more`, { cause })
  if (status === 409 && BEING_DELETED.has(innerCode))
    return new KeyDestroyed(`${key} is deleted in the key vault`, { cause })
  if (status === 403 && innerCode.endsWith('Disabled'))
    return new KeyUnusable(`${key} is disabled in the key vault`, { cause })
  if (status === 400) return new KeyUnusable(`the key vault cannot use what is wrapped by ${key}`, { cause })
  if (status === 401 || status === 403)
    return new KeyServiceUnavailable('the key vault refuses this process', { cause })
  if (status !== undefined) return new KeyServiceUnavailable(`the key vault answers ${status}`, { cause, retryAfterMs })
  return new KeyServiceUnavailable('the key vault cannot be reached', { cause })
}

/** Status of an answer of the vault; undefined when there was none. */
export const vaultStatus = (error: unknown): number | undefined => readVaultError(error, 0).status

function readVaultError(error: unknown, nowMs: number): VaultError {
  if (!(error instanceof Error) || error.name !== 'RestError')
    return { status: undefined, innerCode: '', retryAfterMs: undefined }
  const { statusCode, details, response } = error as Error & {
    statusCode?: number
    details?: { error?: { innerError?: { code?: unknown } } }
    response?: { headers: { get(name: string): string | undefined } }
  }
  const innerCode = details?.error?.innerError?.code
  return {
    status: statusCode,
    innerCode: typeof innerCode === 'string' ? innerCode : '',
    retryAfterMs: parseRetryAfter(response?.headers.get('retry-after'), nowMs),
  }
}

/** RFC 9110 §10.2.3: seconds or a date; undefined when absent or neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}
