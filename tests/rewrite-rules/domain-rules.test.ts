import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listRules, parseRules } from '../../rewrite-rules/domain-rules.ts'
import type { RuleLists } from '../../rewrite-rules/domain-rules.ts'
import { FaultList } from '../../rewrite-rules/input-fault.ts'

const NOTHING: RuleLists = { domainRules: undefined, wildcards: undefined, exceptions: undefined }

function faultsOf(lists: Partial<RuleLists>): [path: string, rule: string][] {
  const faults = new FaultList()
  parseRules({ ...NOTHING, ...lists }, faults)
  return faults.faults.map(({ path, rule }) => [path, rule])
}

const a = { from: 'a.test', to: 'x.test' }
const faulty: [what: string, lists: Partial<RuleLists>, path: string, rule: string][] = [
  ['rules that are no list', { domainRules: {} }, 'domainRules', 'format'],
  ['a rule that is no object', { domainRules: ['a'] }, 'domainRules/0', 'format'],
  ['an unknown key', { domainRules: [{ ...a, note: 1 }] }, 'domainRules/0/note', 'format'],
  ['a source that is no domain', { domainRules: [{ ...a, from: '*.a.test' }] }, 'domainRules/0/from', 'R23'],
  ['a source that is a literal', { domainRules: [{ ...a, from: '[192.0.2.1]' }] }, 'domainRules/0/from', 'R23'],
  ['no target', { domainRules: [{ from: 'a.test' }] }, 'domainRules/0/to', 'R23'],
  ['a direction `in`', { domainRules: [{ ...a, direction: 'in' }] }, 'domainRules/0/direction', 'R23'],
  ['a shared source', { domainRules: [a, { from: 'A.test', to: 'y.test' }] }, 'domainRules/1/from', 'R3'],
  [
    'a source shared by a one-way rule',
    { domainRules: [a, { from: 'a.test', to: 'y.test', direction: 'out' }] },
    'domainRules/1/from',
    'R3',
  ],
  ['a shared target', { domainRules: [a, { from: 'b.test', to: 'X.TEST' }] }, 'domainRules/1/to', 'R3'],
  ['a target that is its own source', { domainRules: [{ from: 'a.test', to: 'A.test' }] }, 'domainRules/0/to', 'R3'],
  ['a chain', { domainRules: [a, { from: 'x.test', to: 'z.test' }] }, 'domainRules/0/to', 'R3'],
  ['a ring', { domainRules: [a, { from: 'x.test', to: 'a.test' }] }, 'domainRules/0/to', 'R3'],
  [
    'a target that a wildcard matches',
    { domainRules: [a], wildcards: [{ from: '*.test', to: 'z.example' }] },
    'domainRules/0/to',
    'R3',
  ],
  [
    'a wildcard target that a rule maps',
    { domainRules: [a], wildcards: [{ from: '*.w.test', to: 'a.test' }] },
    'wildcards/0/to',
    'R3',
  ],
  [
    'a wildcard that matches its own target',
    { wildcards: [{ from: '*.w.test', to: 'v.w.test' }] },
    'wildcards/0/to',
    'R3',
  ],
  [
    'two wildcards with one source',
    {
      wildcards: [
        { from: '*.w.test', to: 'x.test' },
        { from: '*.W.test', to: 'y.test' },
      ],
    },
    'wildcards/1/from',
    'R3',
  ],
  ['a wildcard without its *', { wildcards: [{ from: 'w.test', to: 'x.test' }] }, 'wildcards/0/from', 'R23'],
  ['a wildcard within a label', { wildcards: [{ from: '*w.test', to: 'x.test' }] }, 'wildcards/0/from', 'R23'],
  ['a wildcard as target', { wildcards: [{ from: '*.w.test', to: '*.x.test' }] }, 'wildcards/0/to', 'R23'],
  [
    'a direction of a wildcard',
    { wildcards: [{ from: '*.w.test', to: 'x.test', direction: 'out' }] },
    'wildcards/0/direction',
    'format',
  ],
  ['exceptions that are no list', { exceptions: 'a' }, 'exceptions', 'format'],
  ['an exception that is none', { exceptions: ['a.test', 'b b'] }, 'exceptions/1', 'R23'],
  ['an exception that is no text', { exceptions: [1] }, 'exceptions/0', 'R23'],
  ['an exception for a literal', { exceptions: ['a@[192.0.2.1]'] }, 'exceptions/0', 'R23'],
  ['an empty exception', { exceptions: [''] }, 'exceptions/0', 'R23'],
  [
    'an exception on the target side',
    { domainRules: [{ ...a, except: ['u@x.test'] }] },
    'domainRules/0/except/0',
    'R23',
  ],
  [
    'an exception outside the wildcard',
    { wildcards: [{ from: '*.w.test', to: 'x.test', except: ['u@w.test'] }] },
    'wildcards/0/except/0',
    'R23',
  ],
]
for (const [what, lists, path, rule] of faulty) {
  test(`${rule}: ${what} is refused at ${path}`, () => assert.deepEqual(faultsOf(lists)[0], [path, rule]))
}

const accepted: [what: string, lists: Partial<RuleLists>][] = [
  [
    'one-way rules that share a target with a two-way one',
    { domainRules: [a, { from: 'b.test', to: 'x.test', direction: 'out' }] },
  ],
  [
    'wildcards with one target',
    {
      wildcards: [
        { from: '*.v.test', to: 'x.test' },
        { from: '*.w.test', to: 'x.test' },
      ],
    },
  ],
  [
    'a wildcard within another',
    {
      wildcards: [
        { from: '*.test', to: 'x.example' },
        { from: '*.w.test', to: 'x.example' },
      ],
    },
  ],
  [
    'a source that a wildcard matches',
    { domainRules: [{ from: 'a.test', to: 'x.example' }], wildcards: [{ from: '*.test', to: 'y.example' }] },
  ],
  ['a wildcard target that is the bare domain', { wildcards: [{ from: '*.w.test', to: 'w.test' }] }],
  ['exceptions in all three forms', { exceptions: ['u@a.test', 'a.test', 'u@', '"u v"@', 'ü.test'] }],
  ['exceptions of a rule on its source side', { domainRules: [{ ...a, except: ['u@a.test', 'v@', 'A.test'] }] }],
  [
    'exceptions of a wildcard below its source',
    { wildcards: [{ from: '*.w.test', to: 'x.test', except: ['u@a.w.test', 'b.w.test', 'u@'] }] },
  ],
]
for (const [what, lists] of accepted) {
  test(`R3, R23: ${what} are accepted`, () => assert.deepEqual(faultsOf(lists), []))
}

test('rules written out and read again are the same', () => {
  const lists = {
    domainRules: [{ from: 'A.test', to: 'ü.test', direction: 'out', except: ['u@a.test'] }],
    wildcards: [{ from: '*.w.test', to: 'x.test', except: ['b.w.test'] }],
    exceptions: ['q@', 'quiet.test'],
  }
  assert.deepEqual(listRules(parseRules(lists, new FaultList())), lists)
})
