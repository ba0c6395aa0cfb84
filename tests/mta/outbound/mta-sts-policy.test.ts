import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isMxOfPolicy, parseStsPolicy, parseStsRecord } from '../../../mta/outbound/mta-sts-policy.ts'

const records: [records: string[], id: string | undefined, why: string][] = [
  [['v=STSv1; id=20160831085700Z;'], '20160831085700Z', 'RFC 8461 §3.1'],
  [['v=STSv1;id=1'], '1', 'no spaces, no final semicolon'],
  [['v=spf1 -all', 'v=STSv1; id=a1; more=x'], 'a1', 'other records and fields beside it'],
  [['v=STSv1; id=a', 'v=STSv1; id=b'], undefined, 'two: none is used'],
  [['v=STSv2; id=a'], undefined, 'another version'],
  [['v=STSv1x; id=a'], undefined, 'another word'],
  [['id=a; v=STSv1'], undefined, 'the version comes first'],
  [['v=STSv1;'], undefined, 'no id'],
  [['v=STSv1; id=a; id=b'], undefined, 'two ids'],
  [['v=STSv1; id=a-b'], undefined, 'letters and digits'],
  [[`v=STSv1; id=${'a'.repeat(33)}`], undefined, '32 at most'],
  [[], undefined, 'nothing'],
]
for (const [texts, id, why] of records) {
  test(`RFC 8461 §3.1: ${JSON.stringify(texts)} announces ${id ?? 'nothing'}: ${why}`, () => {
    assert.equal(parseStsRecord(texts), id)
  })
}

const MX = 'mx: mail.example.com\r\nmx: *.Example.net\r\n'
const whole = { mode: 'enforce', mx: ['mail.example.com', '*.example.net'], maxAgeSeconds: 604_800 }
const policies: [text: string, expected: object | undefined, why: string][] = [
  [`version: STSv1\r\nmode: enforce\r\n${MX}max_age: 604800\r\n`, whole, 'RFC 8461 §3.2'],
  [`version: STSv1\nmode:enforce\n${MX}max_age:604800`, whole, 'LF, no spaces, no final line end'],
  [`mode: enforce\nmax_age: 604800\n${MX}version: STSv1\nfuture: x`, whole, 'any order, unknown fields'],
  [`version: STSv1\nmode: enforce\nmode: none\n${MX}max_age: 604800`, whole, 'the first of two counts'],
  ['version: STSv1\nmode: none\nmax_age: 1', { mode: 'none', mx: [], maxAgeSeconds: 1 }, 'none needs no mx'],
  [
    `version: STSv1\nmode: testing\nmx: a\nmax_age: 99999999`,
    { mode: 'testing', mx: ['a'], maxAgeSeconds: 31_557_600 },
    'a year at most',
  ],
  [`version: STSv2\nmode: enforce\n${MX}max_age: 1`, undefined, 'another version'],
  [`version: STSv1\nmode: maybe\n${MX}max_age: 1`, undefined, 'no such mode'],
  [`version: STSv1\nmode: enforce\nmax_age: 1`, undefined, 'enforce without mx'],
  [`version: STSv1\nmode: enforce\n${MX}`, undefined, 'no max_age'],
  [`version: STSv1\nmode: enforce\n${MX}max_age: -1`, undefined, 'no age'],
  [`version: STSv1\nmode: enforce\nmx: *\nmax_age: 1`, undefined, 'a star alone'],
  [`version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 1`, undefined, 'a star in the middle'],
  [`version: STSv1\nmode: enforce\n${'mx: a.example\n'.repeat(101)}max_age: 1`, undefined, 'bounded'],
  ['<html>\n<body>', undefined, 'a web page'],
  ['', undefined, 'nothing'],
]
for (const [text, expected, why] of policies) {
  test(`RFC 8461 §3.2: ${JSON.stringify(text.slice(0, 60))}: ${why}`, () => {
    assert.deepEqual(parseStsPolicy(text), expected)
  })
}

const hosts: [host: string, isListed: boolean, why: string][] = [
  ['mail.example.com', true, 'as it stands'],
  ['mx1.example.net', true, 'one label for the star'],
  ['a.b.example.net', false, 'two labels'],
  ['example.net', false, 'no label'],
  ['mail.example.com.evil.example', false, 'a longer name'],
  ['xmail.example.com', false, 'part of a label'],
]
for (const [host, isListed, why] of hosts) {
  test(`RFC 8461 §4.1: ${host} is ${isListed ? '' : 'not '}of the policy: ${why}`, () => {
    assert.equal(isMxOfPolicy(host, { mode: 'enforce', mx: whole.mx, maxAgeSeconds: 1 }), isListed)
  })
}

test('property: any text is a policy that can be followed, or none; nothing throws', () => {
  const lines = fc.array(
    fc.oneof(
      fc.string(),
      fc.constantFrom('version: STSv1', 'mode: enforce', 'mx: a.example', 'max_age: 5', ':', 'mx:'),
    ),
  )
  fc.assert(
    fc.property(lines, (each) => {
      const policy = parseStsPolicy(each.join('\n'))
      if (policy === undefined) return
      assert.ok(policy.mode === 'none' || policy.mx.length > 0)
      assert.ok(policy.maxAgeSeconds >= 0 && policy.maxAgeSeconds <= 31_557_600)
    }),
  )
  fc.assert(fc.property(fc.array(fc.string()), (texts) => /^[A-Za-z0-9]{1,32}$/.test(parseStsRecord(texts) ?? 'x')))
})
