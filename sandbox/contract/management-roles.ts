// Which Exchange management roles expose a cmdlet. Published by noun for part of the nouns (`requiredRbac` in exchange-cmdlets.json) and by capability
// in permission-sets.json; for the rest by what the noun is about.
import type { PermissionSetsFile } from './permission-sets.ts'

/** As the files have it. */
export interface RolesOfNoun {
  readonly roles: readonly string[]
  readonly roleGroups: string | readonly string[]
}

/** Whoever is in it may call everything. */
const EVERYTHING = 'Organization Management'

/** Begin the nouns that are about recipients; the others are about the organisation's configuration. */
const RECIPIENT_NOUNS =
  /^(?:EXO)?(?:Mailbox|Recipient|MailUser|MailContact|Contact|User|Group|DistributionGroup|DynamicDistributionGroup|UnifiedGroup|CASMailbox|Cas|CalendarProcessing|MobileDevice|InboxRule|SoftDeletedMailbox|MailPublicFolder|RecoverableItems)/i

export class ManagementRoles {
  readonly #byNoun: ReadonlyMap<string, readonly string[]>
  readonly #byCmdlet = new Map<string, Set<string>>()

  constructor(byNoun: Readonly<Record<string, RolesOfNoun>>, { sets }: PermissionSetsFile) {
    this.#byNoun = new Map(
      Object.entries(byNoun).map(([noun, { roles, roleGroups }]) => [
        noun.toLowerCase(),
        [...roles, roleGroups].flat(),
      ]),
    )
    for (const { capabilities, exchangeOnline } of Object.values(sets)) {
      for (const { capability, leastRole } of exchangeOnline?.exchangeRbac ?? []) {
        for (const { cmdlet } of capabilities[capability] ?? []) {
          if (cmdlet === undefined || isRead(cmdlet)) continue
          const key = cmdlet.toLowerCase()
          const known = this.#byCmdlet.get(key) ?? []
          this.#byCmdlet.set(key, new Set([...known, ...leastRole.split(' + ')]))
        }
      }
    }
  }

  /** @param cmdlet  in any case; any of the roles is enough */
  for(cmdlet: string): readonly string[] {
    const [verb = '', noun = ''] = cmdlet.split('-', 2)
    const published = this.#byNoun.get(noun.replace(/^EXO/i, '').toLowerCase())
    const isAboutRecipients = RECIPIENT_NOUNS.test(noun)
    const roles = new Set([EVERYTHING, ...(this.#byCmdlet.get(cmdlet.toLowerCase()) ?? [])])
    for (const role of published ?? defaultRoles(verb, isAboutRecipients)) roles.add(role)
    if (isRead(cmdlet)) roles.add(isAboutRecipients ? 'View-Only Recipients' : 'View-Only Configuration')
    else for (const role of roles) if (isReaders(role)) roles.delete(role)
    return [...roles]
  }
}

/** Whether it only asks. */
export function isRead(cmdlet: string): boolean {
  return /^(?:Get|Test|Validate)-/i.test(cmdlet)
}

function isReaders(role: string): boolean {
  return /^View-Only |Reader$/.test(role)
}

function defaultRoles(verb: string, isAboutRecipients: boolean): readonly string[] {
  if (!isAboutRecipients) return ['Organization Configuration']
  const makes = ['new', 'remove', 'enable', 'disable'].includes(verb.toLowerCase())
  return makes ? ['Mail Recipient Creation'] : ['Mail Recipients']
}
