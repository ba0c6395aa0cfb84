// Guessed bearer tokens: counted by address, answered alike, whatever was wrong with them. (AZ-9)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { apiKeyRoutes } from '../../../control-plane/access/api-key-routes.ts'
import { newApiKey } from '../../../control-plane/access/api-key.ts'
import { FailureLimit } from '../../../control-plane/access/failure-limit.ts'
import { meRoutes } from '../../../control-plane/access/me-routes.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'

const MINUTE = 60_000

async function aSetting(t: TestContext) {
  const clock = { now: Date.parse('2026-11-22T10:00:00Z') }
  const monotonic = { now: 0 }
  const failures = new FailureLimit(() => monotonic.now)
  const routes = () => [...apiKeyRoutes(), ...meRoutes()]
  return { it: await testApi(t, routes, { now: () => clock.now, failures }), clock, monotonic }
}

/** A signed-in auditor. */
async function person(it: TestApi, organisation: OrganisationId) {
  const { principal } = await it.member(organisation, 'auditor')
  return it.session({ principal })
}

test('AZ-9: ten bad bearer tokens a minute, and the address is 429, good tokens included; sessions go on', async (t) => {
  const { it, monotonic } = await aSetting(t)
  const { id, key } = await it.organisation()
  const { headers } = await person(it, id)
  for (let n = 0; n < 10; n++)
    assert.equal((await it.request('GET', '/me', undefined, { key: newApiKey().text })).status, 401)
  const { status, headers: answered } = await it.request('GET', '/me', undefined, { key })
  assert.deepEqual([status, answered.get('retry-after')], [429, '60'])
  assert.equal((await it.request('GET', '/me', undefined, { headers })).status, 200)
  monotonic.now += MINUTE
  assert.equal((await it.request('GET', '/me', undefined, { key })).status, 200)
})

test('AZ-9: sessions that have ended are no guesses', async (t) => {
  const { it } = await aSetting(t)
  const { key } = await it.organisation()
  const Cookie = `__Host-causeway=${'a'.repeat(43)}`
  for (let n = 0; n < 20; n++)
    assert.equal((await it.request('GET', '/me', undefined, { headers: { Cookie } })).status, 401)
  assert.equal((await it.request('GET', '/me', undefined, { key })).status, 200)
})

test('AZ-9: a token that never was, one of the wrong form, a revoked and an expired one are answered alike', async (t) => {
  const { it, clock, monotonic } = await aSetting(t)
  const { id } = await it.organisation()
  const { headers } = await person(it, id)
  const make = async () =>
    (await it.request('POST', `/organizations/${id}/api-keys`, { name: 'k', permissions: ['audit.read'] }, { headers }))
      .body
  const [revoked, expired] = [await make(), await make()]
  await it.request('DELETE', `/organizations/${id}/api-keys/${revoked.key.id}`, undefined, { headers })
  clock.now += 91 * 24 * 60 * MINUTE
  const answers = new Map<string, { text: string; times: number[] }>()
  const tokens = { unknown: newApiKey().text, malformed: 'cwk_short', revoked: revoked.secret, expired: expired.secret }
  for (let n = 0; n < 30; n++) {
    for (const [name, key] of Object.entries(tokens)) {
      monotonic.now += MINUTE
      const started = performance.now()
      const { status, body } = await it.request('GET', '/me', undefined, { key })
      const took = performance.now() - started
      const { requestId, ...rest } = body
      assert.equal(typeof requestId, 'string')
      const text = JSON.stringify([status, rest])
      answers.set(name, { text, times: [...(answers.get(name)?.times ?? []), took] })
    }
  }
  assert.equal(new Set([...answers.values()].map(({ text }) => text)).size, 1)
  const median = (name: keyof typeof tokens) => answers.get(name)?.times.toSorted((a, b) => a - b)[15] ?? 0
  // The form is no secret; whether a token of the right form is, or was, one must not show.
  const medians = [median('unknown'), median('revoked'), median('expired')]
  assert.ok(Math.max(...medians) < 2 * Math.min(...medians) + 2, medians.join(' '))
})
