// A real sealer for a test's database: keys in a folder of their own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '../../common/log.ts'
import { openKeyDirectory } from '../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../control-plane/keys/sealer.ts'
import type { Sealer } from '../../control-plane/keys/sealer.ts'
import type { Ending, TestDatabase } from './postgres.ts'

export async function testSealer(t: Ending, { db }: Pick<TestDatabase, 'db'>, log: Log): Promise<Sealer> {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
  const now = () => Date.now()
  const provider = await openKeyDirectory(join(directory, 'keys'), now)
  const cache = new KeyCache(now)
  const uses = new KeyUses({ db, log, now: () => new Date() })
  t.after(async () => {
    await uses.settle()
    cache.close()
    provider.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return createSealer({ db, provider, cache, uses, now: () => new Date() })
}
