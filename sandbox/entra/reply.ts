// How the authorization endpoints answer: by a redirect to the application, by a form that the browser posts there, or by a page of their own.

export type Answer =
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'page'; readonly status: number; readonly html: string }

export interface ReplyAddress {
  readonly redirectUri: string
  readonly mode: 'query' | 'form_post'
  readonly state: string | undefined
}

export function replyTo({ redirectUri, mode, state }: ReplyAddress, fields: Readonly<Record<string, string>>): Answer {
  const all = Object.entries(state === undefined ? fields : { ...fields, state })
  if (mode === 'query') {
    const url = new URL(redirectUri)
    for (const [name, value] of all) url.searchParams.append(name, value)
    return { kind: 'redirect', location: url.href }
  }
  const inputs = all.map(
    ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`,
  )
  const form = `<form method="post" action="${escapeHtml(redirectUri)}">${inputs.join('')}<button>Continue</button></form>`
  return page(200, 'Working…', `${form}<script>document.forms[0].submit()</script>`)
}

export function page(status: number, title: string, body: string): Answer {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>`
  const style = `<style>body{font:16px system-ui;margin:10vh auto;max-width:26rem}button{font:inherit;padding:.5rem;margin:.25rem 0;width:100%;text-align:left}</style>`
  const notice = '<p><small>Simulated Entra ID: for trying and testing, with invented people.</small></p>'
  const html = `<!doctype html><html lang="en">${head}${style}<h1>${escapeHtml(title)}</h1>${body}${notice}</html>`
  return { kind: 'page', status, html }
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
