// Errors of the API (RFC 9457): a stable type, a title without data, and typed members for the rest. Only a Problem is ever shown outside;
// everything else becomes a bare 500 with the request's id. (control-plane.md §1, WS-6)

/** Every type there is: `/problems/<name>`; GET it to read the explanation. Features add theirs here, so that none is undocumented. */
export const PROBLEMS = {
  'bad-request': [
    400,
    'The request is not valid',
    'A parameter, header or the body is not as the description of the route says. `faults` lists every fault, with a JSON pointer to the place.',
  ],
  'malformed-body': [
    400,
    'The body can not be read',
    'The body is not JSON in UTF-8, nests deeper than 32 levels, or ends early.',
  ],
  'malformed-request': [
    400,
    'The request is not HTTP as it should be',
    'More than one Host, more than 100 header fields, or another version than HTTP/1.1.',
  ],
  'not-signed-in': [401, 'Sign in first', 'No valid session or API key came with the request.'],
  'sign-in-again': [
    401,
    'Sign in again for this',
    'The act is dangerous and needs a sign-in less than 5 minutes old, or an API key made for such acts.',
  ],
  'sign-in-failed': [
    401,
    'Signing in failed',
    'The identity provider or the one-time code did not prove who you are. Start again.',
  ],
  forbidden: [403, 'You may not do this', 'The member `permission` names what is missing.'],
  'cross-site': [
    403,
    'The request came from another site',
    'A browser session needs a same-origin request with the X-CSRF-Token header.',
  ],
  'not-found': [404, 'There is nothing here that you may see', 'It does not exist, or you may not know that it does.'],
  'method-not-allowed': [405, 'The resource has no such method', 'See the Allow header.'],
  'request-timeout': [408, 'The body took too long', 'See the limits in the description of the API.'],
  'not-acceptable': [406, 'The answer is not to be had in that form', 'See the description of the route.'],
  conflict: [409, 'The request conflicts with what is there', 'See `detail`.'],
  'idempotency-key-reused': [
    409,
    'The Idempotency-Key was used for another request',
    'Keys belong to one request for 24 hours. Use a new one.',
  ],
  'built-in-role': [409, 'Built-in roles can not be changed', 'They are part of the program. Make a role of your own.'],
  'last-administrator': [
    409,
    'The last administrator stays',
    'Make somebody else an administrator first: of the organization, or of the installation.',
  ],
  'role-in-use': [409, 'You act through this role', 'Nobody can change the role through which they act.'],
  'role-assigned': [409, 'Somebody has this role', 'Take it from the members that `members` counts first.'],
  'name-taken': [409, 'The name is taken', 'Choose another one.'],
  'region-mismatch': [
    409,
    'The region is not of this installation',
    'The region label of an organization must be that of the installation which keeps its data: `region`.',
  ],
  'tenant-taken': [
    409,
    'The tenant can not be attached here',
    'It is attached to an organization of this installation already, and a tenant belongs to one.',
  ],
  'tenant-not-connected': [
    409,
    'The tenant is not connected',
    'An administrator of the tenant has to consent first: `state` says how far it is. See `…/consent`.',
  ],
  'microsoft-refused': [
    424,
    'Microsoft 365 gave an answer that nothing can be done with',
    'Asking again would give the same: `code`, `cause` and `remedy` say why, `serviceCode` and `requestId` are for Microsoft.',
  ],
  'certificate-refused': [
    409,
    'The certificate was not taken',
    'Entra ID did not take it: `code`, `cause` and `remedy` say why. Upload it to the app registration of the tenant, wait a minute, and try again.',
  ],
  'tenant-registered': [
    409,
    'The project has such a tenant already',
    '`member` names what must be unique in the project: tenantId, label, or the side that only one tenant can have.',
  ],
  'domain-taken': [
    409,
    'Another tenant of the project has the domain',
    'A domain belongs to one tenant. `domains` lists those that another one has.',
  ],
  'domain-in-use': [
    409,
    'The mapping uses the domain',
    'Mapped addresses must be in accepted domains of the project. `domains` says how many entries and rules would fall outside: change the mapping first.',
  ],
  'deletion-not-requested': [409, 'Deletion has not been asked for', 'Ask for it first.'],
  'deletion-pending': [409, 'Deletion has been asked for', 'Undo it, or wait until it is carried out.'],
  'mapping-conflict': [
    409,
    'The change does not fit the mapping table',
    'An address would be known in two entries, rules would chain, or an entry to remove is not there. `faults` names every place, with the id of the entry or rule that stands against it; nothing was changed.',
  ],
  'discovery-needed': [
    409,
    'The tenants have not been discovered',
    'Matching looks at the latest completed discovery of each tenant of the project; `tenants` lists those without one.',
  ],
  'matching-running': [
    409,
    'Another matching is going on',
    'Wait for it, or cancel it: `operation`. Two at once would propose the same pairs.',
  ],
  'pair-conflict': [
    409,
    'The pairs do not fit what is there',
    'An account is unknown, named twice, of a kind that can not be paired so, or paired already. `faults` names every place, with the id of the pair that stands against it; nothing was changed.',
  ],
  'pair-has-content': [
    409,
    'Content was copied for this pair',
    'What was copied stays where it is. Repeat the request with `despiteContent=true` to unpair all the same.',
  ],
  'coexistence-on': [
    409,
    'Coexistence is not off',
    'Its rules route mail in the tenants: turn it and free/busy off first. Repeat the request with `despiteCoexistence=true` to go on all the same; what stands in the tenants then stays there.',
  ],
  'marker-token-pending': [
    409,
    'The last token of the marker is not in use yet',
    'Two tokens are valid at a time, and while coexistence is not off relays write the new one only after the mail flow rules of both tenants have named it for an hour: it was made at `since`. Wait for it; where `…/coexistence` shows problems or drift, mend those first. It is in use at once when coexistence is off.',
  ],
  'coexistence-refused': [
    409,
    'Coexistence could not be turned on',
    'What stood against it came before the first rule acted, so all that was done was undone: `problems` says what.',
  ],
  'revision-gone': [
    410,
    'That revision can not be had any more',
    'Old versions of entries are deleted after the time that the settings say. `horizon` is the oldest revision there is.',
  ],
  'limit-reached': [409, 'There are as many as can be', 'The member `limit` says how many. Delete one first.'],
  'delivery-pending': [409, 'It is being sent', 'It can be sent again when it is delivered or has failed.'],
  'operation-finished': [409, 'The operation has ended', 'What has ended can not be cancelled.'],
  'operation-not-cancellable': [
    409,
    'Such an operation can not be cancelled',
    'Stopping half-way would leave more harm than going on.',
  ],
  'operation-given-up': [
    500,
    'The work failed again and again',
    'Problem of an operation whose job is in the list of failed jobs; `reason` says why.',
  ],
  'stale-etag': [
    412,
    'It was changed meanwhile',
    'Read it again, look at what changed, and send the change with the new ETag.',
  ],
  'too-large': [413, 'The body is too large', 'See the limits in the description of the route.'],
  'unsupported-media-type': [
    415,
    'The body is of another type than the route takes',
    'See the description of the route.',
  ],
  'confirm-count': [
    422,
    'So much is only done with confirmation',
    'Repeat the request with `confirm` set to the number in `count`.',
  ],
  'enrolment-refused': [
    403,
    'The enrolment code is not taken',
    'It was never given out, was used by another relay, was cancelled, or is older than 15 minutes. Ask for a new one.',
  ],
  'relay-token-refused': [
    401,
    'The token of the relay is not taken',
    'It has to be signed by the key that the relay enrolled with, be for this installation, live at most 60 s, and be used once. See the clock of the relay.',
  ],
  'relay-revoked': [410, 'The relay was revoked', 'It is cut off for good. Enrol the machine anew to take it back.'],
  'dkim-not-published': [
    409,
    'The DNS record of the key is not there yet',
    'Receivers would refuse what the key signs. Publish the record, wait for DNS, and try again; `found` says what was seen.',
  ],
  'etag-needed': [428, 'Say which version you change', 'Send If-Match with the ETag of the version you have read.'],
  'too-many-requests': [429, 'Too many requests', 'Wait for as long as Retry-After says.'],
  internal: [500, 'Something went wrong here', 'The request id finds it in the log.'],
  unavailable: [503, 'A service that this needs is away', 'Nothing was changed. Try again after Retry-After.'],
} as const satisfies Record<string, readonly [status: number, title: string, description: string]>

export type ProblemName = keyof typeof PROBLEMS

/** One fault of a request: where (JSON pointer, `/query/limit`, `/headers/if-match`), and what. */
export interface RequestFault {
  readonly pointer: string
  readonly code: string
  readonly detail: string
  /** Of an uploaded file, from 1. */
  readonly line?: number
  readonly column?: number
  /** Id of what is there already and stands against it. */
  readonly existing?: string
  /** The other place in the request that it can't be together with. */
  readonly other?: string
}

export interface ProblemMembers {
  readonly detail?: string
  readonly faults?: readonly RequestFault[]
  /** s; becomes the Retry-After header. */
  readonly retryAfter?: number
  readonly [member: string]: unknown
}

export class Problem extends Error {
  override readonly name = 'Problem'
  readonly type: ProblemName
  readonly status: number
  readonly members: ProblemMembers

  constructor(type: ProblemName, members: ProblemMembers = {}, options?: { cause?: unknown }) {
    super(PROBLEMS[type][1], options)
    this.type = type
    this.status = PROBLEMS[type][0]
    this.members = members
  }

  toJson(requestId: string): Record<string, unknown> {
    return { type: `/problems/${this.type}`, title: this.message, status: this.status, ...this.members, requestId }
  }
}

export const notFound = (): Problem => new Problem('not-found')
export const badRequest = (faults: readonly RequestFault[]): Problem => new Problem('bad-request', { faults })
