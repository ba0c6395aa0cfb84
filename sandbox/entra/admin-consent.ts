// The admin consent endpoint (microsoft-365.md §2.3): an administrator grants an application, for his whole tenant, all the permissions it asks
// for. The answer names the tenant in a parameter that anyone could have written.
import { accountChooser } from './account-chooser.ts'
import { refused, signIn } from './authorize.ts'
import type { Asked, Decision } from './authorize.ts'
import { readReplyAddress, required, tenantOfPath } from './authorize-request.ts'
import type { RegisteredApp, Tenant } from './directory.ts'
import { EntraError } from './entra-error.ts'
import type { EntraState } from './entra-state.ts'
import { replyTo } from './reply.ts'
import type { Answer, ReplyAddress } from './reply.ts'

interface ConsentRequest {
  readonly app: RegisteredApp
  readonly tenant: Tenant | undefined
  readonly reply: ReplyAddress
  readonly scope: string
}

export function beginAdminConsent(state: EntraState, asked: Asked): Answer {
  return answered(state, asked, ({ app, tenant }) => {
    const people = (tenant === undefined ? state.directory.tenants : [tenant])
      .flatMap((each) => [...each.people.values()])
      .filter((person) => person.isAdministrator === true)
    const asks = Object.values(app.permissions ?? {}).flat()
    const explanation = `${app.name} asks for: ${asks.join(', ')}. An administrator may grant this for the whole organization.`
    return accountChooser({ title: 'Permissions requested', explanation, people, action: 'adminconsent', asked })
  })
}

export function decideAdminConsent(state: EntraState, asked: Asked, decision: Decision): Answer {
  return answered(state, asked, ({ app, tenant, reply, scope }) => {
    if (decision.kind === 'deny') throw new EntraError(65004)
    const person = signIn(state, decision.user)
    if (tenant !== undefined && tenant.id !== person.tenantId) throw new EntraError(50020)
    if (person.isAdministrator !== true) throw new EntraError(90094)
    state.directory.consent(person.tenantId, app)
    return replyTo(reply, { admin_consent: 'True', tenant: person.tenantId, scope })
  })
}

function answered(state: EntraState, { tenant, query }: Asked, answer: (request: ConsentRequest) => Answer): Answer {
  let reply: ReplyAddress | undefined
  try {
    if (tenant === 'common') throw new EntraError(90002)
    const path = tenantOfPath(state, tenant)
    const address = readReplyAddress(state, query)
    reply = address.reply
    return answer({ ...address, tenant: path, scope: required(query, 'scope') })
  } catch (error) {
    if (!(error instanceof EntraError)) throw error
    const refusal = refused(state, error, reply)
    if (refusal.kind !== 'redirect') return refusal
    // Seen in Entra: the refusal claims consent as well, so a client has to look at `error` first.
    const url = new URL(refusal.location)
    url.searchParams.append('admin_consent', 'True')
    return { kind: 'redirect', location: url.href }
  }
}
