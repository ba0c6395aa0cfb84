// A receiving relay as Exchange Online meets it, on a loopback address: STARTTLS with a certificate of its own, and client certificates
// demanded, issued by an authority that the test owns.
import { copyFileSync, readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { createLog } from '../../../common/log.ts'
import { CurrentCredentials } from '../../../mta/credentials.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { MadeCertificate } from '../../harness/certificates.ts'
import { eventually } from '../../harness/wait.ts'
import { ReceivingRelay } from './receiving-relay.ts'
import type { ReceivingRelayOptions } from './receiving-relay.ts'

export const EXCHANGE = 'mail.protection.outlook.com'

export interface SecureRelayOptions extends ReceivingRelayOptions {
  /** The relay's own; their files are copies, to be exchanged by `install`. */
  readonly certificates?: readonly MadeCertificate[]
  readonly requireTls?: boolean
  readonly hasTenants?: boolean
}

export interface SecureRelay {
  readonly relay: ReceivingRelay
  readonly credentials: CurrentCredentials
  /** Puts other files in place of a certificate's; `credentials.reload()` reads them. */
  readonly install: (index: number, pair: MadeCertificate) => void
  readonly trust: (authority: Pick<TestAuthority, 'certificate'>) => void
}

/** Authorities and certificates of a test file; making them takes openssl a moment. */
export class TestWorld {
  readonly authority = new TestAuthority()
  readonly first = this.authority.issue({ names: ['DNS:relay.example'] })
  readonly second = this.authority.issue({ names: ['DNS:second.example'] })
  readonly exchange = this.authority.issue({ names: [`DNS:${EXCHANGE}`], usage: ['serverAuth'] })
  #count = 0

  async start(options: SecureRelayOptions = {}): Promise<SecureRelay> {
    const folder = `${this.authority.directory}/relay${++this.#count}-`
    const { certificates = [this.first], requireTls = true, hasTenants = true } = options
    const files = certificates.map((_, index) => ({
      certificate: `${folder}${index}.pem`,
      key: `${folder}${index}.key`,
    }))
    const install = (index: number, pair: MadeCertificate): void => {
      const file = files[index]
      if (file === undefined) throw new Error('no such certificate')
      copyFileSync(pair.certificate, file.certificate)
      copyFileSync(pair.key, file.key)
    }
    for (const [index, pair] of certificates.entries()) install(index, pair)
    const trustFile = `${folder}trust.pem`
    const trust = ({ certificate }: Pick<TestAuthority, 'certificate'>): void => copyFileSync(certificate, trustFile)
    trust(this.authority)
    const credentials = new CurrentCredentials(
      {
        certificates: files,
        clientTrust: { file: trustFile },
        tenants: undefined,
        routes: undefined,
        mx: undefined,
        nonces: undefined,
        dkim: [],
        seal: undefined,
      },
      createLog({ write: () => {}, level: 'error', now: Date.now }),
    )
    const relay = await ReceivingRelay.start({
      ...options,
      listener: { tls: 'starttls', clientNames: [EXCHANGE], ...options.listener },
      deps: (plain) => {
        const secure = { credentials, requireTls, hasTenants }
        return { ...secure, ...options.deps?.({ ...plain, ...secure }) }
      },
    })
    return { relay, credentials, install, trust }
  }

  [Symbol.dispose](): void {
    this.authority[Symbol.dispose]()
  }
}

/** What a client shows. */
export function showing(pair: MadeCertificate): ConnectionOptions {
  return { cert: readFileSync(pair.certificate), key: readFileSync(pair.key) }
}

/** Values above zero of one metric by its labels: `{result="full",protocol="TLSv1.3"}`. */
export async function metric(relay: ReceivingRelay, name: string): Promise<Record<string, number>> {
  const lines = (await relay.metrics.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`))
  const values = lines.map((line): [string, number] => {
    const space = line.lastIndexOf(' ')
    return [line.slice(name.length, space), Number(line.slice(space + 1))]
  })
  return Object.fromEntries(values.filter(([, value]) => value > 0))
}

/** Waits until `isTrue`; fails loudly after a while. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  await eventually('what a test waits for', async () => (await isTrue()) || undefined)
}
