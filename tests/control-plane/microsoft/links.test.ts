// Links that answers hand out: only the connection's own hosts, whatever is tried. (microsoft-365.md §1, host allow-list)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CLOUDS } from '../../../control-plane/microsoft/clouds.ts'
import { connectionEndpoints } from '../../../control-plane/microsoft/endpoints.ts'
import { checkLink, ownAddress } from '../../../control-plane/microsoft/links.ts'
import type { LinkPurpose } from '../../../control-plane/microsoft/links.ts'
import { MicrosoftError } from '../../../control-plane/microsoft/microsoft-error.ts'

const NO_SANDBOX = { entra: undefined, graph: undefined, exchange: undefined }
const at = (port: number) => new URL(`http://127.0.0.1:${port}`)
const SANDBOX = { entra: at(1), graph: at(2), exchange: at(3) }
const real = connectionEndpoints('global', 'production', NO_SANDBOX)
const simulated = connectionEndpoints('global', 'evaluation', SANDBOX)

const refused = (error: unknown): boolean => error instanceof MicrosoftError && error.code === 'LINK_REFUSED'

const good: [purpose: LinkPurpose, link: string, reachAt: string, why: string][] = [
  [
    'graph',
    'https://graph.microsoft.com/v1.0/users/delta()?$skiptoken=a-b_c%20d',
    'https://graph.microsoft.com/v1.0/users/delta()?$skiptoken=a-b_c%20d',
    'the next page',
  ],
  ['graph', 'https://graph.microsoft.com/beta/x', 'https://graph.microsoft.com/beta/x', 'of beta'],
  ['graph', 'HTTPS://Graph.Microsoft.com/V1.0/x', 'https://graph.microsoft.com/V1.0/x', 'hosts have no case'],
  [
    'exchange',
    'https://outlook.office365.com:443/adminapi/beta/t/InvokeCommand?$skiptoken=1',
    'https://outlook.office365.com/adminapi/beta/t/InvokeCommand?$skiptoken=1',
    'Exchange writes the port out',
  ],
  [
    'download',
    'https://reports.office.com/data/download/abc',
    'https://reports.office.com/data/download/abc',
    'a report, as the reference page shows it',
  ],
  [
    'download',
    'https://reportsweu.office.com/data/v1.0/download?token=a%3D',
    'https://reportsweu.office.com/data/v1.0/download?token=a%3D',
    'a regional host',
  ],
  [
    'download',
    'https://contoso-my.sharepoint.com/x?tempauth=y',
    'https://contoso-my.sharepoint.com/x?tempauth=y',
    'a file',
  ],
]
for (const [purpose, link, reachAt, why] of good) {
  test(`${purpose} ${link} is followed: ${why}`, () => {
    const address = checkLink(real, purpose, link)
    assert.equal(address.reachAt, reachAt)
    assert.equal(address.takesToken, purpose !== 'download')
  })
}

const bad: [purpose: LinkPurpose, link: unknown, why: string][] = [
  ['graph', 'http://graph.microsoft.com/v1.0/x', 'cleartext'],
  ['graph', 'https://graph.microsoft.com.attacker.example/v1.0/x', 'a longer name'],
  ['graph', 'https://attacker.example/graph.microsoft.com/v1.0/x', 'the name in the path'],
  ['graph', 'https://graph.microsoft.com@attacker.example/v1.0/x', 'credentials that look like the host'],
  ['graph', 'https://user:pw@graph.microsoft.com/v1.0/x', 'credentials'],
  ['graph', 'https://graph.microsoft.com:8443/v1.0/x', 'another port'],
  ['graph', 'https://graph.microsoft.com:443@attacker.example/v1.0/x', 'a port that is a password'],
  ['graph', 'https://graph.microsoft.com./v1.0/x', 'another name, though DNS finds the same'],
  ['graph', 'https://gr\u0430ph.microsoft.com/v1.0/x', 'a Cyrillic a'],
  ['graph', 'https://graph\u3002microsoft.com/v1.0/x', 'an ideographic full stop, which URL parsers mend'],
  ['graph', 'https://xn--grph-83d.microsoft.com/v1.0/x', 'the same in A-labels'],
  ['graph', 'https://graph%2Emicrosoft.com/v1.0/x', 'an escape in the host'],
  ['graph', 'https://graph.microsoft.com\\@attacker.example/v1.0/x', 'a backslash'],
  ['graph', 'https:\\\\graph.microsoft.com/v1.0/x', 'backslashes for slashes'],
  ['graph', 'https:graph.microsoft.com/v1.0/x', 'no slashes'],
  ['graph', 'https:///graph.microsoft.com/v1.0/x', 'a slash more'],
  ['graph', '//graph.microsoft.com/v1.0/x', 'no scheme'],
  ['graph', '/v1.0/users?$skiptoken=x', 'relative'],
  ['graph', 'https://graph.microsoft.com/v1.0/x#y', 'a fragment'],
  ['graph', ' https://graph.microsoft.com/v1.0/x', 'a space before'],
  ['graph', 'https://graph.microsoft.com/v1.0/x y', 'a space inside'],
  ['graph', 'https://gra\tph.microsoft.com/v1.0/x', 'a tab, which URL parsers drop'],
  ['graph', 'https://graph.microsoft.com/v1.0/x\r\nHost: attacker.example', 'a line break'],
  ['graph', 'https://graph.microsoft.com/v1.0/../oauth/x', 'out of the version by dots'],
  ['graph', 'https://graph.microsoft.com/v1.0/%2e%2E/x', 'out of the version by escaped dots'],
  ['graph', 'https://graph.microsoft.com/x', 'no version'],
  ['graph', 'https://outlook.office365.com/v1.0/x', 'another service'],
  ['graph', 'https://graph.microsoft.us/v1.0/x', 'another cloud'],
  ['graph', 'https://login.microsoftonline.com/v1.0/x', 'the login service'],
  ['graph', 'https://graph.sandbox.test/v1.0/x', 'a sandbox where there is none'],
  ['graph', 'https://127.0.0.1/v1.0/x', 'this machine'],
  ['graph', 'https://169.254.169.254/v1.0/x', "a cloud machine's metadata"],
  ['graph', 'https://[::1]/v1.0/x', 'this machine by IPv6'],
  ['graph', 'file:///etc/passwd', 'a file'],
  ['graph', `https://graph.microsoft.com/v1.0/${'x'.repeat(16_384)}`, 'too long'],
  ['graph', '', 'nothing'],
  ['graph', 42, 'no text'],
  ['graph', undefined, 'absent'],
  ['graph', ['https://graph.microsoft.com/v1.0/x'], 'a list'],
  ['exchange', 'https://outlook.office365.com/ews/exchange.asmx', 'another door of Exchange'],
  ['exchange', 'https://outlook.office365.com:444/adminapi/beta/x', 'another port'],
  ['exchange', 'https://graph.microsoft.com/adminapi/beta/x', 'another service'],
  ['download', 'https://graph.microsoft.com/v1.0/x', 'Graph itself, which would want a token'],
  ['download', 'https://reports.office.com.attacker.example/data', 'a longer name'],
  ['download', 'https://attacker.example/?reports.office.com', 'the name in the query'],
  ['download', 'https://reports.office.com:8443/data', 'another port'],
  ['download', 'https://sharepoint.com/x', 'nobody’s SharePoint'],
  ['download', 'https://a.b.sharepoint.com/x', 'more labels than a tenant has'],
  ['download', 'https://contoso.sharepoint.com@attacker.example/x', 'credentials that look like the host'],
  ['download', 'http://reports.office.com/data', 'cleartext'],
]
for (const [purpose, link, why] of bad) {
  test(`${purpose} ${JSON.stringify(link)?.slice(0, 80)} is refused: ${why}`, () => {
    assert.throws(() => checkLink(real, purpose, link), refused)
  })
}

test('a link can never lead to an origin that is not of the connection', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'https://',
      'graph.microsoft.com',
      '/v1.0/',
      '@',
      ':',
      '443',
      '\\',
      '#',
      '?',
      '.',
      '%2e',
      '//',
      '..',
    ),
    fc.string({ maxLength: 6 }),
  )
  const origins: Record<LinkPurpose, RegExp> = {
    graph: /^https:\/\/graph\.microsoft\.com$/,
    exchange: /^https:\/\/outlook\.office365\.com$/,
    download: /^https:\/\/(?:[a-z0-9-]+\.sharepoint|reports[a-z]*\.office)\.com$/,
  }
  fc.assert(
    fc.property(
      fc.constantFrom<LinkPurpose>('graph', 'exchange', 'download'),
      fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
      (purpose, link) => {
        try {
          assert.match(new URL(checkLink(real, purpose, link).reachAt).origin, origins[purpose])
        } catch (error) {
          assert.ok(refused(error), String(error))
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('links of a sandbox name its own origins and are reached where it listens', () => {
  const { reachAt } = checkLink(simulated, 'graph', 'https://graph.sandbox.test/v1.0/users?$skiptoken=1')
  assert.equal(reachAt, 'http://127.0.0.1:2/v1.0/users?$skiptoken=1')
  assert.equal(
    checkLink(simulated, 'exchange', 'https://outlook.sandbox.test/adminapi/beta/t/InvokeCommand').reachAt,
    'http://127.0.0.1:3/adminapi/beta/t/InvokeCommand',
  )
  const download = checkLink(simulated, 'download', 'https://graph.sandbox.test/download/r')
  assert.deepEqual([download.reachAt, download.takesToken], ['http://127.0.0.1:2/download/r', false])
  for (const link of ['http://127.0.0.1:2/v1.0/x', 'https://graph.microsoft.com/v1.0/x', 'https://127.0.0.1:2/v1.0/x'])
    assert.throws(() => checkLink(simulated, 'graph', link), refused, link)
})

test('no host of one cloud is one of another, but for the login of the two American government clouds', () => {
  const all = CLOUDS.map((cloud) => connectionEndpoints(cloud, 'production', NO_SANDBOX))
  for (const service of ['graph', 'exchange'] as const)
    assert.equal(new Set(all.map((endpoints) => endpoints[service].origin)).size, CLOUDS.length)
  for (const cloud of CLOUDS) {
    const { graph, audiences } = connectionEndpoints(cloud, 'production', NO_SANDBOX)
    assert.equal(audiences.graph, graph.origin)
    assert.equal(graph.reachAt, graph.origin)
  }
})

const refusedSandboxes: [mode: 'production' | 'evaluation', urls: typeof SANDBOX, why: string][] = [
  ['production', SANDBOX, 'never in production'],
  ['production', { ...NO_SANDBOX, graph: at(2) } as never, 'nor a part of one'],
  ['evaluation', { ...SANDBOX, graph: undefined } as never, 'simulated tokens would go to the real Graph'],
  ['evaluation', { ...SANDBOX, entra: undefined } as never, 'real tokens would go to the sandbox'],
  ['evaluation', { ...SANDBOX, graph: new URL('https://graph.microsoft.com') }, 'the real Graph is no sandbox'],
]
for (const [mode, urls, why] of refusedSandboxes) {
  test(`a sandbox is refused (${mode}): ${why}`, () => {
    assert.throws(() => connectionEndpoints('global', mode, urls), /simulated/)
  })
}

test('a path of ours never leaves its host', () => {
  for (const path of ['@attacker.example/', '.attacker.example/', ':81/', '//attacker.example/..'])
    try {
      assert.equal(new URL(ownAddress(real.graph, path).reachAt).host, 'graph.microsoft.com', path)
    } catch (error) {
      assert.match(String(error), /unreachable|Invalid URL/, path)
    }
})
