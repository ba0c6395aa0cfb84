// Certificates for tests, made by Debian's openssl: an authority, and what it, or nobody, has signed.
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Wanted {
  /** SAN entries as openssl writes them: `DNS:mail.example`, `URI:https://…`, `IP:127.0.0.1`. */
  readonly names?: readonly string[]
  readonly commonName?: string
  readonly usage?: readonly ('serverAuth' | 'clientAuth' | 'emailProtection')[]
  /** As openssl takes it: `20200101000000Z`. */
  readonly notBefore?: string
  readonly notAfter?: string
  readonly isAuthority?: boolean
  readonly keyType?: 'ec' | 'rsa'
  readonly rsaBits?: number
  readonly digest?: 'sha1' | 'sha256'
  /** Of an authority. */
  readonly pathLength?: number
  /** Further lines of openssl's extension section. */
  readonly extensions?: readonly string[]
}

/** Paths of PEM files. */
export interface MadeCertificate {
  readonly certificate: string
  readonly key: string
  readonly fingerprint: string
}

/** An authority in a folder of its own. */
export class TestAuthority {
  readonly directory: string
  readonly certificate: string
  readonly #key: string
  #count = 0

  constructor(commonName = 'Causeway Test Authority') {
    this.directory = mkdtempSync(join(tmpdir(), 'causeway-ca-'))
    const root = this.#make('root', { commonName, isAuthority: true }, undefined)
    this.certificate = root.certificate
    this.#key = root.key
  }

  /** @param signer  an authority below this one, in place of it */
  issue(wanted: Wanted, signer?: MadeCertificate): MadeCertificate {
    const made = this.#make(`leaf${++this.#count}`, wanted, signer ?? { certificate: this.certificate, key: this.#key })
    if (signer !== undefined) {
      writeFileSync(made.certificate, readFileSync(made.certificate, 'utf8') + readFileSync(signer.certificate, 'utf8'))
    }
    return made
  }

  /** Signed by its own key. */
  selfSigned(wanted: Wanted): MadeCertificate {
    return this.#make(`self${++this.#count}`, wanted, undefined)
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #make(
    name: string,
    wanted: Wanted,
    signer: Pick<MadeCertificate, 'certificate' | 'key'> | undefined,
  ): MadeCertificate {
    const file = (ending: string) => join(this.directory, `${name}.${ending}`)
    const { names = [], usage, isAuthority = false, commonName = 'test' } = wanted
    const extensions = [
      `basicConstraints=critical,CA:${isAuthority ? 'TRUE' : 'FALSE'}${wanted.pathLength === undefined ? '' : `,pathlen:${wanted.pathLength}`}`,
      ...(isAuthority ? ['keyUsage=critical,keyCertSign,cRLSign'] : []),
      ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : []),
      ...(usage === undefined ? [] : [`extendedKeyUsage=${usage.join(',')}`]),
      ...(wanted.extensions ?? []),
    ]
    const newKey =
      wanted.keyType === 'rsa'
        ? ['-newkey', `rsa:${wanted.rsaBits ?? 2048}`]
        : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
    openssl(
      'req',
      '-new',
      ...newKey,
      '-nodes',
      '-keyout',
      file('key'),
      '-out',
      file('csr'),
      '-subj',
      `/CN=${commonName}`,
    )
    writeFileSync(file('ext'), `${extensions.join('\n')}\n`)
    if (wanted.notAfter === undefined && wanted.notBefore === undefined) {
      const by = signer === undefined ? ['-signkey', file('key')] : ['-CA', signer.certificate, '-CAkey', signer.key]
      openssl(
        'x509',
        '-req',
        '-in',
        file('csr'),
        '-extfile',
        file('ext'),
        '-out',
        file('pem'),
        '-set_serial',
        serial(),
        '-days',
        '30',
        `-${wanted.digest ?? 'sha256'}`,
        ...by,
      )
    } else this.#signWithin(file, wanted, signer ?? { certificate: '', key: file('key') })
    return {
      certificate: file('pem'),
      key: file('key'),
      fingerprint: new X509Certificate(readFileSync(file('pem'))).fingerprint256.replaceAll(':', '').toLowerCase(),
    }
  }

  /** `x509` of OpenSSL 3.0 takes no dates; `ca` does, and wants files for it. */
  #signWithin(
    file: (ending: string) => string,
    wanted: Wanted,
    signer: Pick<MadeCertificate, 'certificate' | 'key'>,
  ): void {
    writeFileSync(file('index'), '')
    writeFileSync(file('serial'), `${serial()}\n`)
    const settings = [
      `database=${file('index')}`,
      `serial=${file('serial')}`,
      `new_certs_dir=${this.directory}`,
      'default_md=sha256',
      'policy=any',
    ]
    writeFileSync(file('cnf'), `[ca]\ndefault_ca=x\n[x]\n${settings.join('\n')}\n[any]\ncommonName=supplied\n`)
    const by = signer.certificate === '' ? ['-selfsign'] : ['-cert', signer.certificate]
    openssl(
      'ca',
      '-batch',
      '-notext',
      '-config',
      file('cnf'),
      '-in',
      file('csr'),
      '-out',
      file('pem'),
      '-extfile',
      file('ext'),
      '-keyfile',
      signer.key,
      ...by,
      '-startdate',
      wanted.notBefore ?? '20200101000000Z',
      '-enddate',
      wanted.notAfter ?? '20990101000000Z',
    )
  }
}

let serials = 1000
function serial(): string {
  return String(++serials)
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
