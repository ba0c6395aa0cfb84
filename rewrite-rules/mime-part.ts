// What a MIME part is to the engine: the table of R50, by content type.
import { parseContentType, parseTransferEncoding } from './content-type.ts'
import { fieldValue } from './header-block.ts'
import type { Edit, HeaderBlock } from './header-block.ts'

export type PartKind =
  /** To be entered. */
  | 'multipart'
  /** Opaque; read only to find a calendar in it (R52). */
  | 'signed'
  /** Opaque. */
  | 'encrypted'
  | 'calendar'
  | 'report'
  | 'tnef'
  /** message/partial, message/external-body */
  | 'partial'
  /** Text, attachments, and messages in messages: evidence of what was sent. */
  | 'other'

export interface MimePart {
  readonly kind: PartKind
  readonly isReportMultipart: boolean
  /** Parameters of Content-Type; '' where there is none. */
  readonly boundary: string
  readonly charset: string
  readonly method: string
  /** In lower case; '' where there is none. */
  readonly transferEncoding: string
}

const KINDS = new Map<string, PartKind>([
  ['multipart/signed', 'signed'],
  ['multipart/encrypted', 'encrypted'],
  ['application/pkcs7-mime', 'encrypted'],
  ['application/x-pkcs7-mime', 'encrypted'],
  ['application/x-microsoft-rpmsg-message', 'encrypted'],
  ['text/calendar', 'calendar'],
  ['application/ics', 'calendar'],
  ['message/delivery-status', 'report'],
  ['message/global-delivery-status', 'report'],
  ['message/disposition-notification', 'report'],
  ['message/global-disposition-notification', 'report'],
  ['application/ms-tnef', 'tnef'],
  ['application/vnd.ms-tnef', 'tnef'],
  ['message/partial', 'partial'],
  ['message/external-body', 'partial'],
])

/** Reads the header block of a message or part. Of a field that is there twice, the first counts. */
export function readMimePart(header: HeaderBlock): MimePart {
  const { type, parameters } = parseContentType(valueOf(header, 'content-type'))
  const parameter = (name: string): string => parameters.get(name) ?? ''
  return {
    kind: KINDS.get(type) ?? (type.startsWith('multipart/') ? 'multipart' : 'other'),
    isReportMultipart: type === 'multipart/report',
    // A boundary can't end in a space (RFC 2046 §5.1.1): one that does was padded on the way.
    boundary: parameter('boundary').replace(/[ \t]+$/, ''),
    charset: parameter('charset'),
    method: parameter('method'),
    transferEncoding: parseTransferEncoding(valueOf(header, 'content-transfer-encoding')),
  }
}

/** Edits that remove the fields which are wrong once the body of a leaf part has changed (R55). */
export function staleFieldEdits({ fields }: HeaderBlock): Edit[] {
  return fields
    .filter(({ name }) => name === 'content-length' || name === 'content-md5')
    .map(({ start, end }) => ({ start, end, text: '' }))
}

function valueOf(header: HeaderBlock, name: string): string {
  const field = header.fields.find((candidate) => candidate.name === name)
  return field === undefined ? '' : fieldValue(header, field)
}
