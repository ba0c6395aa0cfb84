// The table of rewriting.md section 15 as a table file (product.md §8): what the worked examples E… are read with.

export const EXAMPLE_X500 =
  '/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=0a1b-alice'

/** Parsed table file; give it to `compileTable`. */
export const EXAMPLE_TABLE = {
  format: 'causeway-mapping-table/1',
  project: 'p1',
  version: 7,
  entries: [
    {
      known: ['alice@contoso.com', 'asmith@contoso.com', 'alice.smith@fabrikam.com'],
      presented: 'alice.smith@fabrikam.com',
      mailbox: 'alice@contoso.com',
      x500: [EXAMPLE_X500],
    },
    {
      known: ['bob@contoso.com', 'bob@fabrikam.com'],
      presented: 'bob@fabrikam.com',
      mailbox: 'bob@fabrikam.com',
    },
    {
      known: ['carol@contoso.com', 'carol@fabrikam.com'],
      presented: 'carol@contoso.com',
      mailbox: 'carol@fabrikam.com',
    },
    {
      known: ['sales@contoso.com', 'sales@fabrikam.com'],
      presented: 'sales@fabrikam.com',
      mailbox: 'sales@contoso.com',
    },
    {
      known: ['juergen@xn--mnchen-3ya.example', 'juergen@fabrikam.com'],
      presented: 'juergen@fabrikam.com',
      mailbox: 'juergen@xn--mnchen-3ya.example',
    },
    {
      known: ['"john smith"@contoso.com', 'john.smith@fabrikam.com'],
      presented: 'john.smith@fabrikam.com',
      mailbox: '"john smith"@contoso.com',
    },
  ],
  domainRules: [
    { from: 'corp.contoso.com', to: 'corp.fabrikam.com', direction: 'both', except: ['noreply@corp.contoso.com'] },
  ],
  wildcards: [{ from: '*.lab.contoso.com', to: 'lab.fabrikam.com' }],
  exceptions: [],
}
