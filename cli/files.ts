// Files that a command line names: read whole, or said in one sentence why not.
import { readFile } from 'node:fs/promises'
import { readTable, TableUnsettled } from '../mta/mapping/read-table.ts'
import { faultText, placesOf } from '../mta/settings-fault.ts'
import { parsePolicy, PolicyFault, TableFault } from '../rewrite-rules/index.ts'
import type { Envelope, EsmtpParameters, MappingTable, Policy } from '../rewrite-rules/index.ts'
import { unreadable, UnusableFile } from './command.ts'

/** One line for each fault: file, place, value, reason and rule. */
export function faultLines(file: string, { faults }: TableFault | PolicyFault): string[] {
  return placesOf(file, faults).map(faultText)
}

/** @throws UnusableFile */
export async function loadTable(file: string): Promise<MappingTable> {
  try {
    return (await readTable(file)).table
  } catch (error) {
    if (error instanceof TableFault)
      throw new UnusableFile(`the table can't be used\n${faultLines(file, error).join('\n')}`, { cause: error })
    throw unreadableTable(file, error)
  }
}

/** @throws UnusableFile */
export async function loadPolicy(file: string): Promise<Policy> {
  const written = await loadJson(file)
  try {
    return parsePolicy(written)
  } catch (error) {
    if (error instanceof PolicyFault)
      throw new UnusableFile(`the policy can't be used\n${faultLines(file, error).join('\n')}`, { cause: error })
    throw error
  }
}

/** @throws UnusableFile */
export async function loadEnvelope(file: string): Promise<Envelope> {
  const written = await loadJson(file)
  const fault = (place: string, rule: string) =>
    new UnusableFile(`the envelope can't be used: ${file}: ${place}: ${rule}`)
  if (!isObject(written)) throw fault('envelope', 'must be an object')
  mustHaveOnly(written, ['reversePath', 'parameters', 'forwardPaths'], (key) => fault(key, 'unknown key'))
  const { reversePath, parameters, forwardPaths } = written
  if (typeof reversePath !== 'string') throw fault('reversePath', 'must be text; "" is the null reverse-path')
  if (!Array.isArray(forwardPaths)) throw fault('forwardPaths', 'must be a list')
  return {
    reversePath,
    parameters: parametersOf(parameters, (rule) => fault('parameters', rule)),
    forwardPaths: forwardPaths.map((item: unknown, index) => {
      const place = `forwardPaths/${index}`
      if (!isObject(item)) throw fault(place, 'must be an object')
      mustHaveOnly(item, ['path', 'parameters'], (key) => fault(`${place}/${key}`, 'unknown key'))
      if (typeof item['path'] !== 'string' || item['path'] === '') throw fault(`${place}/path`, 'must be an address')
      return {
        path: item['path'],
        parameters: parametersOf(item['parameters'], (rule) => fault(`${place}/parameters`, rule)),
      }
    }),
  }
}

function parametersOf(written: unknown, fault: (rule: string) => UnusableFile): EsmtpParameters {
  if (written === undefined) return {}
  if (!isObject(written)) throw fault('must be an object')
  const parameters: [string, string | true][] = Object.entries(written).map(([keyword, value]) => {
    if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(keyword)) throw fault(`${JSON.stringify(keyword)} is no ESMTP keyword`)
    if (typeof value !== 'string' && value !== true)
      throw fault(`${keyword} must be text, or true for a keyword without a value`)
    return [keyword.toUpperCase(), value]
  })
  return Object.fromEntries(parameters)
}

function mustHaveOnly(
  written: Record<string, unknown>,
  known: readonly string[],
  fault: (key: string) => UnusableFile,
): void {
  for (const key of Object.keys(written)) if (!known.includes(key)) throw fault(key)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

async function loadJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw unreadable(file, error)
  })
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new UnusableFile(`${file} is not JSON: ${error instanceof Error ? error.message : ''}`, { cause: error })
  }
}

/** @throws `error` itself, when it says nothing of the file but that we have a fault */
export function unreadableTable(file: string, error: unknown): UnusableFile {
  if (error instanceof TableUnsettled) return new UnusableFile(`${file}: ${error.message}`, { cause: error })
  return unreadable(file, error)
}
