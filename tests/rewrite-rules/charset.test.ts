import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { readText } from '../../rewrite-rules/charset.ts'
import { applySplices } from '../../rewrite-rules/splice.ts'

const KNOWN: [charset: string, characters: string | undefined, why: string][] = [
  ['', 'utf-8', 'the default of RFC 5545 §3.1.4'],
  ['UTF-8', 'utf-8', 'names are case-insensitive'],
  ['utf8', 'utf-8', 'alias'],
  ['us-ascii', 'single-byte', 'ASCII'],
  ['iso-8859-1', 'single-byte', 'ASCII-based'],
  ['Windows-1252', 'single-byte', 'ASCII-based'],
  ['koi8-r', 'single-byte', 'ASCII-based'],
  ['cp850', 'single-byte', 'a DOS code page'],
  ['iso-2022-jp', 'hidden', 'switched by escape sequences'],
  ['iso-2022-kr', 'hidden', 'switched by SO and SI'],
  ['hz-gb-2312', 'hidden', 'switched by ~{ and ~}'],
  ['shift_jis', 'hidden', 'second bytes may look like ASCII'],
  ['gb18030', 'hidden', 'second bytes may look like ASCII'],
  ['big5', 'hidden', 'second bytes may look like ASCII'],
  ['utf-16', 'utf-8', 'decoded'],
  ['UTF-32BE', 'utf-8', 'decoded'],
  ['utf-7', undefined, 'ASCII characters may stand for others, and others for ASCII'],
  ['ibm037', undefined, 'EBCDIC is not ASCII-based'],
  ['x-unknown', undefined, 'R66'],
]
for (const [charset, characters, why] of KNOWN) {
  test(`charset ${JSON.stringify(charset)}: ${why} (R65)`, () => {
    assert.equal(readText(Buffer.from('BEGIN:'.padEnd(8)), charset)?.characters, characters)
  })
}

const HIDDEN: [charset: string, octets: string, visible: string, why: string][] = [
  ['iso-2022-jp', 'a@b\x1b$B@@:;\x1b(Bc', 'a@b..........c', 'while another set is active nothing is ASCII'],
  ['iso-2022-jp', '\x1b$B@@\r\n@@\x1b(Jx', '.....\r\n.....x', 'line breaks always are'],
  ['iso-2022-kr', '\x1b$)C\x0e@@\x0fa@b', '....\x0e..\x0fa@b', 'designating a set does not switch to it'],
  ['hz-gb-2312', 'a~{@@~}b~~c', 'a......b..c', 'RFC 1843'],
  ['shift_jis', 'a\x83@b@\x8e', 'a\x83.b@\x8e', 'only the second byte'],
  ['gb18030', '\x81\x300\x81\x30:', '\x81.0\x81.:', 'digits too'],
  ['big5', '\xa4:\xa4@', '\xa4:\xa4.', 'separators never are second bytes'],
]
for (const [charset, octets, visible, why] of HIDDEN) {
  test(`hidden bytes in ${charset} ${JSON.stringify(octets)}: ${why} (R65)`, () => {
    const text = readText(Buffer.from(octets, 'latin1'), charset)
    assert.equal(text?.bytes.toString('latin1').replaceAll('\x80', '.'), visible)
  })
}

test('UTF-16 and UTF-32 are spliced in units, in the byte order of the mark or of the first character (R65)', () => {
  const utf32 = (text: string, isBigEndian: boolean): Buffer =>
    Buffer.concat(
      Array.from(text, (character) => {
        const unit = Buffer.alloc(4)
        if (isBigEndian) unit.writeUInt32BE(character.codePointAt(0) ?? 0)
        else unit.writeUInt32LE(character.codePointAt(0) ?? 0)
        return unit
      }),
    )
  const encoders: [charset: string, encode: (text: string) => Buffer][] = [
    ['utf-16le', (text) => Buffer.from(text, 'utf16le')],
    ['utf-16be', (text) => Buffer.from(text, 'utf16le').swap16()],
    ['utf-16', (text) => Buffer.from(text, 'utf16le').swap16()],
    ['utf-16', (text) => Buffer.from(text, 'utf16le')],
    ['utf-16le', (text) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
    ['utf-32', (text) => utf32(text, true)],
    ['utf-32', (text) => utf32(`\ufeff${text}`, false)],
  ]
  for (const [charset, encode] of encoders) {
    const octets = encode('Bé😀 old \ud800 end')
    const text = readText(octets, charset)
    assert.ok(text)
    const start = text.bytes.indexOf('old')
    const splices = [
      {
        start,
        end: start + 3,
        pieces: [
          { from: start, to: start + 1 },
          { added: Buffer.from('é😀').toString('latin1'), isLineBreak: false },
        ],
      },
    ]
    assert.deepEqual(applySplices(octets, text.toOctets(splices)), encode('Bé😀 oé😀 \ud800 end'), charset)
  }
})
