// Since when something is so, by looking again and again: for what the database keeps no time of. It begins anew with the process, so an alarm that
// goes by it comes later by one restart, never too early.

export class SinceSeen {
  #since = new Map<string, { readonly state: string; readonly at: number }>()

  /**
   * @param seen  what is so now, by a name of its own; under another `state` it is another thing, which begins now
   * @param now  ms, monotonic
   * @returns ms since the one began that lasts longest; 0 when there is none
   */
  longest(seen: ReadonlyMap<string, string>, now: number): number {
    const since = new Map<string, { readonly state: string; readonly at: number }>()
    let longest = 0
    for (const [name, state] of seen) {
      const before = this.#since.get(name)
      const entry = before?.state === state ? before : { state, at: now }
      since.set(name, entry)
      longest = Math.max(longest, now - entry.at)
    }
    this.#since = since
    return longest
  }
}
