// Get-MailboxFolderStatistics: the folders of a mailbox. Their names are in the language of whoever opened it first, their types are not; the sums
// over them are the mailbox's figures.
import { createHash } from 'node:crypto'
import type { Cmdlet, CmdletCall } from './cmdlet.ts'
import { rowsOf } from './cmdlet.ts'
import { PropertyWriter } from './properties.ts'
import type { Properties } from './properties.ts'
import { contentsOf, findMailbox } from './mailbox-statistics.ts'
import type { Contents } from './mailbox-statistics.ts'

type Language = 'en' | 'de' | 'fr'

interface FolderKind {
  /** As FolderScope and FolderType name it. */
  readonly type: string
  readonly names: Readonly<Record<Language, string>>
  /** Of the items, in hundredths; the folder `Archive` takes what is left. */
  readonly share: number
}

const FOLDERS: readonly FolderKind[] = [
  { type: 'Inbox', names: { en: 'Inbox', de: 'Posteingang', fr: 'Boîte de réception' }, share: 40 },
  { type: 'SentItems', names: { en: 'Sent Items', de: 'Gesendete Elemente', fr: 'Éléments envoyés' }, share: 25 },
  {
    type: 'DeletedItems',
    names: { en: 'Deleted Items', de: 'Gelöschte Elemente', fr: 'Éléments supprimés' },
    share: 5,
  },
  { type: 'Drafts', names: { en: 'Drafts', de: 'Entwürfe', fr: 'Brouillons' }, share: 1 },
  { type: 'Calendar', names: { en: 'Calendar', de: 'Kalender', fr: 'Calendrier' }, share: 4 },
  { type: 'Contacts', names: { en: 'Contacts', de: 'Kontakte', fr: 'Contacts' }, share: 1 },
  { type: 'Tasks', names: { en: 'Tasks', de: 'Aufgaben', fr: 'Tâches' }, share: 1 },
  { type: 'JunkEmail', names: { en: 'Junk Email', de: 'Junk-E-Mail', fr: 'Courrier indésirable' }, share: 1 },
  { type: 'Archive', names: { en: 'Archive', de: 'Archiv', fr: 'Archive' }, share: 0 },
]
const ROOT: FolderKind = {
  type: 'Root',
  names: {
    en: 'Top of Information Store',
    de: 'Oberste Ebene des Informationsspeichers',
    fr: 'Racine de la banque d’informations',
  },
  share: 0,
}
/** The same in every language. */
const RECOVERABLE = ['RecoverableItemsRoot', 'RecoverableItemsDeletions'] as const
const SCOPES_OF_RECOVERABLE: ReadonlySet<string> = new Set(['recoverableitems', 'dumpster'])

interface Folder {
  readonly type: string
  readonly name: string
  readonly path: string
  readonly items: number
  readonly bytes: number
  readonly below: { readonly items: number; readonly bytes: number }
}

export const getMailboxFolderStatistics: Cmdlet = {
  name: 'Get-MailboxFolderStatistics',
  isWrite: false,
  heeds: ['Identity', 'Archive', 'FolderScope', 'ResultSize', 'SkipCount', 'UseCustomRouting'],
  run: (call) => {
    const { parameters } = call
    const isArchive = parameters.isOn('Archive')
    const mailbox = findMailbox(call, isArchive)
    const contents = contentsOf(mailbox.statistics, isArchive) ?? {
      items: 0,
      bytes: 0,
      deletedItems: 0,
      deletedBytes: 0,
    }
    const scope = parameters.text('FolderScope')?.toLowerCase()
    const folders = foldersOf(contents, languageOf(mailbox.properties['Languages']))
      .filter((folder) => isInScope(folder, scope))
      .slice(Number(parameters.text('SkipCount') ?? 0))
    const writer = new PropertyWriter(call.select, call.behaviour.sizes)
    const owner = mailbox.externalDirectoryObjectId ?? mailbox.guid
    return { rows: rowsOf(folders, (folder) => writer.write(folderProperties(call, owner, folder))) }
  },
}

function isInScope({ type }: Folder, scope: string | undefined): boolean {
  if (scope === undefined || scope === 'all') return true
  if (SCOPES_OF_RECOVERABLE.has(scope)) return type.startsWith('Recoverable')
  return type.toLowerCase() === scope
}

function foldersOf({ items, bytes, deletedItems, deletedBytes }: Contents, language: Language): readonly Folder[] {
  let [itemsLeft, bytesLeft] = [items, bytes]
  const folders = FOLDERS.map(({ type, names, share }) => {
    const isLast = type === 'Archive'
    const own = {
      items: isLast ? itemsLeft : Math.floor((items * share) / 100),
      bytes: isLast ? bytesLeft : Math.floor((bytes * share) / 100),
    }
    itemsLeft -= own.items
    bytesLeft -= own.bytes
    return { type, name: names[language], path: `/${names[language]}`, ...own, below: own }
  })
  const root = ROOT.names[language]
  const deleted = { items: deletedItems, bytes: deletedBytes }
  return [
    { type: ROOT.type, name: root, path: `/${root}`, items: 0, bytes: 0, below: { items, bytes } },
    ...folders,
    { type: RECOVERABLE[0], name: 'Recoverable Items', path: '/Recoverable Items', items: 0, bytes: 0, below: deleted },
    { type: RECOVERABLE[1], name: 'Deletions', path: '/Deletions', ...deleted, below: deleted },
  ]
}

function folderProperties({ tenant }: CmdletCall, owner: string, folder: Folder): Properties {
  const { type, name, path, items, bytes, below } = folder
  const id = createHash('sha256').update(`${tenant.id} ${owner} ${type}`).digest('base64')
  return {
    ContainerClass: type === 'Calendar' ? 'IPF.Appointment' : type === 'Contacts' ? 'IPF.Contact' : 'IPF.Note',
    DeletedItemsInFolder: 0,
    FolderAndSubfolderSize: below.bytes,
    FolderId: id,
    FolderPath: path,
    FolderSize: bytes,
    FolderType: type,
    Identity: `${owner}\\${name}`,
    ItemsInFolder: items,
    ItemsInFolderAndSubfolders: below.items,
    Name: name,
    TargetQuota: type.startsWith('Recoverable') ? 'Recoverable' : 'User',
    VisibleItemsInFolder: items,
  }
}

/** @param languages  `Languages` of the mailbox: `['de-DE']` */
function languageOf(languages: unknown): Language {
  const first: unknown = Array.isArray(languages) ? languages[0] : undefined
  const language = typeof first === 'string' ? first.slice(0, 2) : 'en'
  return language === 'de' || language === 'fr' ? language : 'en'
}
