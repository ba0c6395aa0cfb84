// The clouds of Microsoft 365 and their hosts (microsoft-365.md §1): a property of each connection. Data only; an unverified host is marked, and being
// wrong there is harmless, because requests then reach nobody.

export const CLOUDS = ['global', 'gcc-high', 'dod', 'china'] as const
export type Cloud = (typeof CLOUDS)[number]

export interface CloudHosts {
  readonly login: string
  readonly graph: string
  readonly exchange: string
  /** From where opaque download URLs come: they get no token. Whole host names. */
  readonly downloads: readonly RegExp[]
}

export const CLOUD_HOSTS: Readonly<Record<Cloud, CloudHosts>> = {
  global: {
    login: 'login.microsoftonline.com',
    graph: 'graph.microsoft.com',
    exchange: 'outlook.office365.com',
    // Reports: "reportRoot: getMailboxUsageDetail" shows reports.office.com; regional names (reportsweu) are seen in the field.
    downloads: [/^reports[a-z]{0,8}\.office\.com$/, /^[a-z0-9-]{1,63}\.sharepoint\.com$/],
  },
  'gcc-high': {
    login: 'login.microsoftonline.us',
    graph: 'graph.microsoft.us',
    exchange: 'outlook.office365.us',
    // The usage reports are published for the global cloud only.
    downloads: [/^[a-z0-9-]{1,63}\.sharepoint\.us$/],
  },
  dod: {
    login: 'login.microsoftonline.us',
    graph: 'dod-graph.microsoft.us', // unverified
    exchange: 'outlook-dod.office365.us',
    downloads: [/^[a-z0-9-]{1,63}\.sharepoint-mil\.us$/], // unverified
  },
  china: {
    login: 'login.partner.microsoftonline.cn',
    graph: 'microsoftgraph.chinacloudapi.cn',
    exchange: 'outlook.office365.cn',
    downloads: [/^[a-z0-9-]{1,63}\.sharepoint\.cn$/],
  },
}
