// At the server's start: how somebody gets in while there is no installation administrator (AZ-1). On the console, never in the log (KM-5).
import { issueFirstRunCode } from './break-glass-store.ts'
import type { CodeDeps } from './break-glass-store.ts'

export interface PrintDeps extends CodeDeps {
  readonly publicUrl: URL
  /** For people: standard error. */
  readonly print: (text: string) => void
}

/** @returns whether a code was printed */
export async function printBreakGlassCode({ publicUrl, print, ...deps }: PrintDeps): Promise<boolean> {
  const code = await issueFirstRunCode(deps)
  if (code === undefined) return false
  const route = new URL('/api/v1/session/break-glass', publicUrl)
  print(
    [
      '',
      'This installation has no administrator yet. One-time code, good for an hour and until the next start:',
      '',
      `    ${code}`,
      '',
      `POST it to ${route.href} as {"code": "…"}, then appoint an administrator.`,
      '',
    ].join('\n'),
  )
  return true
}
