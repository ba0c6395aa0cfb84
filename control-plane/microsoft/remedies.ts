// What an administrator is told about each code: one line of cause, one of what to do (migration-semantics.md §8). Used wherever a MicrosoftError is
// shown: health, findings, problems of operations. Text only, the same for everybody: the service's code and request id stand beside it.
import type { MicrosoftErrorCode } from './microsoft-error.ts'

export interface Remedy {
  readonly cause: string
  /** What to do; for what passes by itself, that nothing is to be done. */
  readonly remedy: string
}

export const REMEDIES: Readonly<Record<MicrosoftErrorCode, Remedy>> = {
  AUTH_TOKEN: {
    cause:
      'Microsoft Entra ID refuses the application: its certificate, its id, the tenant or the cloud is not the one it knows.',
    remedy:
      'Compare tenant id, cloud and client id with the registration in Entra, and upload the current certificate there. A certificate may take some minutes to be known.',
  },
  CREDENTIAL_EXPIRED: {
    cause: "The application's certificate has expired.",
    remedy:
      'Create a new certificate for the connection, upload it to the registration in Entra, and test the connection again.',
  },
  CLOCK_SKEW: {
    cause: "This server's clock differs from Microsoft's by more than a few minutes.",
    remedy: 'Set the clock of the server by NTP, then test the connection again.',
  },
  CONSENT_MISSING: {
    cause: 'The tenant has not granted the application a permission that this needs, or has withdrawn it.',
    remedy:
      "Let an administrator of the tenant grant consent again: the connection's permissions show which one is missing. A fresh consent may take some minutes to work.",
  },
  RBAC_MISSING: {
    cause: 'Exchange Online does not let the application run this: the consent alone opens nothing there.',
    remedy:
      'Run the commands shown with the connection as an Exchange administrator: they add the application to a role group with the roles it needs. A new role may take up to an hour to work.',
  },
  POLICY_BLOCKED: {
    cause: 'A policy of the tenant keeps the application out, or an administrator has disabled it there.',
    remedy:
      "Look at the sign-in log of the application's service principal in Entra, allow it in the Conditional Access policy for workload identities that is named there, or enable it.",
  },
  THROTTLED: {
    cause: 'Microsoft 365 asks us to send less for a while.',
    remedy:
      'Nothing is to be done: work goes on by itself when the time has passed. Other applications of the tenant share the same limits.',
  },
  TRANSIENT: {
    cause: 'Microsoft 365 did not answer, or answered with a fault of its own.',
    remedy:
      "Nothing is to be done at first: it is tried again. If it lasts, look at the tenant's service health and at this server's way to the internet.",
  },
  NOT_FOUND: {
    cause: 'What was asked for is not there any more, or not yet.',
    remedy: 'Run the discovery again. What was created a moment ago may take some minutes to appear.',
  },
  CONFLICT: {
    cause: 'It was changed by somebody else in the meantime, or something else has its name.',
    remedy: 'Run the discovery again and look at the item in both tenants before trying again.',
  },
  DELTA_RESET: {
    cause: 'Microsoft 365 no longer knows where the last reading of changes ended.',
    remedy: 'Nothing is to be done: everything is read again from the start.',
  },
  LINK_REFUSED: {
    cause: 'An answer pointed to an address that is not one of the services of this cloud, so it was not followed.',
    remedy:
      "Check that the connection's cloud is right and that no proxy rewrites answers. If both are so, give the request id to support.",
  },
  UNEXPECTED: {
    cause: 'Microsoft 365 gave an answer that is not known here.',
    remedy: "Look up the service's code shown with it; give it to support with the request id.",
  },
}
