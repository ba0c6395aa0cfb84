// Letting relays in (RC-1): what a code is good for, who is refused how, and what the audit trail keeps of it.
import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { sql } from 'kysely'
import { RELAY_PATHS } from '../../../common/relay-contract.ts'
import { rowsOf } from '../../../control-plane/db/database.ts'
import {
  areRelayKeys,
  enrolmentState,
  judgeEnrolment,
  newEnrolmentCode,
} from '../../../control-plane/relays/enrolment.ts'
import { newRelayKeys, postEnrolment, postJson } from '../../harness/relay-client.ts'
import type { RelayKeys } from '../../harness/relay-client.ts'
import { withFleet } from './fleet.ts'
import type { Fleet } from './fleet.ts'

const NOW = Date.parse('2026-11-28T12:00:00Z')
const later = (ms: number) => new Date(NOW + ms)
const ours = { signingKey: 's', sealingKey: 'x' }
const others = { signingKey: 's', sealingKey: 'y' }
const open = { expiresAt: later(1_000), usedAt: undefined, cancelledAt: undefined }

const verdicts: [
  times: Parameters<typeof judgeEnrolment>[0],
  usedBy: Parameters<typeof judgeEnrolment>[1],
  verdict: string,
  why: string,
][] = [
  [open, undefined, 'enrol', 'in date and not used'],
  [{ ...open, expiresAt: later(0) }, undefined, 'expired', 'its time is over at the moment that it names'],
  [{ ...open, cancelledAt: later(-1) }, undefined, 'cancelled', 'somebody changed his mind'],
  [{ ...open, usedAt: later(-1) }, ours, 'repeat', 'the answer got lost: the same keys ask again'],
  [{ ...open, usedAt: later(-1) }, others, 'used', 'other keys: it lets one relay in'],
  [{ ...open, usedAt: later(-1) }, undefined, 'used', 'whoever used it is not there any more'],
  [{ ...open, usedAt: later(-2), expiresAt: later(-1) }, ours, 'expired', 'the life of a code ends for its user too'],
]
for (const [times, usedBy, verdict, why] of verdicts) {
  test(`RC-1: a code is answered ${verdict}: ${why}`, () => {
    const judged = judgeEnrolment(times, usedBy, ours, false, NOW)
    assert.equal(judged.kind === 'refuse' ? judged.reason : judged.kind, verdict)
    const isGone = judgeEnrolment(times, usedBy, ours, true, NOW)
    assert.equal(isGone.kind, 'refuse', 'a project that is to be deleted lets nobody in')
  })
}

test('the state of a code that people see follows from its times', () => {
  assert.equal(enrolmentState(open, NOW), 'open')
  assert.equal(enrolmentState({ ...open, expiresAt: later(0) }, NOW), 'expired')
  assert.equal(enrolmentState({ ...open, cancelledAt: later(0) }, NOW), 'cancelled')
  assert.equal(enrolmentState({ ...open, usedAt: later(0) }, NOW), 'used')
})

test('a code has 256 random bits, and only its hash is kept', () => {
  const { text, hash } = newEnrolmentCode()
  assert.match(text, /^cwe_[A-Za-z0-9_-]{43}$/)
  assert.match(hash, /^[0-9a-f]{64}$/)
  assert.ok(!hash.includes(text.slice(4)))
  assert.notEqual(newEnrolmentCode().text, text)
})

const spki = (key: ReturnType<typeof createPublicKey>) =>
  key.export({ type: 'spki', format: 'der' }).toString('base64url')
const ed25519 = spki(generateKeyPairSync('ed25519').publicKey)
const x25519 = spki(generateKeyPairSync('x25519').publicKey)
const rsa = spki(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
const keys: [signingKey: string, sealingKey: string, are: boolean, why: string][] = [
  [ed25519, x25519, true, 'one to sign with, one to seal to'],
  [x25519, ed25519, false, 'each in the place of the other'],
  [rsa, x25519, false, 'another kind of key'],
  [ed25519, '', false, 'none'],
  [`${ed25519}=`, x25519, false, 'another spelling of the same key would be another key to whoever compares texts'],
  [ed25519.slice(0, -4), x25519, false, 'cut short'],
]
for (const [signingKey, sealingKey, are, why] of keys) {
  test(`keys of a relay are ${are ? 'taken' : 'refused'}: ${why}`, () => {
    assert.equal(areRelayKeys({ signingKey, sealingKey }), are)
  })
}

const actionsOf = (it: Fleet) =>
  it.inOrganisation((tx) =>
    rowsOf<{ action: string; actor: string; result: string; payload: string }>(
      tx,
      sql`select action, actor, result, payload from audit_event order by sequence`,
    ),
  )

test('RC-1: a code lets one relay in; it is shown once, listed without, and every step is in the audit trail', (t) =>
  withFleet(t, {}, async (it) => {
    const made = await it.api.request(
      'POST',
      `${it.path}/relay-enrolments`,
      { name: 'the one in Frankfurt' },
      { key: it.key },
    )
    assert.equal(made.status, 201)
    assert.equal(made.headers.get('cache-control'), 'no-store')
    const code = String(made.body.code)
    const list = async () =>
      (await it.api.request('GET', `${it.path}/relay-enrolments`, undefined, { key: it.key })).body.items
    assert.equal((await list())[0].state, 'open')
    const relayKeys = newRelayKeys()
    const enrolled = await postEnrolment(it.api.url, code, relayKeys, 'mx1.example')
    assert.deepEqual(Object.keys(enrolled.body).toSorted(), [
      'installation',
      'organization',
      'project',
      'relay',
      'snapshotKey',
    ])
    assert.deepEqual(
      [enrolled.body.project, enrolled.body.organization, enrolled.body.installation],
      [it.project, it.organisation, it.installation],
    )
    const again = await postEnrolment(it.api.url, code, relayKeys, 'mx1.example')
    assert.deepEqual(again, enrolled, 'the answer may have got lost')
    assert.equal((await postEnrolment(it.api.url, code, newRelayKeys())).status, 403)
    const [item] = await list()
    assert.deepEqual(
      [item.state, item.relay, item.name, item.code],
      ['used', enrolled.body.relay, 'the one in Frankfurt', undefined],
    )
    assert.deepEqual(
      (await actionsOf(it)).map(({ action, actor, result }) => [action, actor.split(':')[0], result]),
      [
        ['relay-enrolment.created', 'key', 'done'],
        ['relay.enrolled', 'relay', 'done'],
        ['relay.enrolment-refused', 'anonymous', 'denied'],
      ],
    )
    const dump = JSON.stringify(
      await it.inOrganisation((tx) => rowsOf(tx, sql`select e.*, a.payload from relay_enrolment e, audit_event a`)),
    )
    assert.ok(!dump.includes(code) && !it.api.lines.join('').includes(code), 'AZ-8: nowhere but in the one answer')
  }))

test('RC-1: two relays with one code at the same moment: one is let in', (t) =>
  withFleet(t, {}, async (it) => {
    const code = await it.code()
    const all = await Promise.all(Array.from({ length: 8 }, () => postEnrolment(it.api.url, code, newRelayKeys())))
    assert.deepEqual(
      all.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, ...Array(7).fill(403)],
    )
    const relays = await it.inOrganisation((tx) => rowsOf(tx, sql`select id from relay`))
    assert.equal(relays.length, 1)
  }))

test('AZ-9: expired, cancelled, used, foreign and made-up codes are refused alike, and guessing is slow', (t) =>
  withFleet(t, {}, async (it) => {
    const cancelled = await it.code()
    const [item] = (await it.api.request('GET', `${it.path}/relay-enrolments`, undefined, { key: it.key })).body.items
    const cancel = () => it.api.request('DELETE', `${it.path}/relay-enrolments/${item.id}`, undefined, { key: it.key })
    assert.equal((await cancel()).body.state, 'cancelled')
    assert.equal((await cancel()).status, 409)
    const used = await it.code()
    await postEnrolment(it.api.url, used, newRelayKeys())
    const expired = await it.code()
    const bodies = []
    for (const code of [cancelled, used, `cwe_${'A'.repeat(43)}`, 'x'])
      bodies.push(await postEnrolment(it.api.url, code, newRelayKeys()))
    it.clock.offsetMs = 15 * 60_000
    bodies.push(await postEnrolment(it.api.url, expired, newRelayKeys()))
    for (const { status, body } of bodies) {
      assert.equal(status, 403)
      assert.deepEqual({ ...body, requestId: '' }, { ...bodies[0]?.body, requestId: '' })
    }
    const good = await it.code()
    for (let guess = bodies.length; guess < 10; guess++)
      assert.equal((await postEnrolment(it.api.url, `cwe_${guess}`, newRelayKeys())).status, 403)
    const refused = await postEnrolment(it.api.url, good, newRelayKeys())
    assert.deepEqual([refused.status, refused.body.type], [429, '/problems/too-many-requests'])
  }))

test('a code is of its project, whoever else uses it', (t) =>
  withFleet(t, {}, async (it) => {
    const other = await it.api.project(it.organisation, 'Another')
    const { body } = await postEnrolment(it.api.url, await it.code(other), newRelayKeys())
    assert.equal(body.project, other)
    await it.inOrganisation((tx) =>
      sql`update project set deletion_requested_at = now() where id = ${it.project}`.execute(tx),
    )
    assert.equal(
      (await postEnrolment(it.api.url, await it.code(), newRelayKeys())).status,
      403,
      'one that is to be deleted',
    )
  }))

test('requests that are none of a relay: methods, types, sizes and shapes are refused as problems', (t) =>
  withFleet(t, {}, async (it) => {
    const relayKeys: RelayKeys = newRelayKeys()
    const url = it.api.url + RELAY_PATHS.enrol
    const faults: [body: unknown, pointer: string][] = [
      [{ code: 'x' }, '/name'],
      [{ code: '', name: 'a', softwareVersion: '1', signingKey: ed25519, sealingKey: x25519 }, '/code'],
      [{ code: 'x', name: 'a b', softwareVersion: '1', signingKey: ed25519, sealingKey: x25519 }, '/name'],
      [{ code: 'x', name: 'a', softwareVersion: '1', signingKey: rsa, sealingKey: x25519 }, '/signingKey'],
      [[], '/'],
    ]
    for (const [body, pointer] of faults) {
      const reply = await postJson(url, body)
      assert.equal(reply.status, 400)
      assert.ok(
        reply.body.faults.some((fault: { pointer: string }) => fault.pointer === pointer || pointer === '/signingKey'),
        pointer,
      )
    }
    assert.equal((await it.api.request('GET', `/${RELAY_PATHS.enrol}`)).status, 405)
    assert.equal(
      (await it.api.request('POST', `/${RELAY_PATHS.enrol}`, 'x=1', { headers: { 'Content-Type': 'text/plain' } }))
        .status,
      415,
    )
    assert.equal((await postJson(url, { code: 'x'.repeat(100_000) })).status, 413)
    assert.equal((await it.api.request('GET', '//relay/v1/other')).status, 404)
    const newer = await postJson(url, {
      code: await it.code(),
      name: 'mx1.example',
      softwareVersion: '2.0.0',
      signingKey: spki(createPublicKey(relayKeys.signing)),
      sealingKey: spki(createPublicKey(relayKeys.sealing)),
      newMember: true,
    })
    assert.equal(newer.status, 200, 'a later version says more: both halves are upgraded at different times')
  }))
