// Text in any charset as bytes in which ASCII means ASCII (R65), so that it can be read and spliced without being re-encoded.
import { Buffer } from 'node:buffer'
import type { Piece, Splice } from './splice.ts'

/** Stands in `TextBytes.bytes` for a byte that is a part of another character, whatever it looks like. */
export const HIDDEN_BYTE = 0x80

export interface TextBytes {
  /** Bytes below 0x80 are ASCII characters. */
  readonly bytes: Buffer
  /** How characters are told apart, for cutting lines: bytes, UTF-8 sequences, or each with its `HIDDEN_BYTE`s. */
  readonly characters: 'single-byte' | 'utf-8' | 'hidden'
  /** Splices of `bytes` as splices of the octets that were read; new bytes are ASCII, or UTF-8 where `characters` says so. */
  toOctets(splices: readonly Splice[]): readonly Splice[]
}

/** @param charset  name in any case; '' is UTF-8 (RFC 5545 §3.1.4). Undefined when the charset isn't known. */
export function readText(octets: Buffer, charset: string): TextBytes | undefined {
  const name = charset.trim().toLowerCase()
  const unitBytes = wideUnitBytes(name)
  if (unitBytes !== undefined) return readWide(octets, unitBytes, name.endsWith('be'))
  const family = familyOf(name)
  if (family === undefined) return undefined
  if (family === 'utf-8' || family === 'single-byte') return { bytes: octets, characters: family, toOctets: unchanged }
  return { bytes: HIDE[family](octets), characters: 'hidden', toOctets: unchanged }
}

/** Whether NUL is an ordinary octet of text in this charset. */
export function hasNulOctets(charset: string): boolean {
  return wideUnitBytes(charset.trim().toLowerCase()) !== undefined
}

function unchanged(splices: readonly Splice[]): readonly Splice[] {
  return splices
}

type HiddenFamily = 'iso-2022' | 'hz' | 'shift_jis' | 'double-byte'
type Family = 'utf-8' | 'single-byte' | HiddenFamily

const HIDE: Record<HiddenFamily, (octets: Buffer) => Buffer> = {
  'iso-2022': hideEscaped,
  hz: hideHz,
  shift_jis: (octets) => hideTrailBytes(octets, (byte) => (byte > 0x80 && byte < 0xa0) || (byte > 0xdf && byte < 0xfd)),
  'double-byte': (octets) => hideTrailBytes(octets, (byte) => byte > 0x80 && byte < 0xff),
}

const DOUBLE_BYTE = new Set(['euc-jp', 'euc-kr', 'gbk', 'gb18030', 'big5'])
/** Names that mail uses and the WHATWG list lacks. */
const MORE_DOUBLE_BYTE = new Set(['cp936', 'ms936', 'windows-936', 'cp949', 'ms949', 'uhc', 'cp950', 'ms950', 'johab'])
const MORE_SHIFT_JIS = new Set(['cp932', 'windows-932', 'cp943'])
const DOS_PAGE = /^(?:cp|ibm|ibm-)(?:437|737|775|850|852|855|857|858|86[0-9]|874|125[0-8])$/

function familyOf(name: string): Family | undefined {
  if (name === '') return 'utf-8'
  if (/^(?:cs)?iso-?2022-?(?:jp|kr|cn)/.test(name)) return 'iso-2022'
  if (name.startsWith('hz-gb-2312') || name === 'hz') return 'hz'
  if (MORE_SHIFT_JIS.has(name)) return 'shift_jis'
  if (MORE_DOUBLE_BYTE.has(name)) return 'double-byte'
  if (DOS_PAGE.test(name) || name === 'latin9') return 'single-byte'
  const standard = standardName(name)
  if (standard === undefined || standard === 'utf-8') return standard
  if (standard === 'shift_jis') return 'shift_jis'
  return DOUBLE_BYTE.has(standard) ? 'double-byte' : 'single-byte'
}

/** The WHATWG name of the charset with this label. */
function standardName(label: string): string | undefined {
  try {
    return new TextDecoder(label).encoding
  } catch {
    // That it throws is how it says that there is no such charset.
    return undefined
  }
}

/** ISO 2022 (RFC 1468, 1554, 1557, 1922): while a set other than ASCII is active, printable bytes are parts of its characters. */
function hideEscaped(octets: Buffer): Buffer {
  const bytes = Buffer.from(octets)
  let isAscii = true
  let isShiftedOut = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = octets[at] ?? 0
    if (byte === 0x1b) {
      const final = escapeEnd(octets, at + 1)
      const sequence = octets.toString('latin1', at + 1, final + 1)
      // G0 is what plain bytes mean: ESC ( x and ESC $ x set it; ESC ) x, ESC $ ) x and the like set other ones.
      if (/^(?:\(|\$\(?)[@-~]$/.test(sequence)) isAscii = sequence === '(B' || sequence === '(J'
      bytes.fill(HIDDEN_BYTE, at, final + 1)
      at = final
    } else if (byte === 0x0e || byte === 0x0f) isShiftedOut = byte === 0x0e
    else if (byte === 0x0a) isShiftedOut = false
    else if (byte > 0x20 && (!isAscii || isShiftedOut)) bytes[at] = HIDDEN_BYTE
  }
  return bytes
}

/** The last byte of the escape sequence whose ESC is before `from` (ISO 2022: any of 0x20-0x2f, then one of 0x30-0x7e). */
function escapeEnd(octets: Buffer, from: number): number {
  let at = from
  for (let byte = octets[at] ?? 0; byte >= 0x20 && byte <= 0x2f;) byte = octets[++at] ?? 0
  const byte = octets[at] ?? 0
  return byte >= 0x30 && byte <= 0x7e ? at : at - 1
}

/** HZ (RFC 1843): two bytes a character between ~{ and ~}; a line ends in ASCII. */
function hideHz(octets: Buffer): Buffer {
  const bytes = Buffer.from(octets)
  let isAscii = true
  for (let at = 0; at < bytes.length; at++) {
    const byte = octets[at]
    const next = octets[at + 1]
    if (byte === 0x0a) isAscii = true
    else if (byte === 0x7e && (next === 0x7b || next === 0x7d || next === 0x7e)) {
      if (next !== 0x7e) isAscii = next === 0x7d
      bytes.fill(HIDDEN_BYTE, at, at + 2)
      at++
    } else if (!isAscii && byte !== undefined && byte > 0x20) bytes[at] = HIDDEN_BYTE
  }
  return bytes
}

/** Second bytes of two-byte characters may look like ASCII. */
function hideTrailBytes(octets: Buffer, isLead: (byte: number) => boolean): Buffer {
  const bytes = Buffer.from(octets)
  for (let at = 0; at + 1 < bytes.length; at++) {
    const trail = octets[at + 1] ?? 0
    // From 0x40, or a digit in GB 18030: never a separator, a space or a line break.
    if (isLead(octets[at] ?? 0) && (trail >= 0x40 || (trail >= 0x30 && trail <= 0x39))) bytes[++at] = HIDDEN_BYTE
  }
  return bytes
}

function wideUnitBytes(name: string): 2 | 4 | undefined {
  if (/^(?:utf-?16(?:le|be)?|ucs-?2|iso-10646-ucs-2|csunicode|unicode|csutf16(?:le|be)?)$/.test(name)) return 2
  return /^(?:utf-?32(?:le|be)?|ucs-?4|iso-10646-ucs-4|csucs4|csutf32(?:le|be)?)$/.test(name) ? 4 : undefined
}

/** UTF-16 and UTF-32 are read as UTF-8; a splice is counted back into units, so that nothing outside it is encoded again. */
function readWide(octets: Buffer, unitBytes: 2 | 4, namedBigEndian: boolean): TextBytes {
  const isBigEndian = bigEndian(octets, unitBytes) ?? namedBigEndian
  const units = octets.subarray(0, octets.length - (octets.length % unitBytes))
  const text = decodeWide(units, unitBytes, isBigEndian)
  return {
    bytes: text,
    characters: 'utf-8',
    toOctets(splices) {
      const offset = offsetCounter(text, unitBytes)
      const convert = (piece: Piece): Piece =>
        'from' in piece
          ? { from: offset(piece.from), to: offset(piece.to) }
          : {
              added: encodeWide(Buffer.from(piece.added, 'latin1'), unitBytes, isBigEndian).toString('latin1'),
              isLineBreak: piece.isLineBreak,
            }
      return splices.map(({ start, end, pieces }) => ({
        start: offset(start),
        pieces: pieces.map(convert),
        end: offset(end),
      }))
    },
  }
}

/** By the byte order mark, else by where the zero of the first (ASCII) character is. */
function bigEndian(octets: Buffer, unitBytes: 2 | 4): boolean | undefined {
  const first = octets[0]
  const last = octets[unitBytes - 1]
  if (first === undefined || last === undefined) return undefined
  if (octets[0] === 0xff && octets[1] === 0xfe) return false
  if (octets[unitBytes - 2] === 0xfe && last === 0xff) return true
  if ((first === 0) === (last === 0)) return undefined
  return first === 0
}

function decodeWide(units: Buffer, unitBytes: 2 | 4, isBigEndian: boolean): Buffer {
  if (unitBytes === 2) {
    const littleEndian = isBigEndian ? Buffer.from(units).swap16() : units
    return Buffer.from(littleEndian.toString('utf16le'))
  }
  const characters: string[] = []
  for (let at = 0; at < units.length; at += 4) {
    const code = isBigEndian ? units.readUInt32BE(at) : units.readUInt32LE(at)
    characters.push(code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? '\ufffd' : String.fromCodePoint(code))
  }
  return Buffer.from(characters.join(''))
}

function encodeWide(text: Buffer, unitBytes: 2 | 4, isBigEndian: boolean): Buffer {
  if (unitBytes === 2) {
    const encoded = Buffer.from(text.toString('utf8'), 'utf16le')
    return isBigEndian ? encoded.swap16() : encoded
  }
  const characters = Array.from(text.toString('utf8'))
  const encoded = Buffer.alloc(4 * characters.length)
  for (const [i, character] of characters.entries()) {
    const code = character.codePointAt(0) ?? 0
    if (isBigEndian) encoded.writeUInt32BE(code, 4 * i)
    else encoded.writeUInt32LE(code, 4 * i)
  }
  return encoded
}

/** From offsets in `text`, which must ascend, to octet offsets in the wide text it was made of. */
function offsetCounter(text: Buffer, unitBytes: 2 | 4): (offset: number) => number {
  let at = 0
  let units = 0
  return (offset) => {
    for (; at < offset; at++) {
      const byte = text[at] ?? 0
      // A character outside the BMP is two units of UTF-16.
      if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 && unitBytes === 2 ? 2 : 1
    }
    return units * unitBytes
  }
}
