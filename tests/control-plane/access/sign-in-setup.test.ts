// The sign-in made of an installation's settings signs people in, of the tenants that they name and no others. (AZ-1)
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { beginSignIn, finishSignIn } from '../../../control-plane/access/entra-sign-in.ts'
import { setUpSignIn } from '../../../control-plane/access/sign-in-setup.ts'
import type { EntraSettings } from '../../../control-plane/settings.ts'
import { startEntra } from '../../../sandbox/entra/entra.ts'
import {
  ALICE,
  BOB,
  CONTOSO,
  entraSeed,
  FABRIKAM,
  makeAppCertificate,
  REDIRECT_URI,
  SIGN_IN_APP,
} from '../../harness/entra-seed.ts'

const certificate = makeAppCertificate()
const deps = {
  mode: 'evaluation',
  publicUrl: new URL(new URL(REDIRECT_URI).origin),
  sealer: { seal: (plain: Uint8Array) => plain, unseal: (sealed: Uint8Array) => sealed },
  now: Date.now,
} as const

async function aSetting(t: TestContext, more: Partial<EntraSettings> = {}) {
  const entra = await startEntra({ seed: entraSeed(certificate), now: Date.now })
  const directory = mkdtempSync(join(tmpdir(), 'causeway-sign-in-'))
  t.after(async () => {
    rmSync(directory, { recursive: true })
    await entra.close()
  })
  const [certificateFile, keyFile] = [join(directory, 'app.pem'), join(directory, 'app.key')]
  writeFileSync(certificateFile, certificate.certificate)
  writeFileSync(keyFile, certificate.privateKey)
  const settings: EntraSettings = {
    cloud: 'global',
    tenantId: CONTOSO.toUpperCase(),
    clientId: SIGN_IN_APP.toUpperCase(),
    certificateFile,
    keyFile,
    signInTenants: [],
    sandboxUrl: new URL(entra.url),
    ...more,
  }
  const outcomeOf = async (user: string) => {
    const signIn = await setUpSignIn(settings, deps)
    const { url, flow } = await beginSignIn({}, signIn)
    const answer = entra.control.decide(url, { kind: 'approve', user, hasMfa: true })
    assert.ok(answer.kind === 'redirect')
    return finishSignIn(flow, new URL(answer.location).searchParams, signIn)
  }
  return { settings, outcomeOf }
}

test('AZ-1: with one tenant its people sign in, and others are turned away by Entra itself', async (t) => {
  const { settings, outcomeOf } = await aSetting(t)
  assert.equal((await outcomeOf(ALICE.userPrincipalName)).kind, 'signed-in')
  assert.equal((await outcomeOf(BOB.userPrincipalName)).kind, 'denied')
  const { app, endpoint } = await setUpSignIn(settings, deps)
  assert.deepEqual(
    [app.tenant, app.redirectUri, endpoint.reachAt],
    [CONTOSO, REDIRECT_URI, settings.sandboxUrl?.origin],
  )
})

test('AZ-1: with several tenants the people of each sign in', async (t) => {
  const { outcomeOf } = await aSetting(t, { signInTenants: [FABRIKAM] })
  for (const user of [ALICE, BOB]) assert.equal((await outcomeOf(user.userPrincipalName)).kind, 'signed-in')
})

test('a sandbox in production, and a key that is none, stop the start without telling the key', async (t) => {
  const { settings } = await aSetting(t)
  await assert.rejects(setUpSignIn(settings, { ...deps, mode: 'production' }), /for evaluation only/)
  const wrong = { ...settings, keyFile: settings.certificateFile }
  await assert.rejects(setUpSignIn(wrong, deps), (error: Error) => {
    assert.match(error.message, /not a certificate and a private key in PEM/)
    return error.cause === undefined
  })
})
