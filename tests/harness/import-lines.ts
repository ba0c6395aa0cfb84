// The import lines of a source file, read as text: enough to know what it needs, without running it.
import { dirname, join, normalize } from 'node:path'

export interface ImportLine {
  readonly specifier: string
  /** Erased when it runs. */
  readonly isTypeOnly: boolean
}

/** Static imports and exports, `import('…')`, and files that a thread or process is started with. */
export function importLines(text: string): ImportLine[] {
  const found = []
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'/gm)) {
    found.push({ specifier: match[2] ?? '', isTypeOnly: match[1] !== undefined })
  }
  for (const match of text.matchAll(/\bimport\('([^']+)'\)/g))
    found.push({ specifier: match[1] ?? '', isTypeOnly: false })
  for (const match of text.matchAll(/new URL\('(\.[^']+\.ts)', import\.meta\.url\)/g)) {
    found.push({ specifier: match[1] ?? '', isTypeOnly: false })
  }
  return found
}

/** Path from the root for an import of our own, undefined for `node:` and packages. @param file  path from the root */
export function ownTarget(file: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined
}

export function packageName(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '')
}
