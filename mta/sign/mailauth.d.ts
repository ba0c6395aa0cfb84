// What we use of mailauth's insides, which come without types: the judge of signatures and of ARC chains. `verify.test.ts` checks that they
// are still what is said here.

declare module 'mailauth/lib/dkim/dkim-verifier.js' {
  export type Resolver = (name: string, type: string) => Promise<string[][]>

  export interface ParsedField {
    /** Name in lower case. */
    readonly key: string
    readonly casedKey: string
    /** Without the line break at its end. */
    readonly line: Buffer
  }

  export interface ParsedHeader {
    readonly parsed: readonly ParsedField[]
  }

  export interface BodyHasher {
    update(chunk: Buffer): void
    digest(encoding: 'base64'): string
    setContentType(value: unknown): void
    getMimeStructureStart(): number | undefined
  }

  export interface SignatureField {
    readonly type: 'DKIM' | 'ARC'
    /** Not judged at all, or without a look at its key, and why. */
    readonly skip?: string
    readonly invalid?: string
    readonly headerCanon?: string
    readonly bodyCanon?: string
    readonly hashAlgo?: string
    readonly signingDomain?: string
    readonly selector?: string
    readonly parsed?: Readonly<Record<string, { readonly value?: unknown } | undefined>>
  }

  export interface SignatureResult {
    readonly status: { readonly result: string; readonly comment?: string | false }
  }

  export interface KeyCache {
    get(
      type: 'DKIM' | 'ARC' | 'AS',
      name: string,
      minBitLength: number | undefined,
      options: { readonly strict: boolean; readonly hashAlgo: string },
    ): Promise<unknown>
  }

  export interface ArcData {
    readonly chain: readonly unknown[] | false
    readonly error?: unknown
  }

  export class DkimVerifier {
    constructor(options: {
      readonly resolver: Resolver
      readonly minBitLength: number
      readonly strict: boolean
      readonly curTime: Date
    })
    headers: ParsedHeader | false
    /** One a DKIM-Signature field in order, then the newest ARC-Message-Signature. */
    readonly signatureHeaders: readonly SignatureField[]
    /** Of the DKIM-Signature fields, in order; one with `none` where there is no such field. */
    readonly results: readonly SignatureResult[]
    readonly bodyHashes: Map<string, BodyHasher>
    readonly keyCache: KeyCache
    readonly arc: ArcData
    messageHeaders(header: ParsedHeader): Promise<void>
    /** @returns the key of `bodyHashes` */
    addBodyHash(bodyCanon: string, hashAlgo: string, maxBodyLength: number | ''): string
    finalChunk(): Promise<void>
  }
}

declare module 'mailauth/lib/arc/index.js' {
  import type { ArcData, Resolver } from 'mailauth/lib/dkim/dkim-verifier.js'

  export function arc(
    chain: ArcData,
    options: { readonly resolver: Resolver; readonly minBitLength: number; readonly strict: boolean },
  ): Promise<{ readonly status: { readonly result: 'none' | 'pass' | 'fail'; readonly comment?: string } }>
}

declare module 'mailauth/lib/tools.js' {
  /** Whether one of the domains has the organizational domain of `fromDomain`. */
  export function getAlignment(fromDomain: string, domains: readonly string[]): unknown
}
