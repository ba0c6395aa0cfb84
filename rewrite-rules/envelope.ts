// The envelope as product.md §8 writes it: what `rewriteEnvelope` reads and gives, and the form of `--envelope` files. (RFC 5321 §3.3)

/** ESMTP parameters by upper-case keyword; values as on the wire (xtext still encoded), `true` for a keyword without one. */
export type EsmtpParameters = Readonly<Record<string, string | true>>

export interface ForwardPath {
  /** `local-part@domain` as it stands on the wire, without angle brackets. */
  readonly path: string
  readonly parameters: EsmtpParameters
}

export interface Envelope {
  /** `""` is the null reverse-path. */
  readonly reversePath: string
  readonly parameters: EsmtpParameters
  readonly forwardPaths: readonly ForwardPath[]
}
