// Sessions, who am I, API keys, and what tells of the process itself.
import { permissionsAt } from '../../../../control-plane/access/permissions.ts'
import { done, nothing } from './world.ts'
import type { Column, Example, Examples, Verdict, World } from './world.ts'

const ofSession = (column: Column): Verdict => (column.isSession ? 'allowed' : 404)

async function apiKey(world: World): Promise<Example> {
  const body = { name: 'Key', permissions: ['project.read'] }
  const { key } = await done(world, 'POST', `/organizations/${world.organisation}/api-keys`, body)
  return {
    params: { apiKey: key.id as string },
    // Not one's own: only who holds secret.manage where it is for knows of it.
    verdict: ({ standing }) => (standing && permissionsAt(standing, undefined).has('secret.manage') ? 'allowed' : 404),
  }
}

export const SIGN_IN_EXAMPLES: Examples = {
  // Without an identity provider nobody can sign in; what they answer with one is shown where that is tried.
  signIn: () => ({ expects: 302, audits: ['failed'] }),
  finishSignIn: () => ({ expects: 302, audits: ['failed'] }),
  breakGlass: () => ({ body: { code: 'wrong' }, expects: 401, audits: ['denied'] }),
  createEvaluationKey: async ({ api }) => ({
    params: { organization: await foundedNow(api) },
    verdict: ({ name }) => (name === 'the break-glass account' ? 'allowed' : 403),
  }),
  readSession: () => ({ verdict: ofSession }),
  signOut: () => ({ verdict: ofSession }),
  revokeSessions: () => ({ params: { tenant: crypto.randomUUID(), object: crypto.randomUUID() } }),
  readMe: nothing,
  listApiKeys: nothing,
  createApiKey: ({ project }) => ({
    body: { name: 'Mine', permissions: ['project.read'], project },
    // Whom support was granted to is a guest.
    verdict: ({ standing }) => (standing?.isMember === true ? 'allowed' : 409),
  }),
  readApiKey: apiKey,
  revokeApiKey: apiKey,
}

async function foundedNow(api: World['api']): Promise<string> {
  const founder = await api.installationAdministrator()
  const administrator = { tenantId: crypto.randomUUID(), objectId: crypto.randomUUID() }
  const { body } = await api.request('POST', '/organizations', { name: 'Evaluated', administrator }, founder)
  return body.id as string
}

export const MONITORING_EXAMPLES: Examples = {
  isAlive: nothing,
  isReady: nothing,
  readStatus: nothing,
}
