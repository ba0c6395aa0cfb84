// The published contracts, and paths made of their templates.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadContracts } from '../../../sandbox/contract/contracts.ts'
import type { GraphPathsFile } from '../../../sandbox/contract/graph-paths.ts'
import type { GraphOperation, GraphRequest } from '../../../sandbox/contract/graph-request.ts'
import { judgeGraphRequest } from '../../../sandbox/contract/graph-request.ts'
import { CONTRACTS_DIRECTORY } from '../../harness/sandbox.ts'

export const CONTRACTS = loadContracts(CONTRACTS_DIRECTORY)
export const PATHS_FILE = JSON.parse(
  readFileSync(join(CONTRACTS_DIRECTORY, 'graph-paths.json'), 'utf8'),
) as GraphPathsFile

/** With `valueOf(name)` percent-encoded in each placeholder; `/` stays in paths of items. */
export function fill(template: string, valueOf: (name: string) => string): string {
  return template.replaceAll(/\{([^}]+)\}/g, (_, name: string) => {
    const encoded = encodeURIComponent(valueOf(name)).replaceAll("'", "''")
    return name.endsWith('-path') ? encoded.replaceAll('%2F', '/') : encoded
  })
}

export const placeholder = (name: string): string => `x-${name}`

/** @throws when there is none */
export function operation(method: string, path: string, version: 'v1.0' | 'beta' = 'v1.0'): GraphOperation {
  const found = CONTRACTS.graph.find(method, version, path)
  if (found.kind !== 'found') throw new Error(`${method} ${path} is not published`)
  return found.operation
}

/** Rules that a request breaks. */
export function judge(method: string, url: string, more: Partial<GraphRequest> = {}) {
  const [path = '', query = ''] = url.split('?', 2)
  return judgeGraphRequest(CONTRACTS, {
    method,
    version: 'v1.0',
    path,
    query: new URLSearchParams(query),
    body: undefined,
    headers: {},
    isIssuedLink: false,
    ...more,
  })
}

export function broken(method: string, url: string, more: Partial<GraphRequest> = {}): string[] {
  return judge(method, url, more).violations.map(({ rule, where }) => (where === '' ? rule : `${rule} ${where}`))
}
