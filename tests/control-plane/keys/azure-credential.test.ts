// Who this process is to Azure: one way, chosen, and never by a client secret (KM-5).
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ClientCertificateCredential, ManagedIdentityCredential, WorkloadIdentityCredential } from '@azure/identity'
import { azureCredential } from '../../../control-plane/keys/azure-credential.ts'
import type { AzureIdentity } from '../../../control-plane/keys/azure-credential.ts'

const TENANT = '00000000-0000-4000-8000-000000000001'
const identities: [identity: AzureIdentity, expected: new (...args: never[]) => object][] = [
  [{ kind: 'managed' }, ManagedIdentityCredential],
  [{ kind: 'managed', clientId: TENANT }, ManagedIdentityCredential],
  [{ kind: 'workload', clientId: TENANT, tenantId: TENANT, tokenFile: '/run/token' }, WorkloadIdentityCredential],
  [
    { kind: 'certificate', tenantId: TENANT, clientId: TENANT, certificateFile: '/run/cert.pem' },
    ClientCertificateCredential,
  ],
]
for (const [identity, expected] of identities) {
  test(`KM-5: ${JSON.stringify(identity)} is a ${expected.name}, and no chain that tries others`, () => {
    assert.equal(azureCredential(identity).constructor, expected)
  })
}

test('KM-5: nothing in the key room knows a credential by client secret', () => {
  const source = readFileSync(new URL('../../../control-plane/keys/azure-credential.ts', import.meta.url), 'utf8')
  assert.doesNotMatch(source, /ClientSecretCredential|DefaultAzureCredential|EnvironmentCredential|clientSecret/)
})
