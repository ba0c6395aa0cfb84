// The files of an image as they are in it, found by the Node that is in it.
import type { Engine } from './container.ts'

export interface ImageFile {
  readonly path: string
  readonly mode: number
  readonly uid: number
  readonly sizeBytes: number
}

const LARGEST_TEXT_BYTES = 1_000_000

/** Runs inside: it can use nothing of ours. */
function walk(largestTextBytes: number): void {
  const fs = process.getBuiltinModule('node:fs')
  const files: ImageFile[] = []
  const keys: string[] = []
  const outside = new Set(['/proc', '/sys', '/dev', '/tmp'])
  const look = (directory: string): void => {
    for (const name of fs.readdirSync(directory)) {
      const path = directory === '/' ? `/${name}` : `${directory}/${name}`
      const status = fs.lstatSync(path)
      if (status.isDirectory()) {
        if (!outside.has(path)) look(path)
      } else if (status.isFile()) {
        files.push({ path, mode: status.mode, uid: status.uid, sizeBytes: status.size })
        if (status.size > largestTextBytes) continue
        // A whole key, not a word about one.
        if (/-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\r?\n[A-Za-z0-9+/=]{40}/.test(fs.readFileSync(path, 'latin1')))
          keys.push(path)
      }
    }
  }
  look('/')
  console.log(JSON.stringify({ files, keys }))
}

/** @returns every regular file, and the paths of those that hold a private key */
export async function listFiles(engine: Engine, node: string): Promise<{ files: ImageFile[]; keys: string[] }> {
  const script = `(${walk.toString()})(${LARGEST_TEXT_BYTES})`
  const container = engine.run('files', { command: [node, '-e', script], asReader: true })
  const code = await container.exited
  if (code !== 0) throw new Error(`the files could not be listed (${code}):\n${container.output()}`)
  return JSON.parse(container.output()) as { files: ImageFile[]; keys: string[] }
}
