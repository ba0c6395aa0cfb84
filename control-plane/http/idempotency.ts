// Safe retry of POSTs: the same Idempotency-Key and request get the same answer for 24 h. The answer is kept sealed under a key that only the
// caller's own credential gives: it may hold a secret that is shown once. (control-plane.md §1)
import { hash } from 'node:crypto'
import { sql } from 'kysely'
import { deriveKey, keyFromBytes, NONCE_BYTES, seal, unseal } from '../../common/seal.ts'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import { Problem } from './problem.ts'
import type { Answer } from './route.ts'

export const MAX_KEY_LENGTH = 128
const NONCE = Buffer.alloc(NONCE_BYTES) // each sealing key seals one text
const INFO = 'causeway-idempotency/1'

/** Whose key it is, and how what is kept under it is sealed. */
export interface RetryKey {
  readonly organisation: OrganisationId
  /** `callerName` */
  readonly caller: string
  readonly key: string
  /** `retrySecretOf` the credential: the database can't make it. */
  readonly retrySecret: string
}

export interface IdempotentRequest extends RetryKey {
  /** `requestHashOf` it */
  readonly requestHash: string
}

/** @param credential  session id or API key as presented. Another hash than the one the credential is found by. */
export const retrySecretOf = (credential: string): string => hash('sha256', `${INFO} ${credential}`, 'hex')

type StoredAnswer = Pick<Answer, 'status' | 'body' | 'headers' | 'version'>

/** Hex SHA-256 of method, path and body. @param body  as read; of a streamed one its own hash */
export function requestHashOf(method: string, url: string, body: unknown): string {
  return hash('sha256', `${method} ${url}\n${JSON.stringify(body) ?? ''}`, 'hex')
}

/** Whether there is an answer under this key, of this request or another one. */
export async function isKeyUsed(tx: Tx, { organisation, caller, key }: RetryKey): Promise<boolean> {
  const row = await rowOf(
    tx,
    sql`select 1 from idempotency_key where organisation_id = ${organisation} and caller = ${caller} and key = ${key}`,
  )
  return row !== undefined
}

/**
 * The answer that was given; undefined when the key is new.
 * @throws Problem 409 when the key was used for another request, or by another credential of the same person
 */
export async function findAnswer(tx: Tx, request: IdempotentRequest): Promise<Answer | undefined> {
  const row = await rowOf<{ request_hash: string; answer_sealed: Buffer }>(
    tx,
    sql`select request_hash, answer_sealed from idempotency_key
         where organisation_id = ${request.organisation} and caller = ${request.caller} and key = ${request.key}`,
  )
  if (row === undefined) return undefined
  if (row.request_hash !== request.requestHash) throw new Problem('idempotency-key-reused')
  const opened = unseal(sealingKey(request), NONCE, associated(request), row.answer_sealed)
  if (opened === undefined) throw new Problem('idempotency-key-reused', { detail: 'It was used in another session.' })
  return JSON.parse(opened.toString()) as StoredAnswer
}

export async function storeAnswer(tx: Tx, request: IdempotentRequest, answer: Answer): Promise<void> {
  const { status, body, headers, version } = answer
  const text = Buffer.from(
    JSON.stringify({ status, body, headers, version } satisfies { [K in keyof StoredAnswer]: unknown }),
  )
  const sealed = Buffer.concat(seal(sealingKey(request), NONCE, associated(request), [text]))
  await sql`
    insert into idempotency_key (organisation_id, caller, key, request_hash, status, answer_sealed)
    values (${request.organisation}, ${request.caller}, ${request.key}, ${request.requestHash}, ${status}, ${sealed})`.execute(
    tx,
  )
}

function sealingKey({ retrySecret, key, requestHash }: IdempotentRequest) {
  return deriveKey(keyFromBytes(Buffer.from(retrySecret, 'hex')), Buffer.from(key), `${INFO} ${requestHash}`)
}

function associated({ organisation, caller, key }: IdempotentRequest): Buffer {
  return Buffer.from(JSON.stringify([organisation, caller, key]))
}
