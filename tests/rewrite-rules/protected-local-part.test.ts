import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeImceaex, isProtectedLocalPart } from '../../rewrite-rules/protected-local-part.ts'

const hex = '329e71ec88ae4615bbc36ab6ce41109e'
const parts: [text: string, isProtected: boolean, why: string][] = [
  ['SRS0=xx=yy=example.net=dana', true, 'SRS'],
  ['srs1=xx', true, 'SRS in lower case'],
  ['alice+SRS=44ldt=IX=example.net=dana', true, 'SRS as Exchange writes it'],
  ['prvs=1234abcd=alice', true, 'BATV'],
  ['list-bounces+dana=example.net', true, 'VERP: = after the first +'],
  ['list-dana=example.net', true, 'VERP: = after the first -'],
  ['a=b-c', false, '= before the first - or +'],
  ['a=b', false, '= alone'],
  ['a=b+c=d', true, '= before and after the first +'],
  ['bounces+123', true, 'bounces+'],
  ['Bounces+123', true, 'without case'],
  ['bounces', false, 'without its +'],
  ['IMCEAEX-_o=x', true, 'IMCEA'],
  ['imceafax-1', true, 'other IMCEA types'],
  ['postmaster', true, 'postmaster'],
  ['Mailer-Daemon', true, 'mailer-daemon'],
  ['postmaster2', false, 'not postmaster'],
  [`MicrosoftExchange${hex}`, true, 'the Exchange system mailbox'],
  [`MicrosoftExchange${hex}0`, false, '33 digits'],
  [`MicrosoftExchange${hex.slice(1)}`, false, '31 digits'],
  ['SystemMailbox{1f05a927}', true, 'SystemMailbox'],
  ['HealthMailbox0123', true, 'HealthMailbox'],
  ['DiscoverySearchMailbox{D919}', true, 'DiscoverySearchMailbox'],
  ['alice+news', false, 'an ordinary extension'],
  ['anna-maria', false, 'an ordinary hyphen'],
  ['', false, 'nothing'],
]
for (const [text, isProtected, why] of parts) {
  test(`R25: ${JSON.stringify(text)}: ${why}`, () => assert.equal(isProtectedLocalPart(text), isProtected))
}

const names: [local: string, name: string | undefined, why: string][] = [
  ['IMCEAEX-_o=Contoso_cn=alice', '/o=Contoso/cn=alice', '_ is /'],
  ['imceaex-_o=A+20B+28c+29', '/o=A B(c)', '+HH is a byte, the prefix has no case'],
  ['IMCEAEX-_o=+C3+BC', '/o=ü', 'bytes are UTF-8'],
  ['IMCEAEX-_o=a+2', '/o=a+2', 'half an escape stays'],
  ['IMCEAEX-_o=a+zz', '/o=a+zz', 'no escape stays'],
  ['IMCEAEX-', '', 'nothing behind it'],
  ['IMCEAFAX-_o=x', undefined, 'other types never match'],
  ['alice', undefined, 'no IMCEA at all'],
]
for (const [local, name, why] of names) {
  test(`R26: ${local}: ${why}`, () => assert.equal(decodeImceaex(local), name))
}
