// The assessment of the two simulated organisations, from their consent over the network to the report: what their seed holds on purpose is found.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { discoveryRoutes } from '../../../control-plane/discovery/discovery-routes.ts'
import { assessmentReportRoutes } from '../../../control-plane/findings/assessment-report.ts'
import { findingRoutes } from '../../../control-plane/findings/finding-routes.ts'
import type { FindingCode } from '../../../control-plane/findings/finding-kinds.ts'
import { requestFindings } from '../../../control-plane/findings/finding-run-store.ts'
import { runFindingsJob } from '../../../control-plane/findings/run-findings.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { testApi } from '../../harness/api.ts'
import { connectedProject } from '../../harness/connected-project.ts'
import { runJob } from '../../harness/run-job.ts'
import { testSandbox } from '../../harness/sandbox.ts'
import { testSealer } from '../../harness/sealer.ts'

let sealer: Sealer | undefined
const api = await testApi({ after }, async ({ database, log }) => {
  sealer = await testSealer({ after }, database, log)
  return [...tenantRoutes(), ...discoveryRoutes(), ...findingRoutes(), ...assessmentReportRoutes({ db: database.db })]
})

/** What the seed holds on purpose. */
const EXPECTED: readonly FindingCode[] = [
  'address-plus',
  'archive',
  'auto-expanding-archive',
  'contact-of-other-tenant',
  'data-location-set',
  'disabled-with-mailbox',
  'display-name-double',
  'domain-federated',
  'domain-in-two-tenants',
  'domain-relayed',
  'domain-unverified',
  'drive-many-files',
  'drive-over-1-tb',
  'dynamic-distribution-group',
  'dynamic-group',
  'forwarding-blocked',
  'forwarding-outside',
  'forwarding-set',
  'group-cycle',
  'group-empty',
  'group-needs-exchange',
  'group-nested',
  'group-without-owner',
  'guest-account',
  'guest-of-other-tenant',
  'guest-pending',
  'hidden-account',
  'inbound-connector-in-the-way',
  'licences-short-in-target',
  'litigation-hold',
  'mailbox-many-items',
  'mailbox-over-50-gb',
  'name-direction-override',
  'name-formula',
  'name-invisible-characters',
  'name-markup',
  'nickname-taken-in-target',
  'no-drive',
  'no-mailbox',
  'onmicrosoft-sender',
  'organization-relationship-exists',
  'plus-addressing-off',
  'reject-direct-send',
  'remote-domain-blocks-forwarding',
  'remote-domain-tnef',
  'retention-hold',
  'rules-route-to-connector',
  'rules-stop-processing',
  'send-from-alias',
  'synced-account',
  'synced-group',
  'tenant-dehydrated',
  'tenant-synced',
  'terrl-forecast',
  'upn-taken-in-target',
  'usage-location-missing',
  'value-cut',
]

test('issue 5: a consent and two discoveries come to an assessment of what the seed holds', async (t) => {
  const { contoso, fabrikam } = seedTenants(1)
  const sandbox = await testSandbox(t, { tenants: [contoso, fabrikam] })
  assert.ok(sealer)
  const project = await connectedProject(api, sandbox, { sealer, discoverDeps: { onCompleted: requestFindings } })
  const judge = () =>
    runJob(
      api.database.db,
      { organisation: project.organisation, kind: 'findings.run', object: project.project },
      runFindingsJob({ now: sandbox.clock.nowMs }),
    )
  const reported = async () => {
    const { body } = await api.request('GET', `${project.path}/reports/assessment`, undefined, { key: project.key })
    return body.findings as { code: FindingCode }[]
  }
  await judge() // the consent asked for it
  assert.deepEqual(
    (await reported()).map(({ code }) => code),
    ['tenant-not-discovered', 'tenant-not-discovered'],
  )
  await project.discover(project.source)
  await project.discover(project.target)
  await judge()
  const codes = new Set((await reported()).map(({ code }) => code))
  for (const code of EXPECTED) assert.ok(codes.has(code), `${code} is found`)
  assert.ok(!codes.has('tenant-not-discovered'))
})
