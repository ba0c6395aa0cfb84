// rewriting.md §13, DL-11, R78, SP-5: which way a message goes on, and a report on it comes back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planRoutes } from '../../../mta/inbound/plan-routes.ts'
import type { RoutedMessage } from '../../../mta/inbound/plan-routes.ts'
import { Tenants } from '../../../mta/tenants.ts'
import {
  compileTable,
  DEFAULT_POLICY,
  fromMailboxes,
  rewriteEnvelope,
  scanHeader,
} from '../../../rewrite-rules/index.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'

const S = { id: 's', tenantId: undefined, acceptedDomains: ['contoso.com', 'corp.contoso.com', 's.onmicrosoft.com'] }
const T = { id: 't', tenantId: undefined, acceptedDomains: ['fabrikam.com', 'corp.fabrikam.com'] }
const tenants = new Tenants([S, T])

interface Case extends Partial<
  Pick<RoutedMessage, 'direction' | 'handedBy' | 'hasMx' | 'isLocal' | 'tenants' | 'policy'>
> {
  readonly sender: string
  readonly from?: string
  readonly to: readonly string[]
  /** Route of alice's entry. */
  readonly route?: string
}

function plan({ sender, from = sender, to, route, ...changes }: Case): string {
  const entries = EXAMPLE_TABLE.entries.map((entry) =>
    route !== undefined && entry.known.includes('alice@contoso.com') ? { ...entry, route } : entry,
  )
  const table = compileTable({ ...EXAMPLE_TABLE, entries })
  const direction = changes.direction ?? 'out'
  const policy = changes.policy ?? DEFAULT_POLICY
  const received = { reversePath: sender, parameters: {}, forwardPaths: to.map((path) => ({ path, parameters: {} })) }
  const { envelope } = rewriteEnvelope(received, { direction, table, policy })
  const result = planRoutes({
    direction,
    reversePath: sender,
    receivedPaths: to,
    envelope,
    from: fromMailboxes(scanHeader(Buffer.from(`From: ${from}\r\n\r\n`))),
    isSmtpUtf8: false,
    table,
    policy,
    handedBy: 's',
    tenants,
    hasMx: true,
    isLocal: false,
    ...changes,
  })
  if (result.kind === 'refused') return result.reply.line.slice(0, 9)
  return `${result.route}: ${result.routes.join(' ')} / ${result.returnRoute}`
}

const DANA = ['dana@example.net']
const cases: [is: string, question: Case, why: string][] = [
  [
    'owner-tenant: tenant:t / tenant:s',
    { sender: 'alice@contoso.com', to: DANA },
    'the tenant of the presented address sends it out (DL-11)',
  ],
  [
    'owner-tenant: tenant:s / tenant:s',
    { sender: 'carol@contoso.com', to: DANA },
    'presented under the old name: its own tenant',
  ],
  [
    'owner-tenant: tenant:s / tenant:s',
    { sender: 'unknown@contoso.com', to: DANA },
    'no entry: unchanged, so its own tenant',
  ],
  ['owner-tenant: tenant:t / tenant:s', { sender: 'print@corp.contoso.com', to: DANA }, 'a domain rule presents it'],
  [
    'owner-tenant: tenant:t tenant:t / tenant:s',
    { sender: 'alice@contoso.com', to: [...DANA, 'x@example.org'] },
    'one route for all recipients',
  ],
  [
    'owner-tenant: tenant:t / tenant:s',
    { sender: '', from: 'Alice <alice@contoso.com>', to: DANA },
    'null reverse-path: the first author, presented',
  ],
  [
    'owner-tenant: tenant:s / tenant:s',
    { sender: '', from: 'x@contoso.com, alice@contoso.com', to: DANA },
    'the first author, not the first that matches',
  ],
  [
    'return: tenant:s / tenant:s',
    { sender: '', from: 'mailer-daemon@example.org', to: DANA },
    'a forwarded bounce: nobody here owns its sender',
  ],
  [
    'return: tenant:t / tenant:t',
    { sender: '', from: 'mailer-daemon@example.org', to: DANA, handedBy: 't' },
    'back to whoever handed it over',
  ],
  ['return: tenant:s / tenant:s', { sender: 'alice@contoso.com', to: DANA, route: 'return' }, 'the entry says so'],
  [
    'return: tenant:s / tenant:s',
    { sender: 'bob@contoso.com', to: DANA, policy: { ...DEFAULT_POLICY, route: 'return' } },
    'the policy says so',
  ],
  [
    'owner-tenant: tenant:t / tenant:s',
    { sender: 'alice@contoso.com', to: DANA, route: 'owner-tenant', policy: { ...DEFAULT_POLICY, route: 'return' } },
    'the entry before the policy',
  ],
  [
    'mx: mx:example.net mx:xn--mnchen-3ya.example / tenant:s',
    { sender: 'alice@contoso.com', to: ['dana@Example.NET', 'x@münchen.example'], route: 'mx' },
    'one lane a domain',
  ],
  [
    'mx: mx:example.net / tenant:s',
    { sender: '', from: 'x@example.org, alice@contoso.com', to: DANA, route: 'mx' },
    'null reverse-path: the first author that the table knows',
  ],
  [
    '451 4.3.5',
    { sender: 'alice@contoso.com', to: DANA, route: 'mx', hasMx: false },
    'an entry asks for what is not configured: mail waits',
  ],
  ['550 5.7.1', { sender: 'eve@evil.example', to: DANA }, 'SP-5: no sender of the project'],
  ['550 5.7.1', { sender: 'eve@sub.contoso.com', to: DANA }, 'SP-5: a sub-domain is another domain'],

  [
    'mailbox: tenant:s / tenant:t',
    { direction: 'in', handedBy: 't', sender: 'dana@example.net', to: ['alice.smith@fabrikam.com'] },
    'to the tenant that holds the mailbox; reports through the one that handed it over',
  ],
  [
    'mailbox: tenant:s tenant:s / tenant:t',
    {
      direction: 'in',
      handedBy: 't',
      sender: 'dana@example.net',
      to: ['alice.smith@fabrikam.com', 'sales@fabrikam.com'],
    },
    'each recipient for itself',
  ],
  [
    '451 4.4.6',
    { direction: 'in', handedBy: 't', sender: 'dana@example.net', to: ['bob@contoso.com'] },
    'R78: the table says the mailbox is where the mail came from',
  ],
  [
    '451 4.4.6',
    {
      direction: 'in',
      handedBy: 't',
      sender: 'dana@example.net',
      to: ['alice.smith@fabrikam.com', 'bob@fabrikam.com'],
    },
    'R78: one such recipient is enough',
  ],
  [
    '550 5.7.1',
    { direction: 'in', handedBy: 't', sender: 'dana@example.net', to: ['x@evil.example'] },
    'SP-5: not in a domain of the project',
  ],
  [
    '550 5.7.1',
    { direction: 'in', handedBy: 't', sender: 'dana@example.net', to: ['alice.smith@fabrikam.com', 'x@evil.example'] },
    'SP-5: every recipient',
  ],

  [
    'owner-tenant: tenant:t / tenant:s',
    { sender: 'alice@contoso.com', to: DANA, handedBy: undefined, isLocal: true },
    "a trusted listener: its sender's tenant",
  ],
  [
    'owner-tenant: tenant:t / tenant:t',
    { sender: '', from: 'alice@contoso.com', to: DANA, handedBy: undefined, isLocal: true },
    "or its author's",
  ],
  [
    '451 4.3.5',
    { sender: 'eve@evil.example', to: DANA, handedBy: undefined, isLocal: true },
    'nobody a report could go back through',
  ],
  [
    'mailbox: tenant:s / tenant:t',
    {
      direction: 'in',
      sender: 'dana@example.net',
      to: ['alice.smith@fabrikam.com'],
      handedBy: undefined,
      isLocal: true,
    },
    'the tenant that the outsider wrote to',
  ],

  [
    'owner-tenant: owner-tenant / mailbox',
    { sender: 'alice@contoso.com', to: DANA, tenants: undefined, handedBy: undefined },
    'without tenants the direction alone',
  ],
  [
    'mailbox: mailbox / owner-tenant',
    { direction: 'in', sender: 'dana@example.net', to: ['x@y.example'], tenants: undefined, handedBy: undefined },
    'likewise',
  ],
]
for (const [is, question, why] of cases) {
  test(`§13 ${question.direction ?? 'out'} <${question.sender}> is ${is}: ${why}`, () =>
    assert.equal(plan(question), is))
}
