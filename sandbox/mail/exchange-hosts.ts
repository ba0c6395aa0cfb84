// How the hosts of Exchange Online call themselves, and where a domain's mail comes in.

/** In the certificate that Exchange shows, as server and as client. */
export const EXCHANGE_NAME = 'mail.protection.outlook.com'
export const RECEIVING_HOST = `DB5EUR01FT012.${EXCHANGE_NAME}`
export const SENDING_HOST = 'EUR01-DB5-obe.outbound.protection.outlook.com'
/** What every tenant's SPF record includes. */
export const SPF_NAME = 'spf.protection.outlook.com'

/** `contoso-com.mail.protection.outlook.com` */
export function frontDoorHost(domain: string): string {
  return `${domain.replaceAll('.', '-')}.${EXCHANGE_NAME}`
}
