// A simulated Azure Key Vault: HTTPS on loopback, bearer challenge, keys as the REST API 7.x has them, faults on demand. It answers to
// `NAME.vault.azure.net`: whoever tries it resolves that name to 127.0.0.1 and trusts the certificate's authority, and nothing of the
// client's own checks has to be switched off. State is gone with the process.
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { VaultFault, VaultKeys } from './keys.ts'
import type { DeletedVaultKey, RecoveryLevel, VaultKey, VaultKeyVersion } from './keys.ts'

const MAX_BODY_BYTES = 64 * 1024
const NAME = /^[0-9a-zA-Z-]{1,127}$/

/** What the vault does wrong until it is told otherwise. */
export interface VaultFaults {
  /** The next so many requests that carry a token are answered with `status`, after the connection is made. */
  readonly failures?: {
    readonly count: number
    readonly status: number
    readonly retryAfter?: string
    readonly body?: string
  }
  /** Connections are cut without an answer. */
  readonly isUnreachable?: boolean
  /** Answers only when this resolves. */
  readonly until?: Promise<void>
  /** Host in the `kid` of every answer. */
  readonly foreignHost?: string
  /** Speaks of this key, whatever was asked for. */
  readonly otherKey?: string
  /** Sends every request on to there. */
  readonly redirect?: string
  /** `resource` of the challenge. */
  readonly challengeResource?: string
}

export interface VaultOptions {
  /** `NAME.vault.azure.net`; the certificate must be good for it. */
  readonly host: string
  /** PEM. */
  readonly tls: { readonly key: string; readonly cert: string }
  readonly now: () => number
  readonly recoveryLevel?: RecoveryLevel
  readonly tenant?: string
}

export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly isAuthorised: boolean
}

export interface Vault {
  /** `https://host:port` */
  readonly url: string
  readonly port: number
  readonly keys: VaultKeys
  readonly requests: readonly RecordedRequest[]
  /** A bearer token the vault believes, as Entra ID would issue it. */
  issueToken(lifeMs: number): string
  setFaults(faults: VaultFaults): void
  close(): Promise<void>
}

export async function startVault(options: VaultOptions): Promise<Vault> {
  const { host, tls, now, tenant = '00000000-0000-4000-8000-000000000000' } = options
  const keys = new VaultKeys(now, options.recoveryLevel ?? 'Recoverable+Purgeable')
  const tokens = new Map<string, number>()
  const requests: RecordedRequest[] = []
  let faults: VaultFaults = {}
  let failuresLeft = 0

  const server = createServer({ ...tls, minVersion: 'TLSv1.2' }, (request, response) => {
    void answer(request, response).catch((error: unknown) => {
      const fault =
        error instanceof VaultFault
          ? error
          : new VaultFault(500, 'InternalServerError', 'The vault has a fault of its own.')
      sendFault(response, fault)
    })
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isAuthorised = (tokens.get(bearerOf(request)) ?? 0) > now()
    requests.push({ method: request.method ?? '', path: request.url ?? '', isAuthorised })
    if (faults.isUnreachable === true) return void request.socket.destroy()
    await faults.until
    if (faults.redirect !== undefined) return void response.writeHead(307, { location: faults.redirect }).end()
    if (!isAuthorised) return challenge(response)
    if (failuresLeft > 0 && faults.failures !== undefined) {
      failuresLeft--
      const { status, retryAfter, body } = faults.failures
      response.writeHead(status, {
        'content-type': 'application/json',
        ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
      })
      response.end(
        body ??
          JSON.stringify({ error: { code: status === 429 ? 'Throttled' : 'Unavailable', message: 'Come again.' } }),
      )
      return
    }
    const url = new URL(request.url ?? '/', `https://${host}`)
    if (!/^(7\.\d|20\d\d-\d\d-\d\d)/.test(url.searchParams.get('api-version') ?? '')) {
      throw new VaultFault(400, 'BadParameter', 'The request has no api-version that is supported.')
    }
    const found = await route(request.method ?? '', url.pathname, await readBody(request))
    if (found === undefined) response.writeHead(204).end()
    else response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(found))
  }

  function challenge(response: ServerResponse): void {
    const resource = faults.challengeResource ?? `https://${host.split('.').slice(1).join('.')}`
    response.setHeader(
      'www-authenticate',
      `Bearer authorization="https://login.microsoftonline.com/${tenant}", resource="${resource}"`,
    )
    sendFault(response, new VaultFault(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'))
  }

  /** What the API answers with; undefined for 204. */
  async function route(method: string, path: string, body: Record<string, unknown>): Promise<unknown> {
    const [, collection, name = '', version = '', act = ''] = path.split('/')
    if (!NAME.test(name)) throw new VaultFault(400, 'BadParameter', 'The request URI contains an invalid name.')
    if (collection === 'deletedkeys') return routeDeleted(method, name, version)
    if (collection !== 'keys') throw new VaultFault(404, 'NotFound', 'There is no such collection here.')
    const step =
      act === ''
        ? `${method} ${['create', 'rotate', 'versions'].includes(version) ? version : ''}`
        : `${method} */${act}`
    switch (step.trim()) {
      case 'POST create': {
        const operations = Array.isArray(body['key_ops']) ? body['key_ops'].map(String) : ['wrapKey', 'unwrapKey']
        return bundle(await keys.create(name, String(body['kty']), Number(body['key_size'] ?? 2048), operations))
      }
      case 'POST rotate':
        return bundle(await keys.rotate(name))
      case 'GET versions':
        return {
          value: keys
            .find(name)
            .versions.map((each) => ({ kid: kidOf(name, each.version), attributes: attributesOf(each) })),
        }
      case 'GET':
        return bundle(keys.find(name), keys.findVersion(name, version))
      case 'PATCH': {
        const attributes = (body['attributes'] ?? {}) as { enabled?: boolean; exp?: number }
        const change = {
          ...(attributes.enabled === undefined ? {} : { isEnabled: attributes.enabled }),
          ...(attributes.exp === undefined ? {} : { expiresMs: attributes.exp * 1000 }),
        }
        return bundle(keys.find(name), keys.update(name, version, change))
      }
      case 'POST */wrapkey':
        return {
          kid: kidOf(name, version),
          value: keys.wrap(name, version, String(body['alg']), bytesOf(body)).toString('base64url'),
        }
      case 'POST */unwrapkey':
        return {
          kid: kidOf(name, version),
          value: keys.unwrap(name, version, String(body['alg']), bytesOf(body)).toString('base64url'),
        }
      case 'DELETE':
        return deletedBundle(keys.delete(name))
      default:
        throw new VaultFault(405, 'MethodNotAllowed', 'The vault has no such operation.')
    }
  }

  function routeDeleted(method: string, name: string, act: string): unknown {
    switch (`${method} ${act}`.trim()) {
      case 'GET':
        return deletedBundle(keys.findDeleted(name))
      case 'DELETE':
        return keys.purge(name)
      case 'POST recover':
        return bundle(keys.recover(name))
      default:
        throw new VaultFault(405, 'MethodNotAllowed', 'The vault has no such operation.')
    }
  }

  const kidOf = (name: string, version: string): string =>
    `https://${faults.foreignHost ?? `${host}:${port}`}/keys/${faults.otherKey ?? name}/${version}`

  function bundle(key: VaultKey, version: VaultKeyVersion | undefined = key.versions.at(-1)): Record<string, unknown> {
    if (version === undefined) throw new Error('unreachable: a key without versions')
    const { n, e } = version.publicKey.export({ format: 'jwk' })
    return {
      key: { kid: kidOf(key.name, version.version), kty: key.type, key_ops: version.operations, n, e },
      attributes: attributesOf(version),
      tags: {},
    }
  }

  const attributesOf = (version: VaultKeyVersion) => ({
    enabled: version.isEnabled,
    created: Math.floor(version.createdMs / 1000),
    updated: Math.floor(version.updatedMs / 1000),
    ...(version.expiresMs === undefined ? {} : { exp: Math.floor(version.expiresMs / 1000) }),
    recoveryLevel: keys.recoveryLevel,
    recoverableDays: 90,
    exportable: false,
  })

  const deletedBundle = ({ key, deletedMs, purgeMs }: DeletedVaultKey) => ({
    ...bundle(key),
    recoveryId: `https://${host}:${port}/deletedkeys/${key.name}`,
    deletedDate: Math.floor(deletedMs / 1000),
    scheduledPurgeDate: Math.floor(purgeMs / 1000),
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `https://${host}:${port}`,
    port,
    keys,
    requests,
    issueToken(lifeMs) {
      const token = randomBytes(24).toString('base64url')
      tokens.set(token, now() + lifeMs)
      return token
    },
    setFaults(next) {
      faults = next
      failuresLeft = next.failures?.count ?? 0
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const bearerOf = (request: IncomingMessage): string => request.headers.authorization?.replace(/^Bearer /, '') ?? ''

function bytesOf(body: Record<string, unknown>): Buffer {
  if (typeof body['value'] !== 'string') throw new VaultFault(400, 'BadParameter', 'Property value is required')
  return Buffer.from(body['value'], 'base64url')
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk
    if (text.length > MAX_BODY_BYTES) throw new VaultFault(413, 'RequestTooLarge', 'The request is too large.')
  }
  if (text === '') return {}
  try {
    const body = JSON.parse(text) as unknown
    if (typeof body === 'object' && body !== null) return body as Record<string, unknown>
  } catch {
    // answered below, as any other body that is no object
  }
  throw new VaultFault(400, 'BadParameter', 'The request body is not a JSON object.')
}

function sendFault(response: ServerResponse, { status, code, message, innerCode }: VaultFault): void {
  const innererror = innerCode === undefined ? {} : { innererror: { code: innerCode } }
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
  response.end(JSON.stringify({ error: { code, message, ...innererror } }))
}
