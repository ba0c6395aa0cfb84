// Runs bin/causeway as a user does: a process of its own, its exit code, what it printed where.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export function causeway(args: readonly string[], input: string | Uint8Array = ''): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(ROOT, 'bin/causeway'), args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const [out, err]: Buffer[][] = [[], []]
    child.stdout.on('data', (chunk: Buffer) => out?.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err?.push(chunk))
    child.on('error', reject)
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(out ?? []), stderr: Buffer.concat(err ?? []).toString() }),
    )
    // A command that refuses its arguments doesn't read.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

export function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'causeway-cli-'))
  context.after(() => rmSync(path, { recursive: true }))
  return path
}
