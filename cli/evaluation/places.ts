// Where an evaluation listens and keeps what it keeps. Pure.
import { join } from 'node:path'

/** In the order of their offsets from a base: new ones come last, so that the others stay where somebody put them. */
const DEFAULT_PORTS = {
  api: 8080,
  entra: 8081,
  relay: 2525,
  frontDoor: 2526,
  internet: 2900,
  relayMetrics: 9465,
  apiMetrics: 9470,
  workerMetrics: 9471,
  graph: 8082,
  exchange: 8083,
  sandboxControl: 8084,
  dns: 8085,
  outside: 2527,
} as const

type PortName = keyof typeof DEFAULT_PORTS
export type Ports = Readonly<Record<PortName, number>>

/** @param base  as the operator moved it; undefined: the ports of the documentation */
export function portsFrom(base: string | undefined): Ports {
  if (base === undefined || base === '') return DEFAULT_PORTS
  const first = Number(base)
  if (!Number.isInteger(first) || first < 1024 || first > 65_000)
    throw new Error('CAUSEWAY_PORT_BASE must be an integer from 1024 to 65000')
  const names = Object.keys(DEFAULT_PORTS) as PortName[]
  return Object.fromEntries(names.map((name, offset) => [name, first + offset])) as Record<PortName, number>
}

export interface KeyFiles {
  /** PEM */
  readonly certificate: string
  readonly key: string
}

export interface Places {
  readonly root: string
  readonly postgres: string
  readonly keys: string
  /** Of the application that signs administrators in, and of the one by which tenants are connected. */
  readonly signInApp: KeyFiles
  readonly connectApp: KeyFiles
  /** State of the simulated Microsoft 365. */
  readonly sandbox: string
  /** What was set up, and the key to it: 0600. */
  readonly state: string
  /** When the tour held for the first time. */
  readonly toured: string
  /** For a shell: `. data/env.sh`. */
  readonly environment: string
  readonly relay: string
  readonly log: string
}

export function placesIn(root: string): Places {
  return {
    root,
    postgres: join(root, 'postgres'),
    keys: join(root, 'keys'),
    signInApp: { certificate: join(root, 'entra-app.pem'), key: join(root, 'entra-app.key') },
    connectApp: { certificate: join(root, 'connect-app.pem'), key: join(root, 'connect-app.key') },
    sandbox: join(root, 'sandbox'),
    state: join(root, 'evaluation.json'),
    toured: join(root, 'toured'),
    environment: join(root, 'env.sh'),
    relay: join(root, 'relay'),
    log: join(root, 'causeway.log'),
  }
}
