// Lists by key: pages follow one another without gaps and repeats, whatever the keys are; cursors that are none are refused. (control-plane.md §1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import {
  cursorNumber,
  cursorTime,
  formatCursor,
  pageQuery,
  parsePage,
  toPage,
} from '../../../control-plane/http/page.ts'
import { Problem } from '../../../control-plane/http/problem.ts'

const part = fc.oneof(
  fc.maxSafeInteger(),
  fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')),
)
const query = z.strictObject(pageQuery)

test('a cursor brings back the key that it was made of', () => {
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (key) => {
      const cursor = formatCursor(key)
      assert.match(cursor, /^[\w-]+$/)
      if (cursor.length <= 1000)
        assert.deepEqual(parsePage(query.parse({ cursor }), key.length), { after: key.map(plusZero), limit: 100 })
    }),
  )
})

/** JSON has no -0. */
const plusZero = (value: string | number) => (value === 0 ? 0 : value)

test('pages of any size hold every row once, in order', () => {
  const rows = fc.uniqueArray(fc.integer(), { maxLength: 60 }).map((all) => all.toSorted((a, b) => a - b))
  fc.assert(
    fc.property(rows, fc.integer({ min: 1, max: 20 }), (all, limit) => {
      const seen: number[] = []
      let url: string | undefined = `/api/v1/things?limit=${limit}&name=${encodeURIComponent('a&b=c')}`
      for (let pages = 0; url !== undefined; pages++) {
        assert.ok(pages <= 60)
        const { searchParams }: URL = new URL(url, 'http://x')
        assert.equal(searchParams.get('name'), 'a&b=c', 'filters go along')
        const { after, limit: size } = parsePage(
          query.parse({ limit: searchParams.get('limit'), ...cursorOf(searchParams) }),
          1,
        )
        const from = after === undefined ? -Infinity : Number(after[0])
        const found = all.filter((row) => row > from).slice(0, size + 1)
        const page: { items: readonly { row: number }[]; next?: string } = toPage(
          found,
          size,
          (row) => ({ row }),
          (row) => [row],
          url,
        )
        assert.ok(page.items.length <= limit)
        seen.push(...page.items.map(({ row }) => row))
        url = page.next
      }
      assert.deepEqual(seen, all)
    }),
  )
})

function cursorOf(parameters: URLSearchParams): { cursor?: string } {
  const cursor = parameters.get('cursor')
  return cursor === null ? {} : { cursor }
}

const of = (json: string): string => Buffer.from(json).toString('base64url')
const hostile: [cursor: string, why: string][] = [
  ['', 'empty'],
  ['%%%', 'no base64url'],
  [of('{}'), 'no list'],
  [of('null'), 'nothing'],
  [of('[]'), 'too short'],
  [of('["a","b"]'), 'too long'],
  [of('[null]'), 'no key value'],
  [of('[true]'), 'no key value'],
  [of('[[1]]'), 'a list in it'],
  [of('[{"a":1}]'), 'an object in it'],
  [of('[1.5]'), 'no whole number'],
  [of('[1e400]'), 'infinite'],
  [of('[9007199254740993]'), 'not exact'],
  [of('["a\\u0000b"]'), 'a NUL: Postgres takes none'],
  [of('[1'), 'cut short'],
  ['A'.repeat(300), 'binary'],
]
for (const [cursor, why] of hostile) {
  test(`a cursor is refused with its place: ${why}`, () => {
    assert.throws(
      () => parsePage({ cursor, limit: 1 }, 1),
      (error) =>
        error instanceof Problem && error.status === 400 && error.members.faults?.[0]?.pointer === '/query/cursor',
    )
  })
}

test('no cursor whatever is anything but a key or a Problem', () => {
  const some = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.json().map(of), fc.base64String())
  fc.assert(
    fc.property(some, fc.integer({ min: 1, max: 3 }), (cursor, width) => {
      try {
        const { after } = parsePage({ cursor, limit: 1 }, width)
        assert.equal(after?.length, width)
        for (const value of after) assert.ok(typeof value === 'string' || Number.isSafeInteger(value))
      } catch (error) {
        assert.ok(error instanceof Problem, String(error))
      }
    }),
  )
})

test('a cursor of one list does not pass for one of another', () => {
  assert.equal(cursorNumber(7), 7)
  assert.equal(cursorTime(7).getTime(), 7)
  for (const value of ['7', -1, undefined, '']) {
    assert.throws(() => cursorNumber(value), Problem)
    assert.throws(() => cursorTime(value), Problem)
  }
  assert.throws(() => cursorTime(Number.MAX_SAFE_INTEGER), Problem)
})

const limits: [limit: string | undefined, is: number | undefined][] = [
  [undefined, 100],
  ['1', 1],
  ['1000', 1000],
  ['1001', undefined],
  ['0', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['ten', undefined],
]
for (const [limit, is] of limits) {
  test(`limit=${limit} is ${is ?? 'refused'}`, () => assert.equal(query.safeParse({ limit }).data?.limit, is))
}
