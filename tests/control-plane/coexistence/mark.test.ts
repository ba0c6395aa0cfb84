// The mark in comments: read back whole out of whatever others wrote around it. (coexistence.md §2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MAX_COMMENT_LENGTH, parseMark, writeMark } from '../../../control-plane/coexistence/mark.ts'

const ours = { project: 'prj_00112233445566778899aabb', key: 'rule-20', specHash: 'a1b2c3d4e5f60718' }
const text = writeMark(ours)
const letters = (alphabet: string, minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet.split('')), minLength, maxLength })
const anyMark = fc.record({
  project: letters('abcXYZ019_', 1, 64),
  key: letters('abz09-', 1, 64),
  specHash: letters('0123456789abcdef', 8, 64),
})

test('a mark is read back, and beside it what others wrote, cut to what Exchange takes', () => {
  fc.assert(
    fc.property(anyMark, fc.string({ unit: 'binary', maxLength: 2000 }), (mark, other) => {
      const written = writeMark(mark, other)
      assert.ok(written.length <= MAX_COMMENT_LENGTH)
      const read = parseMark(written)
      assert.deepEqual(read.mark, { ...mark })
      assert.ok(other.trim().length > 700 || read.other === other.toWellFormed().trim() || other.includes('causeway:'))
    }),
  )
})

test('no text whatever breaks the reading, and what is left of it holds no mark', () => {
  const part = fc.oneof(fc.constantFrom(text, 'causeway:', ':', ' ', 'prj_1', '\n'), fc.string({ unit: 'binary' }))
  fc.assert(
    fc.property(fc.array(part), (parts) => {
      const { other } = parseMark(parts.join(''))
      assert.equal(other.length > MAX_COMMENT_LENGTH || parseMark(other).mark === undefined, true)
    }),
  )
})

const other = text.replace('rule-20', 'rule-21')
const read: [comment: string | null, isOurs: boolean, rest: string, why: string][] = [
  [text, true, '', 'alone'],
  [`Do not touch! ${text} (Anna)`, true, 'Do not touch!   (Anna)', 'among what an administrator wrote'],
  [`${text}\r\nsee ticket 5`, true, 'see ticket 5', 'a line of its own'],
  [`${text} ${text}`, true, '', 'twice the same'],
  [`${text} ${other}`, false, '', 'two that differ: nobody can say which is meant'],
  [`x${text}`, false, `x${text}`, 'the end of another word'],
  [`${text}:more`, false, `${text}:more`, 'a part of something longer'],
  [text.toUpperCase(), false, text.toUpperCase(), 'not as we write it'],
  [text.slice(0, -9), false, text.slice(0, -9), 'cut: no hash to believe'],
  [text.padEnd(MAX_COMMENT_LENGTH + 1), false, text.padEnd(MAX_COMMENT_LENGTH + 1), 'longer than Exchange takes it'],
  ['', false, '', 'empty'],
  [null, false, '', 'none'],
]
for (const [comment, isOurs, rest, why] of read)
  test(`a comment is ${isOurs ? '' : 'not '}ours: ${why}`, () => {
    assert.deepEqual(parseMark(comment), { mark: isOurs ? ours : undefined, other: rest })
  })

test('a new mark takes the place of an old one; one that could not be read again is not written', () => {
  assert.equal(writeMark(ours, `note ${other}`), `${text}\nnote`)
  for (const wrong of [{ project: 'a:b' }, { key: 'Rule' }, { specHash: 'x' }])
    assert.throws(() => writeMark({ ...ours, ...wrong }), RangeError)
})
