// Command lines: verb, and the arguments of EHLO, MAIL and RCPT (RFC 5321 §4.1.1, RFC 1870, 3461, 6152, 6531, 8689). (PH-5)
// Exactly as the grammars say: one space where they have one, known parameters only. White space at the end of a line is let pass, as
// RFC 5321 §4.1.1 asks.
import type { EsmtpParameters } from '../../rewrite-rules/index.ts'
import { formatMailbox, readPath } from './address-grammar.ts'
import type { Mailbox } from './address-grammar.ts'
import { REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'

export interface MailArguments {
  /** `""` is the null reverse-path. */
  readonly reversePath: string
  readonly parameters: EsmtpParameters
}

export interface RcptArguments {
  readonly mailbox: Mailbox
  readonly path: string
  readonly parameters: EsmtpParameters
}

export type Parsed<T> =
  { readonly kind: 'parsed'; readonly value: T } | { readonly kind: 'refused'; readonly reply: Reply }

/** RFC 3461 §4.2, §4.4 */
const MAX_ENVID = 100
const MAX_ORCPT = 500
const NOTIFY_VALUES = ['SUCCESS', 'FAILURE', 'DELAY']

/** Says whether a value is what the parameter takes; `utf8`: the transaction is SMTPUTF8. */
type ValueCheck = (value: string, utf8: boolean) => boolean

interface Parameter {
  /** undefined: the keyword stands alone. */
  readonly check: ValueCheck | undefined
  /** Case means nothing: the value goes on in capitals. */
  readonly foldsCase: boolean
}

const MAIL_PARAMETERS: ReadonlyMap<string, Parameter> = new Map<string, Parameter>([
  ['SIZE', { check: (value) => /^[0-9]{1,20}$/.test(value), foldsCase: false }],
  ['BODY', { check: (value) => /^(7BIT|8BITMIME)$/i.test(value), foldsCase: true }],
  ['SMTPUTF8', { check: undefined, foldsCase: false }],
  ['RET', { check: (value) => /^(FULL|HDRS)$/i.test(value), foldsCase: true }],
  ['ENVID', { check: (value) => value.length <= MAX_ENVID && isXtext(value), foldsCase: false }],
  ['REQUIRETLS', { check: undefined, foldsCase: false }],
])

const RCPT_PARAMETERS: ReadonlyMap<string, Parameter> = new Map<string, Parameter>([
  ['NOTIFY', { check: isNotify, foldsCase: true }],
  ['ORCPT', { check: isOrcpt, foldsCase: false }],
])

/** The first word in capitals; `""` when the line doesn't begin with a letter. */
export function verbOf(line: string): string {
  let end = 0
  while (end < line.length && isLetter(line.charCodeAt(end))) end++
  const next = line.charCodeAt(end)
  return end === line.length || next === 0x20 || next === 0x09 ? line.slice(0, end).toUpperCase() : ''
}

/** For commands that stand alone. */
export function hasArguments(line: string, verb: string): boolean {
  return line.slice(verb.length).trim() !== ''
}

/** Host name or address literal of EHLO and HELO; it is repeated in Received and believed nowhere (SP-7). */
export function parseHello(line: string): Parsed<string> {
  const name = trimEnd(line).slice('EHLO '.length)
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/.test(name) || /^\[[A-Za-z0-9.:]{2,62}\]$/.test(name)
    ? { kind: 'parsed', value: name }
    : refused(REPLIES.badHelloName)
}

/** @param line  octets of the line as latin1 text */
export function parseMail(line: string): Parsed<MailArguments> {
  const text = decodeLine(line)
  if (text === undefined || !/^mail from:/i.test(text))
    return refused(text === undefined ? REPLIES.badSender : REPLIES.badSyntax)
  const path = readPath(text, 'MAIL FROM:'.length)
  if (path === undefined || path.mailbox?.domain === '') return refused(REPLIES.badSender)

  const parameters = parseParameters(text, path.end, MAIL_PARAMETERS, false)
  if (parameters.kind === 'refused') return parameters
  const reversePath = path.mailbox === undefined ? '' : formatMailbox(path.mailbox)
  if (!isAscii(reversePath) && parameters.value['SMTPUTF8'] === undefined) return refused(REPLIES.smtpUtf8Needed)
  return { kind: 'parsed', value: { reversePath, parameters: parameters.value } }
}

/**
 * @param line  octets of the line as latin1 text
 * @param smtpUtf8  whether MAIL had SMTPUTF8
 */
export function parseRcpt(line: string, smtpUtf8: boolean): Parsed<RcptArguments> {
  const text = decodeLine(line)
  if (text === undefined || !/^rcpt to:/i.test(text))
    return refused(text === undefined ? REPLIES.badRecipient : REPLIES.badSyntax)
  const path = readPath(text, 'RCPT TO:'.length)
  if (path?.mailbox === undefined) return refused(REPLIES.badRecipient)

  const { mailbox } = path
  const forwardPath = formatMailbox(mailbox)
  if (!isAscii(forwardPath) && !smtpUtf8) return refused(REPLIES.smtpUtf8Needed)
  const parameters = parseParameters(text, path.end, RCPT_PARAMETERS, smtpUtf8)
  return parameters.kind === 'refused'
    ? parameters
    : { kind: 'parsed', value: { mailbox, path: forwardPath, parameters: parameters.value } }
}

function refused(reply: Reply): { kind: 'refused'; reply: Reply } {
  return { kind: 'refused', reply }
}

/** `*( SP keyword [ "=" value ] )` to the end of the text (RFC 5321 §4.1.2). */
function parseParameters(
  text: string,
  start: number,
  known: ReadonlyMap<string, Parameter>,
  utf8: boolean,
): Parsed<EsmtpParameters> {
  if (start === text.length) return { kind: 'parsed', value: {} }
  if (text[start] !== ' ') return refused(REPLIES.badSyntax)

  const parameters: Record<string, string | true> = {}
  for (const written of text.slice(start + 1).split(' ')) {
    const equals = written.indexOf('=')
    const keyword = (equals === -1 ? written : written.slice(0, equals)).toUpperCase()
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(keyword)) return refused(REPLIES.badSyntax)
    const parameter = known.get(keyword)
    if (parameter === undefined) return refused(REPLIES.unknownParameter)
    // The names are ours by now, but a prototype has names too.
    if (Object.hasOwn(parameters, keyword)) return refused(REPLIES.duplicateParameter)

    const value = equals === -1 ? undefined : written.slice(equals + 1)
    if (parameter.check === undefined ? value !== undefined : value === undefined || !parameter.check(value, utf8)) {
      // RFC 3030: a body type that exists, and that EHLO did not offer.
      return refused(
        keyword === 'BODY' && value?.toUpperCase() === 'BINARYMIME' ? REPLIES.unknownParameter : REPLIES.badParameter,
      )
    }
    parameters[keyword] = value === undefined ? true : parameter.foldsCase ? value.toUpperCase() : value
  }
  return { kind: 'parsed', value: parameters }
}

function isNotify(value: string): boolean {
  const words = value.toUpperCase().split(',')
  if (words.length === 1 && words[0] === 'NEVER') return true
  return words.every((word, index) => NOTIFY_VALUES.includes(word) && words.indexOf(word) === index)
}

/** `addr-type ";" xtext`; of type `utf-8` also the forms of RFC 6533 §3. */
function isOrcpt(value: string, utf8: boolean): boolean {
  const semicolon = value.indexOf(';')
  const type = value.slice(0, Math.max(semicolon, 0))
  const address = value.slice(semicolon + 1)
  if (Buffer.byteLength(value) > MAX_ORCPT || address === '' || !/^[A-Za-z0-9-]+$/.test(type)) return false
  return type.toLowerCase() === 'utf-8' ? isUtf8Address(address, utf8) : isXtext(address)
}

/**
 * RFC 3461 §4: printable ASCII, `+` and `=` as hexadecimal pairs. What it encodes is printable too (§4.2, §4.4): a line break here would
 * become one in somebody's report.
 */
function isXtext(value: string): boolean {
  if (!/^(?:[!-*,-<>-~]|\+[0-9A-F]{2})+$/.test(value)) return false
  return !/\+(?:[01][0-9A-F]|7F|[89A-F][0-9A-F])/.test(value)
}

/** RFC 6533 §3: `\x{HEX}` for what isn't printable ASCII, or UTF-8 itself where the transaction is SMTPUTF8. Controls are out, as in xtext. */
function isUtf8Address(value: string, utf8: boolean): boolean {
  let hasControl = false
  const unescaped = value.replaceAll(/\\x\{([0-9A-F]{2,5}|10[0-9A-F]{4})\}/g, (_, hex: string) => {
    const code = Number.parseInt(hex, 16)
    hasControl ||= code < 0x20 || (code >= 0x7f && code <= 0x9f)
    return ''
  })
  if (hasControl || !/^[!-*,-<>-[\]-~\u00a0-\u2027\u202a-\u{10ffff}]*$/u.test(unescaped)) return false
  return utf8 || isAscii(unescaped)
}

/** undefined when the octets aren't UTF-8. */
function decodeLine(line: string): string | undefined {
  const trimmed = trimEnd(line)
  if (isAscii(trimmed)) return trimmed
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(trimmed, 'latin1'))
  } catch {
    return undefined // the only thing a fatal decoder throws
  }
}

function trimEnd(line: string): string {
  let end = line.length
  while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--
  return line.slice(0, end)
}

function isAscii(text: string): boolean {
  return !/[^\0-\x7f]/.test(text)
}

function isLetter(code: number): boolean {
  return (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
}
