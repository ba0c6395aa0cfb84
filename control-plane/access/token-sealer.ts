// Refresh tokens sealed under the installation's key (KM-1): what the sign-in asks for, made of what features are given.
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { KeyDestroyed, KeyUnusable } from '../keys/key-provider.ts'
import type { Sealer } from '../keys/sealer.ts'
import type { TokenSealer } from './entra-sign-in.ts'

const PLACE = { organisation: INSTALLATION, project: undefined }
const PURPOSE = 'session.refresh_sealed'

/** @throws KeyServiceUnavailable, from both */
export function tokenSealer(db: Db, sealer: Sealer): TokenSealer {
  const inScope = { organisation: INSTALLATION }
  return {
    seal: (plain, context) => withScope(db, inScope, (tx) => sealer.seal(tx, PLACE, PURPOSE, context, plain)),
    unseal: async (sealed, context) => {
      try {
        return await withScope(db, inScope, (tx) => sealer.open(tx, PLACE, PURPOSE, context, sealed))
      } catch (error) {
        if (error instanceof KeyUnusable || error instanceof KeyDestroyed) return undefined
        throw error
      }
    },
  }
}
