// Ids that documentation, scripts and tests name, whatever the seed.

export const CONTOSO = '11111111-0000-4000-8000-00000000c0c0'
export const FABRIKAM = '22222222-0000-4000-8000-0000000000fa'

/** Administrator of Contoso. */
export const ADELE = {
  oid: '44444444-0000-4000-8000-0000000000ad',
  name: 'Adele Vance',
  userPrincipalName: 'adele@contoso.com',
}
/** Administrator of Fabrikam. */
export const LEE = {
  oid: '55555555-0000-4000-8000-00000000001e',
  name: 'Lee Gu',
  userPrincipalName: 'lee@fabrikam.com',
}
