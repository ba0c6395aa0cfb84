// Where a browser goes after signing in: a page of this origin, and nothing that a URL parser could take for another (no open redirect). Pure.

const MAX_CHARACTERS = 1_000
const NOWHERE = 'http://page.invalid'

/** The path, query and fragment in their normal form; undefined for what is no page here. */
export function parseReturnTo(text: string): string | undefined {
  // Visible ASCII only: parsers drop tabs and line breaks, and read a backslash as a slash.
  if (text.length > MAX_CHARACTERS || !/^\/(?!\/)[\x21-\x5b\x5d-\x7e]*$/.test(text)) return undefined
  const url = URL.parse(text, NOWHERE)
  if (url === null || url.origin !== NOWHERE || url.pathname.startsWith('//')) return undefined
  // An answer for scripts is no page, and the sign-in itself would go round in circles.
  if (/^\/api(\/|$)/i.test(url.pathname)) return undefined
  return url.pathname + url.search + url.hash
}
