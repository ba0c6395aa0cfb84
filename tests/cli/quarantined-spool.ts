// A closed spool with one poison and one damaged entry in quarantine, and one that is beyond reading; what waits beside them is whole.
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../common/log.ts'
import { DEFAULT_LIMITS } from '../../mta/limits.ts'
import type { QueueId } from '../../mta/queue-id.ts'
import { loadSpoolKey } from '../../mta/spool/keys.ts'
import { openSpool } from '../../mta/spool/spool.ts'
import { accept, nextQueueId } from '../mta/spool/spool-harness.ts'

/** @param directory  of the spool; it isn't there yet */
export async function makeQuarantinedSpool(
  directory: string,
  keyFile: string,
): Promise<{ poison: QueueId; damaged: QueueId; waiting: QueueId }> {
  const limits = { ...DEFAULT_LIMITS, freeSpaceRatio: 0, freeSpaceMessages: 0, freeInodeRatio: 0 }
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const open = async () =>
    openSpool({ directory, rootKey: loadSpoolKey(keyFile, directory), project: 'relay', limits, now: Date.now, log })
  const [poison, waiting, damaged] = [nextQueueId(), nextQueueId(), nextQueueId()]
  for (let deaths = 0; deaths < 3; deaths++) {
    const spool = await open()
    if (deaths === 0) {
      for (const id of [poison, waiting]) await accept(spool, 1_000, id)
      const { state } = await spool.read(waiting)
      await spool.update(waiting, { ...state, attempts: 1, nextAttemptAt: Date.now() + 3_600_000 })
    } else await spool.take(poison)
    // Death: the directory as it is now, while the process still has the message in hand.
    const copy = fs.mkdtempSync(join(tmpdir(), 'causeway-cli-'))
    fs.cpSync(directory, copy, { recursive: true })
    await spool.close()
    fs.rmSync(directory, { recursive: true })
    fs.renameSync(copy, directory)
  }
  const spool = await open()
  await accept(spool, 1_000, damaged)
  await spool.close()
  flipLastMessage(directory, damaged)
  await (await open()).close()
  fs.chmodSync(directory, 0o700)
  return { poison, damaged, waiting }
}

/** One octet of the body of the message that was written last. */
function flipLastMessage(directory: string, id: QueueId): void {
  const segments = fs.readdirSync(directory).filter((name) => name.startsWith('segment-'))
  for (const name of segments) {
    const file = join(directory, name)
    const bytes = fs.readFileSync(file)
    const at = bytes.lastIndexOf(id)
    if (at < 0) continue
    bytes.writeUInt8(bytes.readUInt8(at + 1_200) ^ 0x41, at + 1_200)
    fs.writeFileSync(file, bytes)
    return
  }
  throw new Error(`no segment names ${id}`)
}
