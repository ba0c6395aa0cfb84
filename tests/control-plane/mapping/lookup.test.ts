// What would happen to an address: by which entry or rule, in both directions, since when. (control-plane.md §2, R20–R28)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mappingApi, person, tableFile } from './mapping-api.ts'

const table = tableFile(
  [
    {
      ...person('alice'),
      known: ['alice@contoso.example', 'a.smith@contoso.example', 'alice@fabrikam.example'],
      x500: ['/o=Contoso/ou=Exchange/cn=alice'],
    },
    {
      known: ['bob@fabrikam.example', 'bob@c.example'],
      presented: 'bob@fabrikam.example',
      mailbox: 'bob@fabrikam.example',
    },
    {
      known: ['jü@fabrikam.example', 'ju@contoso.example'],
      presented: 'jü@fabrikam.example',
      mailbox: 'ju@contoso.example',
      eai: true,
    },
  ],
  {
    domainRules: [{ from: 'c.example', to: 'fabrikam.example', except: ['press@c.example'] }],
    wildcards: [
      { from: '*.w.example', to: 'x.example' },
      { from: '*.long.w.example', to: 'y.example', except: ['kept@a.long.w.example'] },
    ],
    exceptions: ['noreply@', 'legal@contoso.example', 'quiet.example'],
  },
)

const cases: [
  address: string,
  out: [result: string, by: string],
  inwards: [result: string, by: string],
  why: string,
][] = [
  ['a.smith@contoso.example', ['alice@fabrikam.example', 'entry'], ['alice@contoso.example', 'entry'], 'an alias'],
  [
    'ALICE@Fabrikam.Example',
    ['ALICE@Fabrikam.Example', 'entry'],
    ['alice@contoso.example', 'entry'],
    'already presented so, in any case',
  ],
  [
    'alice+news@contoso.example',
    ['alice+news@fabrikam.example', 'extension'],
    ['alice+news@contoso.example', 'extension'],
    'an extension is carried',
  ],
  [
    'IMCEAEX-_o=Contoso_ou=Exchange_cn=alice@any.example',
    ['alice@fabrikam.example', 'x500'],
    ['alice@contoso.example', 'x500'],
    'an X.500 name in its SMTP form',
  ],
  [
    '/o=contoso/ou=exchange/cn=ALICE',
    ['alice@fabrikam.example', 'x500'],
    ['alice@contoso.example', 'x500'],
    'a bare X.500 name',
  ],
  ['/o=nobody', ['/o=nobody', 'nothing'], ['/o=nobody', 'nothing'], 'a name that is nobody’s'],
  ['carol@c.example', ['carol@fabrikam.example', 'domain'], ['carol@c.example', 'nothing'], 'a domain rule, outwards'],
  [
    'carol@fabrikam.example',
    ['carol@fabrikam.example', 'nothing'],
    ['carol@c.example', 'domain'],
    'a domain rule, inwards',
  ],
  ['press@c.example', ['press@c.example', 'nothing'], ['press@c.example', 'nothing'], 'an exception of the rule'],
  ['a@s.w.example', ['a@x.example', 'wildcard'], ['a@s.w.example', 'nothing'], 'a wildcard, outwards only'],
  ['a@a.long.w.example', ['a@y.example', 'wildcard'], ['a@a.long.w.example', 'nothing'], 'the longest wildcard'],
  [
    'kept@a.long.w.example',
    ['kept@x.example', 'wildcard'],
    ['kept@a.long.w.example', 'nothing'],
    'the next one where the longest has an exception',
  ],
  [
    'noreply@contoso.example',
    ['noreply@contoso.example', 'exception'],
    ['noreply@contoso.example', 'exception'],
    'an exception for a local part',
  ],
  [
    'legal+x@contoso.example',
    ['legal+x@contoso.example', 'exception'],
    ['legal+x@contoso.example', 'exception'],
    'an exception with any extension',
  ],
  ['x@quiet.example', ['x@quiet.example', 'exception'], ['x@quiet.example', 'exception'], 'an exception for a domain'],
  [
    'alice@c.example',
    ['alice@c.example', 'domain'],
    ['alice@c.example', 'nothing'],
    'a rule that would lead to somebody’s address does not apply',
  ],
  [
    'ju@contoso.example',
    ['jü@fabrikam.example', 'entry'],
    ['ju@contoso.example', 'entry'],
    'an internationalised address',
  ],
  [
    'postmaster@c.example',
    ['postmaster@c.example', 'nothing'],
    ['postmaster@c.example', 'nothing'],
    'a protected local part (R25)',
  ],
  [
    'someone@elsewhere.example',
    ['someone@elsewhere.example', 'nothing'],
    ['someone@elsewhere.example', 'nothing'],
    'an outsider',
  ],
]

test('R21: each address is shown with what it becomes in both directions and what that goes by', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings/import', table, { 'Content-Type': 'application/json' })
  for (const [address, out, inwards, why] of cases) {
    await t.test(`${address}: ${why}`, async () => {
      const { status, body } = await api.call('GET', `/mapping-lookup?address=${encodeURIComponent(address)}`)
      assert.equal(status, 200, JSON.stringify(body))
      assert.deepEqual(
        [
          [body.out.result, body.out.by],
          [body.in.result, body.in.by],
        ],
        [out, inwards],
      )
      assert.equal(body.out.isChanged, out[0] !== address)
      const isEntry = ['entry', 'extension', 'x500'].includes(out[1])
      assert.equal(body.entry !== undefined, isEntry)
      assert.equal(body.out.since, out[1] === 'nothing' ? undefined : 1)
      assert.equal(typeof body.out.rule, isEntry || out[1] === 'nothing' ? 'undefined' : 'string')
    })
  }
  const conflict = await api.call('GET', '/mapping-lookup?address=alice@c.example')
  assert.equal(conflict.body.out.code, 'rule-conflict')
})

test('since when is the revision that made the entry or rule what it is; the table’s own is beside it', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('alice'))
  await api.call('POST', '/mappings/domain-rules', { from: 'c.example', to: 'fabrikam.example' })
  await api.call('POST', '/mappings', person('bob'))
  const alice = (await api.call('GET', '/mapping-lookup?address=alice@contoso.example')).body
  assert.deepEqual(
    [alice.revision, alice.out.since, alice.in.since, alice.entry.presented],
    [3, 1, 1, 'alice@fabrikam.example'],
  )
  assert.equal((await api.call('GET', '/mapping-lookup?address=x@c.example')).body.out.since, 2)
})

test('what is no address is not looked up (400)', async (t) => {
  const api = await mappingApi(t)
  for (const address of ['', 'alice', 'a@[192.0.2.1]', 'a@b@c..d', 'x\0@contoso.example']) {
    const { status } = await api.call('GET', `/mapping-lookup?address=${encodeURIComponent(address)}`)
    assert.equal(status, 400, JSON.stringify(address))
  }
})
