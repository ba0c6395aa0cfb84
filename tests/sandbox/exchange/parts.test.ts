// The pure parts of the simulated Exchange: sizes, filters, parameters, and the index of recipients.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ExchangeError } from '../../../sandbox/exchange/exchange-error.ts'
import { parseFilter } from '../../../sandbox/exchange/filter.ts'
import { Parameters } from '../../../sandbox/exchange/parameters.ts'
import { RecipientIndex } from '../../../sandbox/exchange/recipient-index.ts'
import { SIZE_CULTURES, formatSize, localiseSize } from '../../../sandbox/exchange/sizes.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { guid, mailbox } from './exchange-server.ts'

test('sizes have four digits, a unit, and the exact bytes', () => {
  const examples: [bytes: number, text: string][] = [
    [0, '0 B (0 bytes)'],
    [1023, '1023 B (1,023 bytes)'],
    [1024, '1 KB (1,024 bytes)'],
    [1_610_612_736, '1.5 GB (1,610,612,736 bytes)'],
    [106_300_440_576, '99 GB (106,300,440,576 bytes)'],
    [27_496_017_920, '25.61 GB (27,496,017,920 bytes)'],
    [2 ** 50, '1024 TB (1,125,899,906,842,624 bytes)'],
  ]
  for (const [bytes, text] of examples) assert.equal(formatSize(bytes, 'en-US'), text)
})

test('a size in any language keeps its bytes, and what is no size stays as it is', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      fc.constantFrom(...SIZE_CULTURES),
      fc.constantFrom(...SIZE_CULTURES),
      (bytes, from, to) => {
        assert.equal(localiseSize(formatSize(bytes, from), to), formatSize(bytes, to))
        assert.equal(/\((.*) /.exec(formatSize(bytes, to))?.[1]?.replaceAll(/\D/g, ''), String(bytes))
      },
    ),
  )
  for (const other of ['Unlimited', '', null, undefined, ['1 KB (1,024 bytes)'], '(x bytes)']) {
    assert.equal(localiseSize(other, 'de-DE'), other)
  }
})

test('filters choose by properties', () => {
  const row: Record<string, unknown> = {
    alias: 'Adele',
    emailaddresses: ['SMTP:adele@contoso.com', 'smtp:a@contoso.com'],
    forwardingaddress: null,
    litigationholdenabled: true,
    whenchanged: '2026-01-02T00:00:00Z',
    displayname: "O'Hara",
  }
  const examples: [filter: string, holds: boolean | undefined, why: string][] = [
    ["Alias -eq 'adele'", true, 'in any case'],
    ['{alias -eq "ADELE"}', true, 'as a script block, in double quotes'],
    ["Alias -ne 'adele'", false, 'not equal'],
    ["EmailAddresses -eq 'smtp:a@contoso.com'", true, 'one of a list'],
    ["EmailAddresses -like '*@contoso.com'", true, 'by its end'],
    ["Alias -like 'ad*' -and Alias -like '*del*'", true, 'by its beginning and middle'],
    ["Alias -like 'del'", false, 'no star, no part'],
    ["Alias -notlike 'ad*'", false, 'not like'],
    ['ForwardingAddress -eq $null', true, 'nothing'],
    ['ForwardingAddress -ne $null', false, 'something'],
    ['LitigationHoldEnabled -eq $true', true, 'a truth'],
    ["WhenChanged -gt '2026-01-01T23:00:00Z'", true, 'later'],
    ["WhenChanged -le '2026-01-01'", false, 'not later'],
    ["DisplayName -eq 'O''Hara'", true, 'a doubled quote is one'],
    ["-not (Alias -eq 'adele' -or Alias -eq 'b')", false, 'brackets and not'],
    ["Alias -eq 'b' -or Alias -eq 'adele' -and Alias -eq 'c'", false, 'and binds closer than or'],
    ["NoSuch -eq 'x'", false, 'a property that is not there'],
    ['Alias', undefined, 'half a comparison'],
    ["Alias -eq 'adele' Alias", undefined, 'something after the end'],
    ["(Alias -eq 'adele'", undefined, 'an open bracket'],
    ["Alias -resembles 'a'", undefined, 'no such operator'],
    ["Alias -eq 'open", undefined, 'an open quote'],
    ['', undefined, 'nothing'],
    [`${'-not '.repeat(100_000)}Alias -eq 1`, undefined, 'endless depth'],
  ]
  for (const [text, holds, why] of examples)
    assert.equal(
      parseFilter(text)?.((name) => row[name]),
      holds,
      why,
    )
})

test('parseFilter never throws, whatever it is given', () => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom('(', ')', '-and', '-or', '-not', '-eq', "'", '"', 'Alias', "'a'", '{', '}', ' '),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
      parseFilter(parts.join(' '))?.(() => 'a')
    }),
  )
})

test('parameters are read by name in any case, as the type that the cmdlet wants', () => {
  const parameters = new Parameters({
    IDENTITY: 'a',
    resultsize: 5,
    Archive: '$true',
    Types: ['x', 'y,z'],
    Gone: null,
    Verbose: true,
    'X@odata.type': '#T',
  })
  assert.deepEqual(parameters.names, ['IDENTITY', 'resultsize', 'Archive', 'Types', 'Gone'])
  assert.equal(parameters.text('Identity'), 'a')
  assert.equal(parameters.resultSize(), 5)
  assert.equal(parameters.isOn('archive'), true)
  assert.deepEqual(parameters.list('types'), ['x', 'y', 'z'])
  assert.equal(parameters.has('gone'), false)
  assert.equal(new Parameters({ ResultSize: 'unlimited' }).resultSize(), Number.POSITIVE_INFINITY)
  const unfit: (() => unknown)[] = [
    () => new Parameters({ a: [] }).text('a'),
    () => new Parameters({ a: 'maybe' }).flag('a'),
    () => new Parameters({ a: [5] }).list('a'),
    () => new Parameters({ ResultSize: '-1' }).resultSize(),
  ]
  for (const read of unfit) assert.throws(read, ExchangeError)
})

test('the index of recipients always is what going through all of them would give', () => {
  const step = fc.record({ number: fc.nat({ max: 7 }), name: fc.constantFrom('a', 'b', 'c'), removes: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const tenant = emptyTenant()
      const index = new RecipientIndex(tenant)
      for (const { number, name, removes } of steps) {
        if (removes) tenant.removeRecipient(guid('1', number))
        else tenant.putRecipient(mailbox(number, name))
        const all = [...tenant.recipients()]
        assert.deepEqual(
          [...index.after(undefined)].map(({ recipient }) => recipient),
          all,
        )
        for (const wanted of ['a', 'B@contoso.com', 'c.alias@contoso.com']) {
          const expected = all.filter(({ properties }) => properties['Name'] === wanted.slice(0, 1).toLowerCase())
          assert.deepEqual(new Set(index.named(wanted)), new Set(expected))
        }
      }
    }),
    { numRuns: 50 },
  )
})

test('a cursor holds across a restart: places may differ, the last object is known by its id', () => {
  const tenant = emptyTenant()
  for (const number of [1, 2, 3, 4]) tenant.putRecipient(mailbox(number, `p${number}`))
  const index = new RecipientIndex(tenant)
  tenant.removeRecipient(guid('1', 1))
  const [, second] = [...index.after(undefined)]
  const restarted = new RecipientIndex(new SimulatedTenant(tenant.toData()))
  const rest = [...restarted.after(second?.cursor)].map(({ recipient }) => recipient.guid)
  assert.deepEqual(rest, [guid('1', 4)])
})

function emptyTenant(): SimulatedTenant {
  return new SimulatedTenant({
    id: 'aaaaaaaa-0000-4000-8000-000000000001',
    displayName: 'Contoso',
    countryLetterCode: 'IE',
    isSyncedFromOnPremises: false,
    cloud: 'global',
    domains: [],
    licences: [],
    objects: [],
    recipients: [],
    exchangeObjects: [],
    drives: {},
    reportsConcealNames: false,
    administrators: [],
  })
}
