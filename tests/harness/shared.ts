// Tests over ../shared (the corpus and the contracts beside the checkout). A user's clone has no such folder: there they are skipped by
// name; in CI its absence is a failure, so that a green run always means they ran.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Absolute path of the folder beside the checkout; may not exist. */
export const SHARED = join(dirname(root), 'shared')

export function testShared(name: string, run: (context: TestContext) => void | Promise<void>): void {
  if (existsSync(SHARED) || process.env['CI'] === 'true') test(name, run)
  else test(name, { skip: 'needs the folder ../shared beside the checkout' }, () => {})
}
