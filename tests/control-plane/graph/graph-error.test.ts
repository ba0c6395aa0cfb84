// Graph's refusals by status and code, whatever the case of their members, never by message. (microsoft-365.md §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { judgeGraphError } from '../../../control-plane/graph/graph-error.ts'
import type { MicrosoftErrorCode } from '../../../control-plane/microsoft/microsoft-error.ts'

const envelope = (code: string, innerError?: unknown) => ({
  error: {
    code,
    message: 'Authorization_RequestDenied syncStateNotFound',
    ...(innerError === undefined ? {} : { innerError }),
  },
})

const refusals: [
  status: number,
  body: unknown,
  code: MicrosoftErrorCode,
  serviceCode: string | undefined,
  why: string,
][] = [
  [401, envelope('InvalidAuthenticationToken'), 'AUTH_TOKEN', 'InvalidAuthenticationToken', 'a token that is no good'],
  [403, envelope('Authorization_RequestDenied'), 'CONSENT_MISSING', 'Authorization_RequestDenied', 'a role is missing'],
  [403, envelope('ErrorAccessDenied'), 'CONSENT_MISSING', 'ErrorAccessDenied', 'as Outlook says it'],
  [403, undefined, 'CONSENT_MISSING', undefined, 'without a body'],
  [
    403,
    envelope('Directory_QuotaExceeded'),
    'UNEXPECTED',
    'Directory_QuotaExceeded',
    'a full directory needs no consent',
  ],
  [404, envelope('Request_ResourceNotFound'), 'NOT_FOUND', 'Request_ResourceNotFound', 'gone'],
  [400, envelope('Request_ResourceNotFound'), 'NOT_FOUND', 'Request_ResourceNotFound', 'the code knows better'],
  [404, envelope('MailboxNotEnabledForRESTAPI'), 'NOT_FOUND', 'MailboxNotEnabledForRESTAPI', 'no mailbox'],
  [409, envelope('nameAlreadyExists'), 'CONFLICT', 'nameAlreadyExists', 'taken'],
  [
    412,
    envelope('notAllowed', { code: 'entityTagDoesNotMatch' }),
    'CONFLICT',
    'entityTagDoesNotMatch',
    'changed meanwhile',
  ],
  [
    400,
    { error: { code: 'Request_BadRequest', details: [{ code: 'ObjectConflict', target: 'x' }] } },
    'CONFLICT',
    'ObjectConflict',
    'in a detail',
  ],
  [410, envelope('resyncRequired'), 'DELTA_RESET', 'resyncRequired', 'start over'],
  [410, undefined, 'DELTA_RESET', undefined, 'the status alone says it'],
  [400, envelope('SyncStateNotFound'), 'DELTA_RESET', 'SyncStateNotFound', 'another status, another case'],
  [400, envelope('Directory_ExpiredPageToken'), 'DELTA_RESET', 'Directory_ExpiredPageToken', 'asked too late'],
  [429, envelope('UnknownError'), 'THROTTLED', 'UnknownError', 'the status says how to go on'],
  [429, envelope('accessDenied'), 'THROTTLED', 'accessDenied', 'whatever the code'],
  [503, envelope('serviceNotAvailable'), 'THROTTLED', 'serviceNotAvailable', 'SharePoint throttles so'],
  [509, undefined, 'THROTTLED', undefined, 'bandwidth'],
  [500, envelope('itemNotFound'), 'TRANSIENT', 'itemNotFound', 'a fault of the service says nothing of the item'],
  [502, '<html>', 'TRANSIENT', undefined, 'a proxy'],
  [504, undefined, 'TRANSIENT', undefined, 'a proxy that waited'],
  [424, envelope('failedDependency'), 'TRANSIENT', 'failedDependency', 'of a batch: not run'],
  [400, envelope('invalidRequest'), 'UNEXPECTED', 'invalidRequest', 'ours to mend'],
  [501, undefined, 'UNEXPECTED', undefined, 'not there'],
  [507, envelope('quotaLimitReached'), 'UNEXPECTED', 'quotaLimitReached', 'full'],
  [302, undefined, 'UNEXPECTED', undefined, 'a redirect that may not be followed'],
  [
    400,
    { Error: { Code: 'generalException', INNERERROR: { cOdE: 'resyncRequired' } } },
    'DELTA_RESET',
    'resyncRequired',
    'any case',
  ],
  [
    400,
    envelope('itemNotFound', {
      code: 'unheardOf',
      innererror: { code: 'nameAlreadyExists', innerError: { code: 'unheardOfToo' } },
    }),
    'CONFLICT',
    'nameAlreadyExists',
    'the most specific one that is known',
  ],
  [400, envelope('a b <script>'), 'UNEXPECTED', undefined, 'a code that is text is not repeated'],
  [400, envelope('x'.repeat(5_000)), 'UNEXPECTED', 'x'.repeat(100), 'nor one without end'],
  [400, { error: 'invalid_request' }, 'UNEXPECTED', undefined, 'another envelope'],
  [400, null, 'UNEXPECTED', undefined, 'nothing'],
]
for (const [status, body, code, serviceCode, why] of refusals) {
  test(`${status} ${JSON.stringify(body)?.slice(0, 90)} is ${code}: ${why}`, () => {
    assert.deepEqual(judgeGraphError(status, body), { code, serviceCode })
  })
}

test('a body of any shape and depth is judged, and the message never', () => {
  const nested = fc.letrec((tie) => ({
    error: fc.record(
      {
        code: fc.oneof(fc.string(), fc.constant('itemNotFound')),
        message: fc.string(),
        innerError: fc.oneof(tie('error'), fc.anything()),
      },
      { requiredKeys: [] },
    ),
  })).error
  fc.assert(
    fc.property(fc.integer({ min: 300, max: 599 }), nested, (status, error) => {
      const { serviceCode } = judgeGraphError(status, { error })
      assert.match(serviceCode ?? 'x', /^[\w.:-]{1,100}$/)
    }),
  )
  let endless: unknown = { code: 'itemNotFound' }
  for (let depth = 0; depth < 10_000; depth++) endless = { innerError: endless }
  assert.equal(judgeGraphError(400, { error: endless }).code, 'UNEXPECTED')
})
