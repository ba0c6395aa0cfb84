// Who plays in the tour, and under which names things are found. The simulated tenants have these people from the start. (sandbox/tenants/)
import { CONTOSO, FABRIKAM } from '../../sandbox/tenants/constants.ts'

/** Her mailbox is in Contoso; the world knows her by an address of Fabrikam. */
export const ALICE = {
  mailbox: 'alice@contoso.com',
  presented: 'alice.smith@fabrikam.com',
  name: 'Alice Smith',
} as const
/** Moves in the middle of it. */
export const CAROL = { mailbox: 'carol@contoso.com', presented: 'carol@fabrikam.com', name: 'Carol Jones' } as const
/** Administrator of Contoso, not mapped. */
export const ADELE = { mailbox: 'adele@contoso.com', name: 'Adele Vance' } as const
/** Of Fabrikam, not mapped; no guest of Contoso, where rules would take him for a colleague. */
export const HUGO = { mailbox: 'hugo@fabrikam.com', name: 'Hugo Boss' } as const
/** An outsider, and nobody's guest. */
export const OLGA = { mailbox: 'olga@example.net', name: 'Olga Berg' } as const
/** Administrator of Fabrikam. */
const LEE = { mailbox: 'lee@fabrikam.com' } as const
/** Nobody has it: what is sent there comes back. */
export const NOBODY = 'nobody@example.net'

/** Where the connectors of each direction reach the relay. */
export const RELAY_HOSTS = { out: 'out.relay.example', in: 'in.relay.example' } as const

/** What Contoso's own rule writes under mail to outsiders: ours come after it. (sandbox/tenants/contoso.ts) */
export const DISCLAIMERS = ['\r\n=3Cp=3EConfidential=3C=2Fp=3E\r\n', '\r\nConfidential\r\n'] as const

export const CAST = [
  {
    side: 'source',
    label: 'contoso',
    tenantId: CONTOSO,
    acceptedDomains: ['contoso.com', 'corp.contoso.com'],
    administrator: ADELE.mailbox,
    frontDoor: 'contoso-com.mail.protection.outlook.com',
    certificateName: 'contoso.relay.example',
  },
  {
    side: 'target',
    label: 'fabrikam',
    tenantId: FABRIKAM,
    acceptedDomains: ['fabrikam.com', 'corp.fabrikam.com', 'lab.fabrikam.com'],
    administrator: LEE.mailbox,
    frontDoor: 'fabrikam-com.mail.protection.outlook.com',
    certificateName: 'fabrikam.relay.example',
  },
] as const
