// What the steps of the tour share: whom they speak to, and what the ones before have found out.
import type { ApiClient, Fields } from './api-client.ts'
import type { Mail } from './mail.ts'
import type { SandboxClient } from './sandbox-client.ts'

export interface Place {
  readonly api: ApiClient
  readonly sandbox: SandboxClient
  readonly mail: Mail
  /** `/projects/prj_…` */
  readonly project: string
  /** By which tenants are connected. */
  readonly connectApp: string
  /** Where the relay takes mail, on this machine. */
  readonly relayPort: number
}

export interface KnownTenant {
  /** The product's. */
  readonly id: string
  readonly side: 'source' | 'target'
  /** In relays' settings. */
  readonly label: string
  /** Microsoft's. */
  readonly tenantId: string
  /** Who may consent for it. */
  readonly administrator: string
  /** Host name of its front door. */
  readonly frontDoor: string
  /** The name in the relay's certificate for it. */
  readonly certificateName: string
}

export interface Tenants {
  readonly source: KnownTenant
  readonly target: KnownTenant
}

/** One that was sent, to be counted again at the end. */
export interface SentMessage {
  readonly messageId: string
  /** Where there has to be one copy each. */
  readonly copies: readonly string[]
}

export interface TourContext extends Place {
  /** Set by the step that connects. */
  tenants: Tenants | undefined
  /** Of each tenant before coexistence is switched on, by tenant id. */
  first: Readonly<Record<string, Fields>> | undefined
  readonly sent: SentMessage[]
  /** Message-ID of what the mapped person wrote, and of the answer to it. */
  letter: string
  answer: string
}

export function tenantsOf({ tenants }: TourContext): Tenants {
  if (tenants === undefined) throw new Error('unreachable: the step that connects comes first')
  return tenants
}
