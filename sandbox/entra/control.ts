// What tests and the tour do to the simulated Entra that no person could do by its pages: decide in somebody's place, revoke, rotate keys, lie.
import { beginAdminConsent, decideAdminConsent } from './admin-consent.ts'
import { beginAuthorize, decideAuthorize } from './authorize.ts'
import type { Asked, Decision } from './authorize.ts'
import type { EntraState } from './entra-state.ts'
import type { Fault } from './faults.ts'
import type { HostileToken } from './hostile-tokens.ts'
import type { AppSeed } from './seed.ts'
import type { Answer } from './reply.ts'

export class EntraControl {
  readonly #state: EntraState

  constructor(state: EntraState) {
    this.#state = state
  }

  /**
   * Answers an authorization or admin consent URL as a person would at his browser.
   * @param url  as the application made it, at whatever origin
   * @throws when `url` is neither, or nobody would be asked for it
   */
  decide(url: string, decision: Decision): Answer {
    const { action, asked } = readInteraction(url)
    if (action === 'adminconsent') {
      const first = beginAdminConsent(this.#state, asked)
      return first.kind === 'page' && first.status === 200 ? decideAdminConsent(this.#state, asked, decision) : first
    }
    // Asked as by a browser that nobody has signed in with; a refusal then is the answer.
    const first = beginAuthorize(this.#state, asked, undefined)
    const isChoice = first.kind === 'page' && first.status === 200
    return isChoice ? decideAuthorize(this.#state, asked, decision).answer : first
  }

  /** @param user  user principal name */
  setEnabled(user: string, isEnabled: boolean): void {
    this.#state.directory.setEnabled(user, isEnabled)
  }

  /** As `revokeSignInSessions`: refresh tokens and browser sessions of this person end. */
  revokeSessions(user: string): void {
    this.#state.directory.personByName(user).sessionGeneration++
  }

  /** @param tenant  GUID or domain */
  grantConsent(tenant: string, clientId: string): void {
    const { directory } = this.#state
    directory.consent(directory.tenant(tenant).id, directory.app(clientId))
  }

  withdrawConsent(tenant: string, clientId: string): void {
    const { directory } = this.#state
    directory.withdrawConsent(directory.tenant(tenant).id, directory.app(clientId))
  }

  /** Switches the application off, or on again, for one tenant. @throws EntraError 700016 when that doesn't know it */
  setAppEnabled(tenant: string, clientId: string, isEnabled: boolean): void {
    const { directory } = this.#state
    directory.setPrincipalState(directory.tenant(tenant).id, directory.app(clientId), { isDisabled: !isEnabled })
  }

  /** As a Conditional Access policy for workload identities does. @throws EntraError 700016 */
  blockApp(tenant: string, clientId: string, isBlocked: boolean): void {
    const { directory } = this.#state
    directory.setPrincipalState(directory.tenant(tenant).id, directory.app(clientId), { isBlocked })
  }

  /** @throws ControlFault; EntraError 90002 when its home is no tenant */
  registerApp(seed: AppSeed): void {
    const { directory } = this.#state
    const homeTenant = directory.tenant(seed.homeTenant).id
    directory.changeRegistrations((registrations) => registrations.register({ ...seed, homeTenant }))
  }

  /** What the application asks for at the next consent; what was granted stays. */
  setPermissions(clientId: string, permissions: Readonly<Record<string, readonly string[]>>): void {
    const { directory } = this.#state
    const app = directory.app(clientId)
    directory.changeRegistrations((registrations) => registrations.setPermissions(app, permissions))
  }

  /** As an administrator uploads it. @param pem  X.509. @returns thumbprints in hexadecimal. @throws ControlFault when it is none */
  addCertificate(clientId: string, pem: string): { sha1: string; sha256: string } {
    const { directory } = this.#state
    const app = directory.app(clientId)
    return directory.changeRegistrations((registrations) => registrations.addCertificate(app, pem))
  }

  /** @param thumbprint  SHA-1 or SHA-256, in hexadecimal. @throws ControlFault */
  removeCertificate(clientId: string, thumbprint: string): void {
    const { directory } = this.#state
    const app = directory.app(clientId)
    directory.changeRegistrations((registrations) => registrations.removeCertificate(app, thumbprint))
  }

  /** Puts a new key into the tenant's key set; it signs nothing before `useNewestKey`. */
  async publishNextKey(tenant: string): Promise<void> {
    await (await this.#keysOf(tenant)).publishNext()
  }

  async useNewestKey(tenant: string): Promise<void> {
    ;(await this.#keysOf(tenant)).useNewest()
  }

  async dropOldKeys(tenant: string): Promise<void> {
    ;(await this.#keysOf(tenant)).dropOld()
  }

  /** The next ID token, and only that, is this one. */
  makeNextIdToken(kind: HostileToken): void {
    this.#state.nextIdToken = kind
  }

  /** @param url  undefined: tell the truth again */
  pointKeysElsewhere(url: string | undefined): void {
    this.#state.keysElsewhere = url
  }

  addFault(fault: Fault): void {
    this.#state.faults.add(fault)
  }

  #keysOf(tenant: string) {
    return this.#state.keysOf(this.#state.directory.tenant(tenant))
  }
}

function readInteraction(text: string): { action: 'authorize' | 'adminconsent'; asked: Asked } {
  const url = new URL(text)
  const [, tenant, action] = /^\/([^/]+)\/(?:oauth2\/)?v2\.0\/(authorize|adminconsent)$/.exec(url.pathname) ?? []
  if (tenant === undefined || (action !== 'authorize' && action !== 'adminconsent')) {
    throw new Error('not an address at which somebody decides')
  }
  return { action, asked: { tenant: decodeURIComponent(tenant), query: url.searchParams } }
}
