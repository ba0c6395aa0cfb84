// What nobody has verified about Exchange Online's mail flow: each is a switch, so that the product is tried with both (coexistence.md §4).

/** Changed in place, while it runs. */
export interface MailFlowBehaviour {
  /** (a) Under which address mail to a mail user reaches a connector. */
  mailUserAddress: 'presented' | 'external'
  /** (b) Whether mail that a rule routes to a recipient in an accepted domain counts for the tenant's external recipient limit. */
  countsRoutedToAcceptedDomain: boolean
  /** (c) Whether a rule's routing adds to `X-MS-Exchange-Transport-Rules-Loop`. */
  routingCountsAsRedirect: boolean
  /** (d) Whose mail the condition FromMemberOf looks at: all, or authenticated mail alone. */
  fromMemberOf: 'all' | 'authenticated'
  /** Whether a client's certificate that is for servers alone counts: public authorities issue no other since May 2026. */
  serverOnlyCertificates: 'taken' | 'refused'
}

export function defaultMailFlowBehaviour(): MailFlowBehaviour {
  return {
    mailUserAddress: 'presented',
    countsRoutedToAcceptedDomain: false,
    routingCountsAsRedirect: false,
    fromMemberOf: 'all',
    serverOnlyCertificates: 'taken',
  }
}
