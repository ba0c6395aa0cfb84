// Path, query and body against schemas: all faults, each with its JSON pointer; nothing that no column can hold. (control-plane.md §1, WS-4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { Problem } from '../../../control-plane/http/problem.ts'
import type { RequestFault } from '../../../control-plane/http/problem.ts'
import { checkDepth, pointerOf, readRequest } from '../../../control-plane/http/read-request.ts'

const schemas = {
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({ limit: z.coerce.number().int().default(5) }),
  body: z.strictObject({
    name: z.string().min(1),
    'a/b~c': z.int().optional(),
    list: z.array(z.strictObject({ x: z.int() })).optional(),
    any: z.unknown().optional(),
  }),
}
const parts = { params: { id: 'a' }, query: {}, body: { name: 'n' } }

function faultsOf(changed: Partial<Record<keyof typeof parts, unknown>>): readonly RequestFault[] {
  try {
    readRequest({ ...parts, ...changed }, schemas)
    return []
  } catch (error) {
    assert.ok(error instanceof Problem && error.type === 'bad-request', String(error))
    return error.members.faults ?? []
  }
}

test('what fits comes back typed, with defaults', () => {
  assert.deepEqual(readRequest(parts, schemas), { params: { id: 'a' }, query: { limit: 5 }, body: { name: 'n' } })
})

const faulty: [changed: Partial<Record<keyof typeof parts, unknown>>, pointers: string[], why: string][] = [
  [{ body: {} }, ['/name'], 'missing'],
  [{ body: undefined }, [''], 'no body'],
  [{ body: { name: 'n', 'a/b~c': 'x' } }, ['/a~1b~0c'], 'RFC 6901 escapes'],
  [
    { body: { name: 'n', list: [{ x: 1 }, { x: 'y' }, { z: 1 }] } },
    ['/list/1/x', '/list/2/x', '/list/2/z'],
    'in lists',
  ],
  [
    { body: { name: '', extra: 1, more: 2 }, query: { limit: 'x', z: '1' } },
    ['/extra', '/more', '/name', '/query/limit', '/query/z'],
    'all at once, of query and body',
  ],
  [{ body: { name: 'a\0b' } }, ['/name'], 'NUL'],
  [{ body: { name: '\ud800' } }, ['/name'], 'half of a surrogate pair'],
  [
    { body: { name: 'n', any: { 'k\0': ['\udfff'] } } },
    ['/any/k\0', '/any/k\0/0'],
    'where the schema takes anything, names too',
  ],
  [{ query: { limit: ['1', '\0'] } }, ['/query/limit', '/query/limit/1'], 'a parameter twice'],
]
for (const [changed, pointers, why] of faulty) {
  test(`every fault is told with its place: ${why}`, () => {
    assert.deepEqual(
      faultsOf(changed)
        .map(({ pointer }) => pointer)
        .toSorted(),
      pointers,
    )
  })
}

test('a path that can be of nothing that exists is not found, whatever else is wrong', () => {
  for (const params of [{}, { id: 'a\0' }, { id: '\udc00' }]) {
    assert.throws(
      () => readRequest({ ...parts, params, body: {} }, schemas),
      (error) => error instanceof Problem && error.type === 'not-found',
    )
  }
})

test('a body of faults is answered with a bounded number of them', () => {
  const body = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`m${index}`, 1]))
  assert.equal(faultsOf({ body }).length, 1000)
})

test('a pointer leads back to the place', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.nat()), { maxLength: 6 }), (path) => {
      const back = pointerOf(path)
        .split('/')
        .slice(1)
        .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
      assert.deepEqual(back, path.map(String))
    }),
  )
})

test('PS-3: names of the language are members like others: unknown', () => {
  const body: unknown = JSON.parse('{"name":"n","__proto__":{"x":1},"constructor":1}')
  assert.deepEqual(
    faultsOf({ body })
      .map(({ pointer }) => pointer)
      .toSorted(),
    ['/__proto__', '/constructor'],
  )
  assert.equal(Object.hasOwn(Object.prototype, 'x'), false)
})

test('32 levels pass, 33 do not, and a wide value is no deep one', () => {
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
  checkDepth(nested(32))
  assert.throws(() => checkDepth(nested(33)), Problem)
  checkDepth(Array.from({ length: 200_000 }, () => ({})))
})
