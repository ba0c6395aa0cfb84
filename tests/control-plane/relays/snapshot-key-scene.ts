// A database and a real sealer, for tests of keys that belong to the installation.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../../common/log.ts'
import type { Db } from '../../../control-plane/db/database.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { testDatabase } from '../../harness/postgres.ts'
import type { Ending } from '../../harness/postgres.ts'

export async function openScene(t: Ending): Promise<{ db: Db; sealer: Sealer }> {
  const { db } = await testDatabase(t)
  const directory = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
  const provider = await openKeyDirectory(join(directory, 'keys'), Date.now)
  const cache = new KeyCache(Date.now)
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const uses = new KeyUses({ db, log, now: () => new Date() })
  t.after(async () => {
    await uses.settle()
    cache.close()
    provider.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return { db, sealer: createSealer({ db, provider, cache, uses, now: () => new Date() }) }
}
