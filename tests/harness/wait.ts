import { setTimeout as sleep } from 'node:timers/promises'

/** Asks every 25 ms until `ask` gives something; fails loudly after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 20_000,
): Promise<T> {
  for (let waited = 0; waited <= timeoutMs; waited += 25) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await sleep(25)
  }
  throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
}
