// What an administrator sees at the end of his visit: one sentence, no script, nothing of anybody. Pure.

export const OUTCOMES = {
  checking: [
    'Thank you, the consent was recorded',
    'It takes a few seconds to a few minutes until it has spread. You can close this window; whoever sent you the link sees how it goes.',
  ],
  declined: ['The consent was declined', 'Nothing was changed. You can close this window.'],
  'wrong-tenant': [
    'This was another tenant',
    'The link is for a different tenant. Sign out of Microsoft 365 and open it again as an administrator of the right one.',
  ],
  taken: [
    'The tenant can not be attached',
    'It is attached to another organization of this installation. Ask whoever sent you the link.',
  ],
  'not-signed-in': [
    'You were not signed in',
    'The consent counts only together with a sign-in of the administrator who gave it. Open the link again.',
  ],
  'unknown-link': [
    'This link is not good any more',
    'It is too old, or of another registration, or this is not the browser that opened it. Ask for a new one.',
  ],
  unavailable: ['Microsoft could not be asked', 'Wait a minute and open the link again.'],
} as const satisfies Readonly<Record<string, readonly [title: string, text: string]>>
export type Outcome = keyof typeof OUTCOMES

export const statusOf = (outcome: Outcome): 200 | 400 | 503 =>
  outcome === 'checking' || outcome === 'declined' ? 200 : outcome === 'unavailable' ? 503 : 400

export function consentPage(outcome: Outcome): string {
  const [title, text] = OUTCOMES[outcome]
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title></head>
<body><main><h1>${title}</h1><p>${text}</p></main></body>
</html>
`
}
