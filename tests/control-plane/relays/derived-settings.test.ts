// What coexistence makes of the relays' settings while it is not off, pure and as it is pushed. (rewriting.md §13, coexistence.md §1, RC-2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FIRST_SETTING } from '../../../control-plane/coexistence/coexistence.ts'
import type { CoexistenceSetting, SwitchState } from '../../../control-plane/coexistence/coexistence.ts'
import { lockSwitch, storeSwitch, transit } from '../../../control-plane/coexistence/switch-store.ts'
import { derivedSettings } from '../../../control-plane/relays/derived-settings.ts'
import { DEFAULT_DOCUMENT } from '../../../control-plane/relays/settings-document.ts'
import type { SettingsDocument } from '../../../control-plane/relays/settings-document.ts'
import { withFleet } from './fleet.ts'

const HOSTS = { out: 'out.relay.example', in: 'in.relay.example' }
const ON: CoexistenceSetting = { ...FIRST_SETTING, state: 'on', route: 'return', relayHosts: HOSTS }
const own: SettingsDocument = {
  ...DEFAULT_DOCUMENT,
  policy: { route: 'mx', tnef: 'reject' },
  seal: { domain: 'own.example' },
}

const cases: [
  state: SwitchState,
  setting: CoexistenceSetting,
  document: SettingsDocument,
  expected: Partial<SettingsDocument>,
  hosts: string[],
  why: string,
][] = [
  ['off', ON, own, own, [], 'off: as it was written'],
  [
    'on',
    ON,
    own,
    { ...own, policy: { route: 'return', tnef: 'reject' } },
    [HOSTS.out, HOSTS.in],
    'the route is that of the switch, the rest stays',
  ],
  [
    'turning_off',
    { ...ON, state: 'off' },
    own,
    { ...own, policy: { route: 'return', tnef: 'reject' } },
    [HOSTS.out, HOSTS.in],
    'until it is off',
  ],
  [
    'drift',
    { ...FIRST_SETTING, state: 'on' },
    DEFAULT_DOCUMENT,
    { ...DEFAULT_DOCUMENT, policy: { route: 'owner-tenant' } },
    [],
    'without names there are none',
  ],
  [
    'turning_on',
    { ...ON, arcSealingDomain: 'seal.example' },
    DEFAULT_DOCUMENT,
    { ...DEFAULT_DOCUMENT, policy: { route: 'return' }, seal: { domain: 'seal.example' } },
    [HOSTS.out, HOSTS.in],
    'it seals as the tenants are told to believe',
  ],
  [
    'on',
    { ...ON, arcSealingDomain: 'seal.example' },
    own,
    { ...own, policy: { route: 'return', tnef: 'reject' } },
    [HOSTS.out, HOSTS.in],
    'a seal that was written stays',
  ],
]
for (const [state, setting, document, expected, hosts, why] of cases) {
  test(`${state}: ${why}`, () =>
    assert.deepEqual(derivedSettings(document, { state, setting }), { document: expected, hosts }))
}

test('relays are told when it begins, when it is asked to be otherwise, and when it has ended', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const relay = await it.relay()
    await relay.open()
    const place = { organisation: it.organisation, project: it.project }
    const go = async (event: Parameters<typeof transit>[4], setting: Partial<CoexistenceSetting> = {}) => {
      await it.inOrganisation(async (tx) => {
        const at = new Date(it.clock.now())
        const row = await lockSwitch(tx, place)
        const asked = { ...row, setting: { ...row.setting, ...setting }, version: row.version + 1 }
        await storeSwitch(
          tx,
          place,
          await transit(tx, place, asked, 'coexistence', event, { actor: 'test', cause: 'test', at }),
          at,
        )
      })
      await relay.untilVersion((await it.versions()).snapshot)
      const { policy, hosts } = relay.held?.settings ?? {}
      return [policy?.['route'], hosts]
    }
    const hosts = [HOSTS.in, HOSTS.out]
    assert.deepEqual(await go('turn-on', { state: 'on', relayHosts: HOSTS }), ['owner-tenant', hosts])
    assert.deepEqual(await go('reached'), ['owner-tenant', hosts])
    assert.deepEqual(await go('turn-on', { route: 'return' }), ['return', hosts])
    assert.deepEqual(await go('turn-off', { state: 'off' }), ['return', hosts])
    assert.deepEqual(await go('reached'), [undefined, undefined])
  }))
