// An administrator's browser at the product and at the simulated Entra ID: it follows links, keeps cookies, and picks an account on the page that
// offers some.

const MAX_HOPS = 12
const WITHIN_MS = 60_000

export class Browser {
  /** By origin and name: the product and Entra are on one host, and tell each other nothing. */
  readonly #cookies = new Map<string, Map<string, string>>()

  /** As `user`; default: as the first person that each page offers, since administrators come first. @returns the last page. @throws when it goes in a circle */
  async visit(link: string, user?: string): Promise<string> {
    let url = link
    let form: URLSearchParams | undefined
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      const response = await this.#open(url, form)
      const page = await response.text()
      form = undefined
      const location = response.headers.get('location')
      if (location !== null) {
        url = new URL(location, url).href
        continue
      }
      const action = /<form method="post" action="([^"]+)"/.exec(page)?.[1]
      if (action === undefined) return page
      url = new URL(unescapeHtml(action), url).href
      form = new URLSearchParams({
        action: valueOf(page, 'action'),
        query: valueOf(page, 'query'),
        user: user ?? valueOf(page, 'user'),
        mfa: 'yes',
      })
    }
    throw new Error('the link leads in a circle')
  }

  /** Of one origin, as a request sends them. */
  cookies(origin: string): string {
    return [...(this.#cookies.get(origin) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  async #open(url: string, form: URLSearchParams | undefined): Promise<Response> {
    const { origin } = new URL(url)
    const cookie = this.cookies(origin)
    const response = await fetch(url, {
      redirect: 'manual',
      headers: cookie === '' ? {} : { Cookie: cookie },
      ...(form === undefined ? {} : { method: 'POST', body: form }),
      signal: AbortSignal.timeout(WITHIN_MS),
    })
    const kept = this.#cookies.get(origin) ?? new Map<string, string>()
    this.#cookies.set(origin, kept)
    for (const text of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (text.split(';', 1)[0] ?? '').split(/=(.*)/s, 2)
      kept.set(name, value)
    }
    return response
  }
}

const valueOf = (page: string, name: string): string =>
  unescapeHtml(new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? '')

const unescapeHtml = (text: string): string =>
  text.replaceAll(/&#(\d+);/g, (_all, code: string) => String.fromCodePoint(Number(code)))
