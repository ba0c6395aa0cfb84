// Which properties are compared, held against Microsoft's reference of the cmdlets. (coexistence.md §2.2)
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSameValue, readProperties, SETTABLE } from '../../../control-plane/coexistence/settable.ts'
import { NOUNS } from '../../../control-plane/coexistence/tenant-object.ts'
import type { Noun, Value } from '../../../control-plane/coexistence/tenant-object.ts'
import { CONTRACTS_DIRECTORY } from '../../harness/sandbox.ts'

interface Parameter {
  readonly type: string
  readonly exchangeOnline?: boolean
}
const { cmdlets } = JSON.parse(readFileSync(join(CONTRACTS_DIRECTORY, 'exchange-cmdlets.json'), 'utf8')) as {
  cmdlets: Record<string, { parameters: Record<string, Parameter> }>
}
const HOW_TO_CALL =
  'Identity BypassSecurityGroupManagerCheck Confirm WhatIf Force ForceUpgrade IgnoreNamingPolicy ResetMigrationToUnifiedGroup RoomList UpdateMemberCount DlpPolicy'
const APART = 'Name Priority'
const OF_OTHER_CMDLETS: Partial<Record<Noun, readonly string[]>> = {
  RemoteDomain: ['DomainName'],
  DistributionGroup: ['Notes'],
}

for (const noun of NOUNS)
  test(`every property of ${noun} that Exchange Online lets anybody set is compared`, () => {
    const left = [HOW_TO_CALL, APART].join(' ').split(' ')
    const parameters = Object.entries(cmdlets[`Set-${noun}`]?.parameters ?? {})
      .filter(([name, { exchangeOnline }]) => exchangeOnline === true && !left.includes(name))
      .map(([name]) => name)
    assert.ok(parameters.length > 0)
    const { single, list } = SETTABLE[noun]
    assert.deepEqual([...single, ...list].toSorted(), [...parameters, ...(OF_OTHER_CMDLETS[noun] ?? [])].toSorted())
    for (const name of parameters) {
      const type = cmdlets[`Set-${noun}`]?.parameters[name]?.type ?? ''
      assert.equal(
        list.has(name),
        /\[\]$|^MultiValuedProperty$|^ProxyAddressCollection$/.test(type),
        `${name}: ${type}`,
      )
    }
  })

const read: [noun: Noun, name: string, answer: unknown, value: Value, why: string][] = [
  ['InboundConnector', 'SenderDomains', ['smtp:*;1'], ['*'], 'the usual cost goes without saying'],
  ['InboundConnector', 'SenderDomains', ['SMTP:a.example;5'], ['a.example;5'], 'another cost is said'],
  ['InboundConnector', 'EFSkipIPs', [], null, 'an empty list is nothing'],
  ['InboundConnector', 'EFSkipIPs', null, null, 'null'],
  ['InboundConnector', 'EFUsers', 'a', ['a'], 'a list of one, answered without brackets'],
  ['InboundConnector', 'Comment', '', null, 'an empty text is nothing'],
  ['InboundConnector', 'Comment', 'a\0b\uD800', 'a\uFFFDb\uFFFD', 'what the database would refuse'],
  ['InboundConnector', 'RequireTls', false, false, 'a switch that is off is something'],
  ['RemoteDomain', 'RequiredCharsetCoverage', 100, 100, 'a number'],
  ['RemoteDomain', 'LineWrapSize', 'Unlimited', 'Unlimited', 'a word'],
  [
    'TransportRule',
    'MessageContainsDataClassifications',
    [{ name: 'x', 'name@odata.type': '#String', a: [1] }],
    ['{"a":[1],"name":"x"}'],
    'tables, in one order and without annotations',
  ],
]
for (const [noun, name, answer, value, why] of read)
  test(`${noun}.${name} is read: ${why}`, () => {
    const row = { [name]: answer, [`${name}@odata.type`]: '#Collection(String)', Description: 'x', WhenChanged: 'x' }
    assert.deepEqual(readProperties(noun, row), { [name]: value })
  })

const proof = (sha256: string) => ({ proof: 'out', sha256 }) as const
const compared: [name: string, left: Value | undefined, right: Value | undefined, isSame: boolean, why: string][] = [
  ['DomainNames', ['a.example', 'B.example'], ['b.example', 'a.example'], true, 'sets, domains in any case'],
  ['HeaderContainsWords', ['Word'], ['word'], false, 'words are as they are written'],
  ['SmartHosts', ['a'], ['a', 'b'], false, 'one more'],
  ['Comment', undefined, null, true, 'not answered is nothing'],
  ['Comment', null, [], true, 'an empty list is nothing'],
  ['Enabled', false, null, false, 'off is not nothing'],
  ['Enabled', true, 'true', false, 'a word is no switch'],
  ['SetHeaderValue', proof('aa'), proof('aa'), true, 'tokens by their digests'],
  ['SetHeaderValue', proof('aa'), proof('bb'), false, 'another token'],
  ['SetHeaderValue', proof('aa'), 'aa', false, 'a digest written out is no token'],
]
for (const [name, left, right, isSame, why] of compared)
  test(`two values of ${name} are ${isSame ? 'the same' : 'different'}: ${why}`, () => {
    assert.equal(isSameValue(name, left, right), isSame)
    assert.equal(isSameValue(name, right, left), isSame)
  })
