// What a file or folder is: mode, owner, age. Judged by whoever knows what it is for. (OP-5)
import { stat } from 'node:fs/promises'
import { codeOf } from './finding.ts'

export type FileFacts =
  | { readonly kind: 'there'; readonly mode: number; readonly uid: number; readonly modifiedAt: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly code: string }

export async function observeFile(path: string): Promise<FileFacts> {
  try {
    const { mode, uid, mtimeMs } = await stat(path)
    return { kind: 'there', mode, uid, modifiedAt: mtimeMs }
  } catch (error) {
    const code = codeOf(error)
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', code }
  }
}
