// What the control plane is reached by and what it reaches: its public address, its ports, the mail server of notifications. Every wait is bounded. (OP-5,
// SC-4, WS-7)
import { codeOf, fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import type { Settings } from '../settings.ts'
import { probeMailServer } from '../webhooks/mailer.ts'

const TIMEOUT_MS = 5_000

export async function examineNetwork(settings: Settings): Promise<Finding[]> {
  const [publicUrl, mail] = await Promise.all([observePublicUrl(settings.publicUrl), examineMailServer(settings)])
  return [judgePublicUrl(settings.publicUrl, publicUrl), ...judgePorts(settings), mail]
}

export type PublicUrlFacts =
  | { readonly kind: 'answered'; readonly status: number; readonly isOurs: boolean }
  | { readonly kind: 'silent'; readonly code: string }

async function observePublicUrl(publicUrl: URL): Promise<PublicUrlFacts> {
  try {
    const answer = await fetch(new URL('/healthz', publicUrl), {
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const text = (await answer.text()).slice(0, 1_000)
    return { kind: 'answered', status: answer.status, isOurs: /^\{"status":"alive"\}\s*$/.test(text) }
  } catch (error) {
    return { kind: 'silent', code: codeOf(error instanceof Error && error.cause !== undefined ? error.cause : error) }
  }
}

/** Codes of Node for a certificate that isn't believed. */
const CERTIFICATE_FAULT = /CERT|SIGNATURE|ALTNAME|SELF_SIGNED|UNABLE_TO/

export function judgePublicUrl({ origin }: URL, facts: PublicUrlFacts): Finding {
  const check = 'public-url'
  if (facts.kind === 'silent') {
    if (CERTIFICATE_FAULT.test(facts.code))
      return fault(
        check,
        `the certificate of ${origin} is not believed (${facts.code}): relays do not believe it either`,
        'give the proxy a certificate for this name, with its chain, from an authority that everybody knows or relays are told (`controlPlane.ca`)',
      )
    return warning(
      check,
      `${origin} does not answer from here (${facts.code})`,
      'fine before the api is started, or where its own network does not reach it; else see proxy, name and firewall: relays and browsers come this way',
    )
  }
  if (facts.isOurs && facts.status === 200) return ok(check, `${origin} answers`)
  return fault(
    check,
    `${origin}/healthz answers ${facts.status}, and not as an api`,
    'something else has this name, or the proxy does not pass all paths on (docs/running-the-control-plane.md)',
  )
}

type PortSettings = Pick<Settings, 'listen' | 'metrics' | 'tls' | 'trustedProxies' | 'mode'>

export function judgePorts({ listen, metrics, tls, trustedProxies, mode }: PortSettings): Finding[] {
  const at = `${listen.address} port ${listen.port}`
  const isPlain = tls === undefined && !isLoopback(listen.address)
  return [
    isPlain && trustedProxies.length === 0 && mode === 'production'
      ? warning(
          'listener',
          `${at} takes plain HTTP from everywhere, and no proxy is trusted`,
          'name the proxy that ends TLS in TRUSTED_PROXIES, and let the firewall admit it alone; or set TLS_CERTIFICATE_FILE',
        )
      : ok('listener', `${at}, ${tls === undefined ? 'behind a proxy that ends TLS' : 'TLS'}`),
    isLoopback(metrics.address)
      ? ok('metrics', `${metrics.address} port ${metrics.port}: this machine only`)
      : warning(
          'metrics',
          `${metrics.address} port ${metrics.port} can be reached from elsewhere: it tells what is up, and how much is done`,
          'let the firewall, or the network of the container, admit monitoring only',
        ),
  ]
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

async function examineMailServer({ smtp }: Settings): Promise<Finding> {
  const check = 'mail-server'
  if (smtp === undefined) return ok(check, 'none is set: no notification is mailed')
  const why = await probeMailServer(smtp, TIMEOUT_MS)
  const { host } = new URL(smtp.url)
  return why === undefined
    ? ok(check, `${host} takes our connection`)
    : fault(
        check,
        `${host} can't be used (${why})`,
        'see name, port, TLS, user and password of SMTP_URL; notifications wait a day',
      )
}
