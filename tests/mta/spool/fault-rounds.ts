// The spool's script of the crash tests with one system call failing, and then a restart: whatever was promised is kept (DU-3).
import assert from 'node:assert/strict'
import type { DiskFault, DiskStep } from '../../../mta/spool/disk.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { Promises, errno, eventsOf, liveThrough, inDirectory, optionsFor, recordingLog } from './spool-harness.ts'

/** @returns false when the script makes fewer than `number` calls */
export function failRound(number: number, code: 'EIO' | 'ENOSPC'): Promise<boolean> {
  return inDirectory(async (directory) => {
    const promises = new Promises()
    let made = 0
    const before = ({ call }: DiskStep): DiskFault | undefined => {
      if (call === 'read' || call === 'close' || ++made !== number) return undefined
      return call === 'write' && number % 3 === 0 ? { error: errno(code), writtenBytes: 40 } : { error: errno(code) }
    }
    await liveThrough(optionsFor(directory, { diskHooks: { before } }), promises).catch(() => {})
    const log = recordingLog()
    const spool = await openSpool(optionsFor(directory, { log }))
    try {
      await promises.assertKept(spool)
      assert.ok(!eventsOf(log).includes('spool.damaged'), JSON.stringify(log.lines))
      assert.deepEqual(await spool.quarantine.list(), [])
    } catch (cause) {
      throw new Error(`call ${number} failed with ${code}`, { cause })
    } finally {
      await spool.close()
    }
    return made >= number
  })
}
