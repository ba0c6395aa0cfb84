// How a stranger judges a message: SPF, every DKIM signature, ARC and DMARC, by mailauth and by what DNS says at that moment.
import { authenticate } from 'mailauth'
import type { DMARCResult } from 'mailauth'
import type { DnsLookup } from './dns-lookup.ts'

export interface DkimVerdict {
  /** `pass`, or why not, in the words of RFC 8601 §2.7.1. */
  readonly result: string
  readonly comment: string | undefined
  readonly domain: string | undefined
  readonly selector: string | undefined
  readonly isAligned: boolean
}

export interface MailVerdict {
  readonly spf: { readonly result: string; readonly domain: string | undefined }
  /** One a signature, from the top. */
  readonly dkim: readonly DkimVerdict[]
  readonly arc: string
  readonly dmarc: {
    /** `none`: nothing published, or no author that it could be judged by. */
    readonly result: string
    readonly fromDomain: string | undefined
    readonly policy: string | undefined
    readonly isSpfAligned: boolean
    readonly isDkimAligned: boolean
  }
}

export interface MailOrigin {
  readonly clientAddress: string
  readonly helo: string
  /** Empty: the null reverse-path. */
  readonly reversePath: string
}

const MIN_RSA_BITS = 1024
const SPF_TIME_MS = 20_000

/** @param content  as it came, with CR LF @param hostName  who judges */
export async function judgeMail(
  content: Buffer,
  origin: MailOrigin,
  { lookup, hostName }: { readonly lookup: Pick<DnsLookup, 'resolve'>; readonly hostName: string },
): Promise<MailVerdict> {
  const options = {
    ip: origin.clientAddress,
    helo: origin.helo,
    sender: origin.reversePath,
    mta: hostName,
    resolver: lookup.resolve,
    minBitLength: MIN_RSA_BITS,
    maxElapsedTime: SPF_TIME_MS,
    disableBimi: true,
    strict: true,
  }
  const { spf, dkim, dmarc, arc } = await authenticate(content, options)
  const signatures = dkim.results.filter(({ signature }) => signature !== undefined)
  return {
    spf: spf === false ? { result: 'none', domain: undefined } : { result: spf.status.result, domain: spf.domain },
    dkim: signatures.map(({ status, signingDomain, selector }) => ({
      result: status.result,
      comment: status.comment === '' ? undefined : status.comment || undefined,
      domain: signingDomain,
      selector,
      isAligned: typeof status.aligned === 'string',
    })),
    arc: arc === false ? 'none' : arc.status.result,
    dmarc:
      dmarc === false
        ? { result: 'none', fromDomain: undefined, policy: undefined, isSpfAligned: false, isDkimAligned: false }
        : {
            result: dmarc.status.result,
            fromDomain: dmarc.status.header?.from,
            policy: dmarc.policy,
            isSpfAligned: isAligned(dmarc, 'spf'),
            isDkimAligned: isAligned(dmarc, 'dkim'),
          },
  }
}

/** Where nothing is published, mailauth compares nothing, though its types say so. */
function isAligned(dmarc: DMARCResult, by: 'spf' | 'dkim'): boolean {
  const { alignment }: { readonly alignment?: DMARCResult['alignment'] } = dmarc
  return typeof alignment?.[by].result === 'string' && alignment[by].result !== ''
}
