// What a database holds, gone through to its end: that every key unwraps, every sealed value opens, every audit chain holds, and every mapping table comes
// out as its relays are to have it. For a backup that was restored somewhere (OP-4), and for one's own peace. Reads only.
import { fault, ok } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import type { Log } from '../../common/log.ts'
import { verifyStored } from '../audit/verify-stored.ts'
import { NoKeysYet } from '../audit/trail-store.ts'
import { openDatabase, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { ALL_SEALED_COLUMNS } from '../keys/all-sealed-columns.ts'
import { lookIntoKeyDirectory } from '../keys/file-provider.ts'
import { KeyCache } from '../keys/key-cache.ts'
import { homeOf, ofInstallation, ofProject, wrappingContext } from '../keys/key-owner.ts'
import type { KeyOwner } from '../keys/key-owner.ts'
import type { KeyProvider } from '../keys/key-provider.ts'
import { openKeyProvider } from '../keys/open-key-provider.ts'
import { listProjectKeys } from '../keys/project-key-store.ts'
import { openKeyRing } from '../keys/project-keys.ts'
import type { KeyDeps } from '../keys/project-keys.ts'
import { listSealed } from '../keys/sealed-column-store.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import { CompiledTables } from '../mapping/compiled-tables.ts'
import type { KeySettings, StoredDataSettings } from '../settings.ts'
import { examineDatabase } from './database-state.ts'
import { listOrganisations, listProjects } from './stored-data-store.ts'

const BATCH = 500
const EVENTS_A_STEP = 5_000
/** Of places that are told; the rest is counted. */
const TOLD = 5
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }
/** Looking is no use of a key. */
const NOT_NOTED: KeyDeps['uses'] = { note() {}, settle: () => Promise.resolve() }
const never = new AbortController().signal

interface Held {
  readonly organisations: readonly OrganisationId[]
  readonly projects: readonly { readonly organisation: OrganisationId; readonly project: ProjectId }[]
}

export async function examineStoredData(settings: StoredDataSettings, now: () => number): Promise<Finding[]> {
  const { connection } = settings
  const state = await examineDatabase({ connection, maxConnections: 2 }, now)
  // Without these the rest would tell the same in a hundred ways.
  if (state.findings.some(({ check, verdict }) => verdict === 'fault' && ['database', 'schema'].includes(check)))
    return state.findings
  const database = openDatabase({ connection, maxConnections: 4, onIdleError: () => {} })
  try {
    const { db } = database
    const organisations = await withScope(db, { purpose: 'reconcile' }, listOrganisations)
    const projects = await withScope(db, { purpose: 'reconcile' }, listProjects)
    const held = { organisations, projects }
    return [
      ...state.findings,
      ok('organisations', `${organisations.length - 1} organisations, ${projects.length} projects`),
      ...(await examineSecrets(held, settings.keys, db, now)),
      await examineAudit(held, db),
      await examineTables(held, db),
    ]
  } finally {
    await database.close()
  }
}

async function examineSecrets(held: Held, keys: KeySettings, db: Db, now: () => number): Promise<Finding[]> {
  const cache = new KeyCache(now)
  let provider: KeyProvider | undefined
  try {
    provider = keys.kind === 'file' ? await lookIntoKeyDirectory(keys.directory, now) : await openKeyProvider(keys, now)
    if (provider === undefined)
      return [
        fault(
          'keys',
          'the key directory is not there, or empty',
          'bring it back from its backup, and name it in KEY_DIRECTORY',
        ),
      ]
    const deps = { db, provider, cache, uses: NOT_NOTED, now: () => new Date(now()) }
    return [await examineKeys(held, deps), await examineSealedValues(held, deps)]
  } catch (error) {
    return [fault('keys', wordsOf(error), 'see docs/keys.md for what belongs to this database')]
  } finally {
    provider?.close()
    cache.close()
  }
}

const ownersOf = ({ projects }: Held): KeyOwner[] => [
  ofInstallation(),
  ...projects.map(({ organisation, project }) => ofProject(organisation, project)),
]

async function examineKeys(held: Held, { db, provider }: KeyDeps): Promise<Finding> {
  let opened = 0
  const lost: string[] = []
  for (const owner of ownersOf(held)) {
    for (const key of await withScope(db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner))) {
      if (key.state === 'destroyed') continue
      try {
        await provider.unwrap(key.wrapped, wrappingContext(owner, key.id))
        opened++
      } catch (error) {
        lost.push(`${nameOf(owner)} version ${key.version}: ${wordsOf(error)}`)
      }
    }
  }
  return lost.length === 0
    ? ok('keys', `all ${opened} keys that are not destroyed unwrap`)
    : fault('keys', told(lost, opened), 'these are not the keys that belong to this database (docs/keys.md)')
}

async function examineSealedValues(held: Held, deps: KeyDeps): Promise<Finding> {
  let opened = 0
  const lost: string[] = []
  // The installation's key seals values of each organisation; without any key nothing is sealed, and asking for a ring would make one.
  const owners = [...ownersOf(held), ...held.organisations.filter((each) => each !== INSTALLATION).map(ofInstallation)]
  for (const owner of owners) {
    const columns = ALL_SEALED_COLUMNS.filter(({ sealedBy }) => sealedBy === owner.kind)
    for (const column of columns) {
      let after: readonly string[] | undefined
      for (;;) {
        const from = after
        const rows = await withScope(deps.db, { organisation: owner.organisation }, (tx) =>
          listSealed(tx, column, owner, from, BATCH),
        )
        if (rows.length === 0) break
        const ring = await openKeyRing(owner, deps).catch((error: unknown) => wordsOf(error))
        for (const row of rows) {
          try {
            if (typeof ring === 'string') throw new Error(ring)
            ring.open(placeInRow(column, row.key), row.sealed)
            opened++
          } catch (error) {
            lost.push(`${column.table}.${column.column} of ${nameOf(owner)}: ${wordsOf(error)}`)
          }
        }
        after = rows.at(-1)?.key
        if (rows.length < BATCH) break
      }
    }
  }
  return lost.length === 0
    ? ok('sealed-values', `all ${opened} sealed values open`)
    : fault(
        'sealed-values',
        told(lost, opened),
        'what was sealed by a key that is gone is lost: make it anew (docs/keys.md)',
      )
}

async function examineAudit({ organisations }: Held, db: Db): Promise<Finding> {
  let events = 0
  const broken: string[] = []
  for (const organisation of organisations) {
    try {
      for (let from: number | undefined = 1; from !== undefined;) {
        const range = { from, to: from + EVENTS_A_STEP - 1 }
        const { report, next } = await verifyStored(db, organisation, range, never)
        events += report.events
        if (report.fault !== undefined) broken.push(`${organisation}: ${report.fault.detail}`)
        from = next
      }
    } catch (error) {
      if (!(error instanceof NoKeysYet)) throw error // nothing was signed yet
    }
  }
  return broken.length === 0
    ? ok('audit', `${organisations.length} chains hold, ${events} events`)
    : fault(
        'audit',
        told(broken, organisations.length - broken.length),
        'see CausewayAuditChainBroken in docs/control-plane-alarms.md',
      )
}

async function examineTables({ projects }: Held, db: Db): Promise<Finding> {
  let entries = 0
  const faulty: string[] = []
  for (const { organisation, project } of projects) {
    try {
      const table = await new CompiledTables({ db, log: SILENT, maxEntries: 0 }).current(organisation, project)
      entries += table.entryCount
    } catch (error) {
      faulty.push(`${project}: ${wordsOf(error)}`)
    }
  }
  return faulty.length === 0
    ? ok('mapping-tables', `${projects.length} tables come out whole, ${entries} entries`)
    : fault(
        'mapping-tables',
        told(faulty, projects.length - faulty.length),
        'relays of these projects can be told nothing',
      )
}

const nameOf = (owner: KeyOwner): string =>
  owner.kind === 'project'
    ? owner.project
    : owner.organisation === INSTALLATION
      ? 'the installation'
      : owner.organisation

/** Of our own errors: they quote ids and names of keys, never what is sealed. */
const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function told(places: readonly string[], well: number): string {
  const more = places.length > TOLD ? `, and ${places.length - TOLD} more` : ''
  return `${places.length} are lost, ${well} are well: ${places.slice(0, TOLD).join('; ')}${more}`
}
