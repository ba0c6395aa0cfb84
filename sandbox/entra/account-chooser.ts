// The page on which a person picks an account, or declines. No passwords: everybody in here is invented.
import type { Person } from './directory.ts'
import { escapeHtml, page } from './reply.ts'
import type { Answer } from './reply.ts'

export interface Choice {
  readonly title: string
  /** What is asked for, beyond signing in. */
  readonly explanation?: string
  readonly people: readonly Person[]
  readonly action: 'authorize' | 'adminconsent'
  readonly asked: { readonly tenant: string; readonly query: URLSearchParams }
}

export function accountChooser({ title, explanation, people, action, asked }: Choice): Answer {
  const buttons = people.map(
    ({ userPrincipalName, name }) =>
      `<button name="user" value="${escapeHtml(userPrincipalName)}">${escapeHtml(name)}<br><small>${escapeHtml(userPrincipalName)}</small></button>`,
  )
  const body = `${explanation === undefined ? '' : `<p>${escapeHtml(explanation)}</p>`}
<form method="post" action="/${encodeURIComponent(asked.tenant)}/choose">
<input type="hidden" name="action" value="${action}">
<input type="hidden" name="query" value="${escapeHtml(asked.query.toString())}">
<label><input type="checkbox" name="mfa" value="yes" checked> with a second factor</label>
${buttons.join('\n')}
<button name="deny" value="yes">Cancel</button>
</form>`
  return page(200, title, body)
}
