// `$filter` and `$search`: what is read, what is refused, and what it means.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkFilter } from '../../../sandbox/graph/filter-check.ts'
import { EntityTypes } from '../../../sandbox/graph/entity-types.ts'
import { isMatch } from '../../../sandbox/graph/filter-match.ts'
import { GraphFault } from '../../../sandbox/graph/graph-error.ts'
import { isAdvanced, parseFilter } from '../../../sandbox/graph/query-filter.ts'
import type { Filter } from '../../../sandbox/graph/query-filter.ts'
import { isFound, parseSearch } from '../../../sandbox/graph/query-search.ts'
import { CONTRACTS } from './graph-server.ts'

const person = {
  id: 'aaaaaaaa-0000-4000-8000-000000000001',
  displayName: "Anna O'Neil",
  accountEnabled: true,
  department: 'Sales',
  jobTitle: null,
  createdDateTime: '2024-05-06T07:08:09Z',
  proxyAddresses: ['SMTP:anna@contoso.example', 'smtp:a.oneil@contoso.example'],
  assignedLicenses: [{ skuId: '05e9a617-0261-4cee-bb44-138d3ef5d965' }],
  onPremisesExtensionAttributes: { extensionAttribute1: 'blue' },
}

const meanings: [text: string, isMeant: boolean, why: string][] = [
  ["displayName eq 'anna o''neil'", true, 'strings compare without case, and a quote is doubled'],
  ["displayName eq 'Anna'", false, 'eq is about the whole'],
  ["id eq 'AAAAAAAA-0000-4000-8000-000000000001'", true, 'ids compare without case'],
  ['id eq aaaaaaaa-0000-4000-8000-000000000001', true, 'a GUID may stand without quotes'],
  ["department ne 'Finance'", true, 'ne is true for another value'],
  ["jobTitle ne 'Clerk'", true, 'ne is true for no value'],
  ['jobTitle eq null', true, 'no value is null'],
  ['department eq null', false, 'a value is not null'],
  ['department ne null', true, 'a value is not null'],
  ['faxNumber eq null', true, 'an absent member is null'],
  ['accountEnabled eq true', true, 'booleans'],
  ['accountEnabled eq false', false, 'booleans'],
  ["startswith(displayName,'ANNA')", true, 'startswith ignores case'],
  ["startsWith(displayName, 'Neil')", false, 'startswith is about the beginning'],
  ["endswith(displayName,'neil')", true, 'endswith'],
  ["department in ('Finance','sales')", true, 'in is any of them'],
  ["department in ('Finance')", false, 'in is none of them'],
  ['createdDateTime ge 2024-05-06T07:08:09Z', true, 'ge holds for the same instant'],
  ['createdDateTime le 2024-05-06T09:08:08+02:00', false, 'instants compare across offsets'],
  ["displayName ge 'Anna' and displayName le 'Anna P'", true, 'strings have an order'],
  ["proxyAddresses/any(p:p eq 'smtp:ANNA@contoso.example')", true, 'any finds an item'],
  ["proxyAddresses/any(x:startswith(x,'smtp:b'))", false, 'any finds none'],
  ['assignedLicenses/any(s:s/skuId eq 05e9a617-0261-4cee-bb44-138d3ef5d965)', true, 'any looks into items'],
  ['assignedLicenses/$count ne 0', true, 'a collection has a count'],
  ["onPremisesExtensionAttributes/extensionAttribute1 eq 'blue'", true, 'a path leads inside'],
  ["not(department eq 'Sales')", false, 'not turns it round'],
  ["not startswith(displayName,'B')", true, 'not binds the next predicate'],
  ["department eq 'x' or department eq 'Sales' and accountEnabled eq true", true, 'and binds closer than or'],
  ["(department eq 'Sales' or accountEnabled eq true) and accountEnabled eq false", false, 'parentheses bind closest'],
  ['__proto__ eq null', true, 'a name that objects inherit is nobody’s member'],
]
for (const [text, isMeant, why] of meanings) {
  test(`$filter ${text}: ${why}`, () => {
    assert.equal(isMatch(parseFilter(text), person), isMeant)
  })
}

const refusals: [text: string, why: string][] = [
  ['', 'nothing'],
  ['displayName', 'no operator'],
  ['displayName eq', 'no value'],
  ["displayName eq 'a", 'an open quote'],
  ["displayName gt 'a'", 'an operator that directory objects lack'],
  ["contains(displayName,'a')", 'a function that directory objects lack'],
  ['startswith(displayName,1)', 'a beginning that is no string'],
  ["proxyAddresses/all(p:p eq 'x')", 'all()'],
  ["proxyAddresses/any(p:department eq 'x')", 'a condition about something else than the item'],
  ['proxyAddresses/any()', 'any() without a condition'],
  ['department in ()', 'an empty list'],
  ["department eq 'a' and", 'a dangling and'],
  ["(department eq 'a'", 'an open parenthesis'],
  ["department eq 'a') or (department eq 'b'", 'parentheses the wrong way round'],
  ["department eq 'a'; drop", 'a character that has no meaning'],
  ['createdDateTime ge 2024-99-99T00:00:00Z', 'no date'],
  [`${'('.repeat(10_000)}a eq 1${')'.repeat(10_000)}`, 'too long'],
  [`${'('.repeat(100)}a eq 1${')'.repeat(100)}`, 'too deep'],
  [Array.from({ length: 200 }, () => 'a eq 1').join(' or '), 'too many terms'],
]
for (const [text, why] of refusals) {
  test(`$filter is refused with 400: ${why}`, () => {
    assert.throws(
      () => parseFilter(text),
      (error) => error instanceof GraphFault && error.status === 400,
    )
  })
}

const fits: [text: string, isFit: boolean, why: string][] = [
  ["displayName eq 'x'", true, 'a string'],
  ["displayname eq 'x'", false, 'no such member: names have their case'],
  ['displayName eq 5', false, 'no number is a string'],
  ["accountEnabled eq 'true'", false, 'no string is a boolean'],
  ["proxyAddresses eq 'x'", false, 'a collection wants any'],
  ["displayName/any(x:x eq 'x')", false, 'any wants a collection'],
  ["proxyAddresses/any(p:p eq 'x')", true, 'any'],
  ['proxyAddresses/any(p:p eq 5)', false, 'items have a type, too'],
  ['assignedLicenses/any(s:s/skuId eq 05e9a617-0261-4cee-bb44-138d3ef5d965)', true, 'a member of an item'],
  ['assignedLicenses/any(s:s/nothing eq 1)', false, 'no such member of an item'],
  ['assignedLicenses/$count eq 0', true, 'a count is a number'],
  ['displayName/$count eq 0', false, 'only collections are counted'],
  ["onPremisesExtensionAttributes/extensionAttribute16 eq 'x'", false, 'no such member inside'],
  ['createdDateTime ge 2024-01-01T00:00:00Z', true, 'a date'],
  ['jobTitle eq null', true, 'null fits all'],
]
for (const [text, isFit, why] of fits) {
  test(`$filter ${text} ${isFit ? 'fits' : 'does not fit'} users: ${why}`, () => {
    const check = () => checkFilter(parseFilter(text), ['user'], new EntityTypes(CONTRACTS.schema))
    if (isFit) check()
    else assert.throws(check, (error) => error instanceof GraphFault && error.status === 400)
  })
}

test('ne, not, endswith and $count are for advanced queries', () => {
  for (const text of [
    'a ne 1',
    'not(a eq 1)',
    "endswith(a,'x')",
    'a/$count eq 1',
    "x/any(p:p ne 'a')",
    'b eq 1 or a ne 1',
  ]) {
    assert.equal(isAdvanced(parseFilter(text)), true, text)
  }
  for (const text of ['a eq 1', 'a ge 1 and a le 2', "startswith(a,'x')", "a in ('x')", "x/any(p:p eq 'a')"]) {
    assert.equal(isAdvanced(parseFilter(text)), false, text)
  }
})

const literal = fc.oneof(
  fc.string({ maxLength: 12 }).map((value) => ({ kind: 'string' as const, value })),
  fc.integer().map((value) => ({ kind: 'number' as const, value })),
  fc.boolean().map((value) => ({ kind: 'boolean' as const, value })),
  fc.constant({ kind: 'null' as const, value: null }),
)
const member = fc.constantFrom('displayName', 'department', 'accountEnabled', 'employeeId', 'not', 'and', 'in')
const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({
      kind: fc.constant('compare' as const),
      path: member.map((name) => [name]),
      operator: fc.constantFrom('eq', 'ne', 'ge', 'le'),
      value: literal,
    }),
    fc.record({
      kind: fc.constantFrom('startswith', 'endswith'),
      path: member.map((name) => [name]),
      value: fc.string({ maxLength: 5 }),
    }),
    fc.record({ kind: fc.constantFrom('and', 'or'), left: tie('filter'), right: tie('filter') }),
    fc.record({ kind: fc.constant('not' as const), operand: tie('filter') }),
  ),
}))

test('a filter that is written and read again is the same', () => {
  fc.assert(
    fc.property(filter, (made) => {
      // fast-check's records have no prototype.
      assert.deepEqual(parseFilter(written(made)), structuredClone(made))
    }),
  )
})

test('not, and, or mean what they mean', () => {
  const one = fc.record({ displayName: fc.string(), department: fc.option(fc.string()), accountEnabled: fc.boolean() })
  fc.assert(
    fc.property(filter, filter, one, (left, right, value) => {
      const [isLeft, isRight] = [isMatch(left, value), isMatch(right, value)]
      assert.equal(isMatch({ kind: 'and', left, right }, value), isLeft && isRight)
      assert.equal(isMatch({ kind: 'or', left, right }, value), isLeft || isRight)
      assert.equal(isMatch({ kind: 'not', operand: left }, value), !isLeft)
    }),
  )
})

test('whatever the text, a filter is read or refused, and nothing else happens', () => {
  const piece = fc.oneof(
    fc.constantFrom(' ', '(', ')', "'", 'eq', 'not', 'and', 'any(', 'p:', '/', '$count', '1', 'null', ','),
    fc.string(),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      try {
        parseFilter(pieces.join(''))
      } catch (error) {
        assert.ok(error instanceof GraphFault)
      }
    }),
  )
})

function written(made: Filter): string {
  switch (made.kind) {
    case 'and':
    case 'or':
      return `(${written(made.left)}) ${made.kind} (${written(made.right)})`
    case 'not':
      return `not (${written(made.operand)})`
    case 'startswith':
    case 'endswith':
      return `${made.kind}(${made.path.join('/')},'${made.value.replaceAll("'", "''")}')`
    case 'compare': {
      const value =
        made.value.kind === 'string' ? `'${made.value.value.replaceAll("'", "''")}'` : String(made.value.value)
      return `${made.path.join('/')} ${made.operator} ${value}`
    }
    case 'any':
    case 'in':
      throw new Error('unreachable: not made here')
    default:
      return made satisfies never
  }
}

const searches: [text: string, isMeant: boolean, why: string][] = [
  ['"displayName:nei"', true, 'words of a name match by their beginning'],
  ['"displayName:eil"', false, 'and not inside'],
  ['"displayName:anna nei"', true, 'every word has to'],
  ['"department:sal"', true, 'other members match by their beginning'],
  ['"department:ales"', false, 'and not inside'],
  ['"proxyAddresses:smtp:a.o"', true, 'any item of a collection'],
  ['"displayName:bob" OR "department:sales"', true, 'one of two'],
  ['"displayName:bob" AND "department:sales"', false, 'both of two'],
  ['"displayName:bob" AND "department:x" OR "displayName:anna"', true, 'AND binds closer'],
]
for (const [text, isMeant, why] of searches) {
  test(`$search ${text}: ${why}`, () => assert.equal(isFound(parseSearch(text), person), isMeant))
}
for (const text of ['', 'anna', '"anna"', '"displayName:a', '"displayName:a" AND', '"displayName:a" "displayName:b"']) {
  test(`$search ${JSON.stringify(text)} is refused with 400`, () => {
    assert.throws(
      () => parseSearch(text),
      (error) => error instanceof GraphFault && error.status === 400,
    )
  })
}
