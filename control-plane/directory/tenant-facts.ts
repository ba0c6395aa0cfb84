// What a discovery knows of a tenant as a whole. Read by findings, reports and, later, the preflight of coexistence. Pure. (microsoft-365.md §4, §15)

export interface TenantFacts {
  readonly displayName: string
  readonly countryLetterCode?: string
  readonly isSyncedFromOnPremises: boolean
  readonly domains: readonly DomainFacts[]
  readonly licences: readonly LicenceFacts[]
  /** Whether usage reports hide names: then sizes are unknown. undefined: nobody could look. */
  readonly reportsConcealNames?: boolean
  /** undefined: without the Exchange role. */
  readonly exchange?: ExchangeFacts
}

export interface DomainFacts {
  /** A-labels, lower case. */
  readonly name: string
  readonly isVerified: boolean
  readonly isDefault: boolean
  readonly isInitial: boolean
  /** `Managed`, `Federated`. */
  readonly authenticationType: string
  readonly supportedServices: readonly string[]
}

export interface LicenceFacts {
  readonly skuId: string
  readonly skuPartNumber: string
  readonly enabled: number
  readonly consumed: number
  /** `Enabled`, `Warning`, `Suspended` … */
  readonly capabilityStatus: string
  /** Names of its service plans: `EXCHANGE_S_ENTERPRISE` … */
  readonly servicePlans: readonly string[]
}

/** Rows as the cmdlets give them, with the properties that findings look at, and no others. */
export interface ExchangeFacts {
  readonly isDehydrated: boolean
  readonly rejectDirectSend?: boolean
  readonly disablePlusAddressInRecipients?: boolean
  readonly sendFromAliasEnabled?: boolean
  readonly acceptedDomains: readonly {
    readonly name: string
    readonly domainType: string
    readonly isDefault: boolean
  }[]
  readonly inboundConnectors: readonly ConnectorFacts[]
  readonly outboundConnectors: readonly ConnectorFacts[]
  readonly transportRules: readonly {
    readonly name: string
    readonly state: string
    readonly priority: number
    readonly stopsProcessing: boolean
    readonly routesToConnector: boolean
  }[]
  readonly remoteDomains: readonly {
    readonly name: string
    readonly domainName: string
    readonly autoForwardEnabled: boolean
    readonly tnefEnabled?: boolean
  }[]
  readonly organizationRelationships: readonly { readonly name: string; readonly domainNames: readonly string[] }[]
}

export interface ConnectorFacts {
  readonly name: string
  readonly isEnabled: boolean
  readonly connectorType: string
  readonly domains: readonly string[]
}
