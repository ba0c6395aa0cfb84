// How the places for connections are shared out between next hops, so that hosts that hang can't take them all. (DL-3) Pure.

/** Share of all places that only hosts get whose last attempt ended well: however many hosts hang, those that work go on. */
const KEPT_FOR_WELL = 0.2

export interface PlacesInUse {
  /** Of this host. */
  readonly running: number
  /** Of all hosts together. */
  readonly runningInAll: number
  readonly limit: number
}

/**
 * Whether a host may take one more place: no more than are left free, so that each further busy host makes the others leave it room, and
 * one that wakes up finds some. (The dynamic threshold of shared buffers: n hosts that take all they can get hold 1/(n+1) each.)
 */
export function mayTakePlace({ running, runningInAll, limit }: PlacesInUse, isWell: boolean): boolean {
  const free = limit - runningInAll - (isWell ? 0 : Math.floor(limit * KEPT_FOR_WELL))
  return running < free
}
