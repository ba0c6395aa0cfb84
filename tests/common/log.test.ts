import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createLog } from '../../common/log.ts'
import type { LogFields, LogLevel } from '../../common/log.ts'

function logged(write: (log: ReturnType<typeof createLog>) => void, level: LogLevel = 'debug'): string[] {
  const lines: string[] = []
  write(createLog({ write: (line) => lines.push(line), level, now: () => Date.UTC(2026, 10, 22, 10, 15) }))
  return lines
}

function fieldsOf(fields: LogFields, level: LogLevel = 'info'): Record<string, unknown> {
  const [line = ''] = logged((log) => log[level]('a.b', fields))
  return JSON.parse(line) as Record<string, unknown>
}

test('an event is one JSON object on one line, time and name first', () => {
  const [line] = logged((log) => log.info('delivery.deferred', { queueId: '01', retry: 3 }))
  assert.equal(
    line,
    '{"time":"2026-11-22T10:15:00.000Z","level":"info","event":"delivery.deferred","queueId":"01","retry":3}\n',
  )
})

test('events below the level are dropped', () => {
  const lines = logged((log) => {
    log.debug('a')
    log.info('b')
    log.warn('c')
    log.error('d')
  }, 'warn')
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { event: string }).event),
    ['c', 'd'],
  )
})

test('a field can not pass itself off as time, level or event', () => {
  const line = fieldsOf({ time: 'never', level: 'debug', event: 'forged', rest: 1 })
  assert.deepEqual([line['level'], line['event'], line['rest']], ['info', 'a.b', 1])
})

const hostile: [text: string, why: string][] = [
  ['ok\r\n{"event":"forged"}', 'a line break would forge a line'],
  ['\u001b[2J\u009b31m\u007f', 'an escape sequence would act on the terminal'],
  ['a\u2028b\u2029c', 'some readers break lines there'],
  ['abc\u202edef\u2066', 'an override would show another text than is there'],
]
for (const [text, why] of hostile) {
  test(`PR-3 ${JSON.stringify(text)}: ${why}`, () => {
    const [line = ''] = logged((log) => log.info('a', { text }))
    assert.match(line, /^[\x20-\x7e]+\n$/)
    assert.equal((JSON.parse(line) as { text: string }).text, text)
  })
}

test('PR-3 whatever the fields hold, a line is one line of JSON, and logging never throws', () => {
  fc.assert(
    fc.property(
      fc.object({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
      (fields) => {
        const [line = ''] = logged((log) => log.error('a', fields))
        assert.equal(line.indexOf('\n'), line.length - 1)
        assert.doesNotMatch(line.slice(0, -1), /\p{Cc}/u)
        JSON.parse(line)
      },
    ),
    { numRuns: 300 },
  )
})

test('an error is logged with its chain of causes and their codes', () => {
  const broken = Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' })
  const line = fieldsOf({
    error: new TypeError('spool broken', { cause: new Error('write failed', { cause: broken }) }),
  })
  assert.deepEqual(line['error'], {
    name: 'TypeError',
    message: 'spool broken',
    cause: {
      name: 'Error',
      message: 'write failed',
      cause: { name: 'Error', message: 'no space', code: 'ENOSPC', syscall: 'write' },
    },
  })
})

test('an event that wakes somebody shows where the error came from', () => {
  const { stack } = fieldsOf({ error: new Error('x') }, 'error')['error'] as { stack: string[] }
  assert.match(stack[0] ?? '', /^at .*log\.test\.ts/)
})

test('a chain of causes that loops ends', () => {
  const error = new Error('a')
  error.cause = error
  assert.ok(JSON.stringify(fieldsOf({ error })).length < 2_000)
})

test('octets never reach the log', () => {
  assert.equal(fieldsOf({ body: Buffer.from('secret') })['body'], '[6 octets]')
})

test('a long text is cut at 4,096 characters', () => {
  assert.equal(fieldsOf({ text: 'x'.repeat(4_096) })['text'], 'x'.repeat(4_096))
  assert.equal(fieldsOf({ text: 'x'.repeat(4_097) })['text'], `${'x'.repeat(4_096)}…`)
})

test('an object or list is cut at 100 members', () => {
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`k${index}`, index]))
  const { fields, list } = fieldsOf({ fields: many, list: Object.values(many) })
  assert.equal(Object.keys(fields ?? {}).length, 100)
  assert.ok(Array.isArray(list) && list.length === 100)
})
