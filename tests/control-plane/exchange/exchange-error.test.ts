// Exchange's refusals by the exception's type between the bars; statuses are no guide. (microsoft-365.md §14.1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { judgeExchangeError } from '../../../control-plane/exchange/exchange-error.ts'
import type { MicrosoftErrorCode } from '../../../control-plane/microsoft/microsoft-error.ts'

const TASKS = 'Microsoft.Exchange.Configuration.Tasks'
const said = (type: string, text = "The operation couldn't be performed because object 'x' couldn't be found.") => ({
  error: {
    code: 'InternalServerError',
    message: 'Error executing cmdlet',
    details: [{ code: 'Client', target: '', message: `Ex6F9304|${type}|${text}` }],
    innererror: {
      message: 'Error executing cmdlet',
      type: 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException',
      internalexception: { message: text, type },
    },
  },
})

const refusals: [
  status: number,
  body: unknown,
  code: MicrosoftErrorCode,
  serviceCode: string | undefined,
  why: string,
][] = [
  [404, said(`${TASKS}.ManagementObjectNotFoundException`), 'NOT_FOUND', 'ManagementObjectNotFoundException', 'absent'],
  [
    500,
    said(`${TASKS}.ManagementObjectNotFoundException`),
    'NOT_FOUND',
    'ManagementObjectNotFoundException',
    'absent, in old samples',
  ],
  [
    400,
    said('Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException'),
    'CONFLICT',
    'ADObjectAlreadyExistsException',
    'exists',
  ],
  [
    400,
    said('Microsoft.Exchange.Management.Tasks.MemberAlreadyExistsException'),
    'CONFLICT',
    'MemberAlreadyExistsException',
    'already a member',
  ],
  [
    400,
    said('Microsoft.Exchange.Management.Tasks.MemberNotFoundException'),
    'NOT_FOUND',
    'MemberNotFoundException',
    'not a member',
  ],
  [
    400,
    said('System.Management.Automation.CommandNotFoundException'),
    'RBAC_MISSING',
    'CommandNotFoundException',
    'no role of ours has the cmdlet',
  ],
  [
    403,
    said('Microsoft.Exchange.Configuration.Authorization.CmdletAccessDeniedException'),
    'RBAC_MISSING',
    'CmdletAccessDeniedException',
    'denied',
  ],
  [
    401,
    said('System.UnauthorizedAccessException'),
    'RBAC_MISSING',
    'UnauthorizedAccessException',
    'the token is good, the role is missing',
  ],
  [
    500,
    said('Microsoft.Exchange.Data.Storage.OverBudgetException'),
    'THROTTLED',
    'OverBudgetException',
    'too much, by another status',
  ],
  [500, said('Microsoft.Exchange.Data.Directory.ADTransientException'), 'TRANSIENT', 'ADTransientException', 'passes'],
  [
    500,
    said('Microsoft.Exchange.Management.UnheardOfException'),
    'UNEXPECTED',
    'UnheardOfException',
    'it blames the call',
  ],
  [400, said('Microsoft.Exchange.Management.UnheardOfException'), 'UNEXPECTED', 'UnheardOfException', 'the same'],
  [
    429,
    said('Microsoft.Exchange.Management.UnheardOfException'),
    'THROTTLED',
    'UnheardOfException',
    'an unknown type leaves the status',
  ],
  [401, undefined, 'AUTH_TOKEN', undefined, 'a token that is no good'],
  [401, { error: { code: 'Unauthorized', message: 'x' } }, 'AUTH_TOKEN', 'Unauthorized', 'the same from the gateway'],
  [
    401,
    {
      error: {
        code: 'Unauthorized',
        innererror: { type: 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException' },
      },
    },
    'RBAC_MISSING',
    'Unauthorized',
    'the service took the token and refuses the application',
  ],
  [
    403,
    { error: { code: 'Forbidden', innererror: { type: 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException' } } },
    'RBAC_MISSING',
    'Forbidden',
    'the same by another status',
  ],
  [403, undefined, 'RBAC_MISSING', undefined, 'a consent opens nothing in Exchange'],
  [404, { error: { code: 'NotFound', message: 'x' } }, 'NOT_FOUND', 'NotFound', 'without details'],
  [500, { error: { code: 'InternalServerError' } }, 'TRANSIENT', 'InternalServerError', 'a fault of the service'],
  [503, '<html>', 'THROTTLED', undefined, 'overloaded'],
  [502, undefined, 'TRANSIENT', undefined, 'a proxy'],
  [
    400,
    { Error: { Details: [{ Message: `Ex1|${TASKS}.ManagementObjectNotFoundException|y` }] } },
    'NOT_FOUND',
    'ManagementObjectNotFoundException',
    'members in any case',
  ],
  [
    400,
    { error: { innererror: { internalexception: { type: `${TASKS}.ManagementObjectNotFoundException` } } } },
    'NOT_FOUND',
    'ManagementObjectNotFoundException',
    'only inside',
  ],
  [
    400,
    { error: { details: [{ message: 'no bars' }, { message: 5 }, null] } },
    'UNEXPECTED',
    undefined,
    'details of another kind',
  ],
  [400, { error: { code: 'alice@contoso.com' } }, 'UNEXPECTED', undefined, 'a code that is data is not repeated'],
]
for (const [status, body, code, serviceCode, why] of refusals) {
  test(`${status} ${serviceCode ?? JSON.stringify(body)} is ${code}: ${why}`, () => {
    assert.deepEqual(judgeExchangeError(status, body), { code, serviceCode })
  })
}

test('an error that quotes somebody’s text is judged by its type alone', () => {
  const text = `|${TASKS}.ManagementObjectNotFoundException|`
  assert.equal(
    judgeExchangeError(400, said('Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException', text)).code,
    'CONFLICT',
  )
})

test('a body of any shape is judged', () => {
  fc.assert(
    fc.property(fc.integer({ min: 300, max: 599 }), fc.anything(), fc.string(), (status, value, message) => {
      for (const body of [value, { error: value }, { error: { details: [{ code: 'Client', message }] } }])
        assert.match(judgeExchangeError(status, body).serviceCode ?? 'x', /^[\w.`+-]{1,200}$/)
    }),
  )
})
