// Keeps a sign-in under way between the browser's two visits: sealed, found only by the browser's binding secret together with the state that
// comes back, and given out once. (AZ-1)
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { credentialHash } from './api-key.ts'
import { insertFlow, takeFlow } from './session-store.ts'
import type { SignInFlow } from './sign-in-flow.ts'

export interface KeptFlow {
  readonly flow: SignInFlow
  /** `parseReturnTo` */
  readonly returnTo: string
  /** The one who has to prove anew who he is. */
  readonly principal: string | undefined
}

export interface FlowDeps {
  readonly db: Db
  readonly sealer: Sealer
}

const PLACE = { organisation: INSTALLATION, project: undefined }
const PURPOSE = 'sign_in_flow.flow_sealed'

export async function keepFlow(kept: KeptFlow, binding: string, { db, sealer }: FlowDeps): Promise<void> {
  const stateHash = stateHashOf(binding, kept.flow.state)
  const plain = Buffer.from(JSON.stringify(kept))
  await withScope(db, { organisation: INSTALLATION, credential: stateHash }, async (tx) => {
    const sealed = await sealer.seal(tx, PLACE, PURPOSE, stateHash, plain)
    await insertFlow(tx, stateHash, sealed, new Date(kept.flow.expiresAt))
  })
}

/** undefined when this browser began no sign-in with that state, or it was taken before. */
export async function takeKeptFlow(
  state: string,
  binding: string,
  { db, sealer }: FlowDeps,
): Promise<KeptFlow | undefined> {
  const stateHash = stateHashOf(binding, state)
  // Gone before anything is done with it: a callback that comes twice at once finds it once.
  const sealed = await withScope(db, { credential: stateHash }, (tx) => takeFlow(tx, stateHash))
  if (sealed === undefined) return undefined
  const opened = await withScope(db, { organisation: INSTALLATION }, (tx) =>
    sealer.open(tx, PLACE, PURPOSE, stateHash, sealed),
  )
  return JSON.parse(opened.toString()) as KeptFlow // sealed by `keepFlow`
}

const stateHashOf = (binding: string, state: string): string => credentialHash(`${binding} ${state}`)
