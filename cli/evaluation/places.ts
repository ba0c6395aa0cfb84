// Where an evaluation listens and keeps what it keeps. Pure.
import { join } from 'node:path'

export interface Ports {
  readonly api: number
  readonly entra: number
  readonly relayOut: number
  readonly relayIn: number
  readonly internet: number
  readonly relayMetrics: number
  readonly apiMetrics: number
  readonly workerMetrics: number
}

/** @param base  as the operator moved it; undefined: the ports of the documentation */
export function portsFrom(base: string | undefined): Ports {
  if (base === undefined || base === '') {
    return {
      api: 8080,
      entra: 8081,
      relayOut: 2525,
      relayIn: 2526,
      internet: 2900,
      relayMetrics: 9465,
      apiMetrics: 9470,
      workerMetrics: 9471,
    }
  }
  const first = Number(base)
  if (!Number.isInteger(first) || first < 1024 || first > 65_000)
    throw new Error('CAUSEWAY_PORT_BASE must be an integer from 1024 to 65000')
  const [api, entra, relayOut, relayIn, internet, relayMetrics, apiMetrics, workerMetrics] = [
    0, 1, 2, 3, 4, 5, 6, 7,
  ].map((offset) => first + offset) as [number, number, number, number, number, number, number, number]
  return { api, entra, relayOut, relayIn, internet, relayMetrics, apiMetrics, workerMetrics }
}

export interface Places {
  readonly root: string
  readonly postgres: string
  readonly keys: string
  readonly appCertificate: string
  readonly appKey: string
  /** What was set up, and the key to it: 0600. */
  readonly state: string
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
    appCertificate: join(root, 'entra-app.pem'),
    appKey: join(root, 'entra-app.key'),
    state: join(root, 'evaluation.json'),
    environment: join(root, 'env.sh'),
    relay: join(root, 'relay'),
    log: join(root, 'causeway.log'),
  }
}
