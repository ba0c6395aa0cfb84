// The body of our Authentication-Results field (R79; RFC 8601): what we found of DKIM and ARC on arrival. All in it is from closed sets or of
// a checked form: a message can't write results for itself.
import type { JudgedSignature, Verification } from './verification.ts'

/**
 * @param authservId  ours: fields of that name that came with the message must be gone (R84)
 * @param verification  undefined: nothing was verified
 * @returns one line or several, folded, without a line break at the end
 */
export function authenticationResults(authservId: string, verification: Verification | undefined): string {
  if (verification === undefined) return `${value(authservId)}; none`
  const { signatures, arc } = verification
  const results = signatures.length === 0 ? ['dkim=none'] : signatures.map(signatureResult)
  // There is no word for a chain that nobody could ask about.
  if (arc.status !== 'unknown') results.push(`arc=${arc.status}`)
  return [value(authservId), ...results].join(';\r\n ')
}

function signatureResult({ result, domain, selector, algorithm, signatureStart }: JudgedSignature): string {
  const properties: [name: string, text: string | undefined][] = [
    ['header.d', domain],
    ['header.s', selector],
    ['header.a', algorithm],
    ['header.b', signatureStart === '' ? undefined : signatureStart],
  ]
  let text = `dkim=${result}`
  let column = 1 + text.length
  for (const [name, word] of properties) {
    if (word === undefined) continue
    const property = `${name}=${value(word)}`
    const folds = column + 1 + property.length > 77 // RFC 5322 §2.1.1, and the semicolon
    text += (folds ? '\r\n  ' : ' ') + property
    column = folds ? 2 + property.length : column + 1 + property.length
  }
  return text
}

// RFC 2045 §5.1 token.
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`{|}~-]+$/

/** A token, else a quoted-string; what can be in neither goes. */
function value(text: string): string {
  return TOKEN.test(text) ? text : `"${text.replaceAll(/[^ -~]/g, '').replaceAll(/["\\]/g, String.raw`\$&`)}"`
}
