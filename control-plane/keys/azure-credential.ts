// How this process proves to Azure who it is: as a workload (Kubernetes), by the machine's managed identity, or by a certificate. No client
// secrets: one that leaks is good from anywhere for months (KM-5, KM-6). The choice is explicit; a chain that tries everything would use
// whatever a developer happened to be signed in as.
import { ClientCertificateCredential, ManagedIdentityCredential, WorkloadIdentityCredential } from '@azure/identity'
import type { TokenCredential } from '@azure/identity'

export type AzureIdentity =
  | { readonly kind: 'workload'; readonly clientId?: string; readonly tenantId?: string; readonly tokenFile?: string }
  | { readonly kind: 'managed'; readonly clientId?: string }
  | {
      readonly kind: 'certificate'
      readonly tenantId: string
      readonly clientId: string
      /** PEM file with certificate and private key. */
      readonly certificateFile: string
      /** Where tokens come from, in clouds of their own. */
      readonly authorityHost?: string
    }

export function azureCredential(identity: AzureIdentity): TokenCredential {
  switch (identity.kind) {
    case 'workload':
      return new WorkloadIdentityCredential({
        ...(identity.clientId === undefined ? {} : { clientId: identity.clientId }),
        ...(identity.tenantId === undefined ? {} : { tenantId: identity.tenantId }),
        ...(identity.tokenFile === undefined ? {} : { tokenFilePath: identity.tokenFile }),
      })
    case 'managed':
      return identity.clientId === undefined
        ? new ManagedIdentityCredential()
        : new ManagedIdentityCredential({ clientId: identity.clientId })
    case 'certificate':
      return new ClientCertificateCredential(
        identity.tenantId,
        identity.clientId,
        { certificatePath: identity.certificateFile },
        identity.authorityHost === undefined ? {} : { authorityHost: identity.authorityHost },
      )
    default:
      return identity satisfies never
  }
}
