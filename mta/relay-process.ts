/** For a stop in order: from the signal to the last session's end. (DU-6) */
export const GRACE_MS = 30_000
