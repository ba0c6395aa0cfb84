// Signing in as a person, for what no API key of everyday use may do: switching coexistence off wants somebody who proved who he is a moment ago. (AZ-6)
import { ApiClient } from './api-client.ts'
import { Browser } from './browser.ts'

/** @param user  a member of the organisation, by user principal name @returns the API as he asks it */
export async function signInAfresh(api: ApiClient, user: string): Promise<ApiClient> {
  const { origin } = new URL(api.url)
  const browser = new Browser()
  await browser.visit(`${api.url}/session/sign-in?fresh=1`, user)
  const asHim = { Cookie: browser.cookies(origin), Origin: origin }
  const { body } = await new ApiClient({ url: api.url, headers: asHim }).get('/session')
  return new ApiClient({ url: api.url, headers: { ...asHim, 'X-CSRF-Token': String(body['csrfToken']) } })
}
