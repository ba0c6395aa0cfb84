import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planNotification } from '../../../mta/bounce/notify.ts'
import type { ReportedAction } from '../../../mta/bounce/notify.ts'
import { aRecord } from '../a-record.ts'

const reply = { code: 550, status: '5.1.1', text: '5.1.1 no such user' }
const dana = { path: 'dana@example.net', received: 'dana@example.net', route: 'owner-tenant' }

const examples: [notify: string | undefined, action: ReportedAction, isTold: boolean, why: string][] = [
  [undefined, 'failed', true, 'without NOTIFY a failure is reported'],
  [undefined, 'relayed', false, 'success is reported on request only'],
  [undefined, 'delayed', false, 'a delay likewise'],
  ['FAILURE', 'failed', true, 'asked for'],
  ['SUCCESS', 'failed', false, 'asked for success only'],
  ['SUCCESS', 'relayed', true, 'the next server will not report it (RFC 3461 §5.2.2)'],
  ['SUCCESS,FAILURE,DELAY', 'delayed', true, 'asked for among others'],
  ['success,failure', 'failed', true, 'keywords have no case'],
  ['DELAY', 'delayed', true, 'asked for'],
  ['DELAY', 'failed', false, 'asked for delays only'],
  ['FAILURE', 'delayed', false, 'asked for failures only'],
  ['SUCCESS', 'delayed', false, 'asked for success only'],
  ['NEVER', 'delayed', false, 'never is never'],
  ['NEVER', 'failed', false, 'never is never'],
  ['NEVER', 'relayed', false, 'never is never'],
]
for (const [notify, action, isTold, why] of examples) {
  test(`DL-4 NOTIFY=${notify ?? '(absent)'}, ${action}: ${why}`, () => {
    const record = aRecord({ recipients: [notify === undefined ? dana : { ...dana, notify }] })
    const { kind } = planNotification(record, [{ index: 0, action, reply, remote: '' }])
    assert.equal(kind, isTold ? 'report' : 'nobody')
  })
}

test('DL-5 the null reverse-path is never told', () => {
  const record = aRecord({ receivedReversePath: '', recipients: [{ ...dana, notify: 'FAILURE' }] })
  assert.deepEqual(planNotification(record, [{ index: 0, action: 'failed', reply, remote: '' }]), { kind: 'nobody' })
})

test('DL-5 a report of our own that fails is a dead letter', () => {
  const record = aRecord({ receivedReversePath: '', isOwnReport: true })
  assert.deepEqual(planNotification(record, [{ index: 0, action: 'failed', reply, remote: '' }]), {
    kind: 'dead-letter',
  })
  assert.deepEqual(planNotification(record, [{ index: 0, action: 'relayed', reply, remote: '' }]), { kind: 'nobody' })
})

test('one report names those recipients only whose sender wants to know', () => {
  const record = aRecord({ recipients: [dana, { ...dana, notify: 'NEVER' }, { ...dana, notify: 'FAILURE' }] })
  const failures = [0, 1, 2].map((index) => ({ index, action: 'failed' as const, reply, remote: '' }))
  const plan = planNotification(record, failures)
  assert.deepEqual(plan.kind === 'report' && plan.recipients.map(({ index }) => index), [0, 2])
})

test('DL-5 automatic mail is told of failures, never of delays', () => {
  const record = aRecord({ isAutomatic: true, recipients: [{ ...dana, notify: 'FAILURE,DELAY' }] })
  const told = (action: ReportedAction) => planNotification(record, [{ index: 0, action, reply, remote: '' }]).kind
  assert.deepEqual([told('failed'), told('delayed')], ['report', 'nobody'])
})

test('DL-5 a report of our own and mail without a sender are never late for anybody', () => {
  for (const nobody of [{ isOwnReport: true }, { receivedReversePath: '' }]) {
    const record = aRecord({ ...nobody, recipients: [{ ...dana, notify: 'DELAY' }] })
    assert.deepEqual(planNotification(record, [{ index: 0, action: 'delayed', reply, remote: '' }]), { kind: 'nobody' })
  }
})
