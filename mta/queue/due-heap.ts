// What comes due when: a binary heap whose members know their place, so that any of them can be taken out.

export interface Due {
  /** Running time in ms. Fixed while it is in the heap. */
  dueMs: number
  /** Place in the heap; -1 outside. The heap's own. */
  heapIndex: number
}

export class DueHeap<T extends Due> {
  readonly #items: T[] = []

  /** The one that is due first. */
  get first(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    this.#items.push(item)
    this.#rise(item, this.#items.length - 1)
  }

  remove(item: T): void {
    const index = item.heapIndex
    if (index === -1) return
    item.heapIndex = -1
    const last = this.#items.pop()
    if (last === undefined || last === item) return
    this.#rise(last, index)
    this.#sink(last, last.heapIndex)
  }

  /** Takes out and returns the first if it is due at `nowMs`. */
  shiftDue(nowMs: number): T | undefined {
    const first = this.#items[0]
    if (first === undefined || first.dueMs > nowMs) return undefined
    this.remove(first)
    return first
  }

  #rise(item: T, from: number): void {
    let index = from
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = this.#items[above]
      if (parent === undefined || parent.dueMs <= item.dueMs) break
      this.#place(parent, index)
      index = above
    }
    this.#place(item, index)
  }

  #sink(item: T, from: number): void {
    let index = from
    for (;;) {
      const left = 2 * index + 1
      const right = left + 1
      const below = (this.#items[right]?.dueMs ?? Infinity) < (this.#items[left]?.dueMs ?? Infinity) ? right : left
      const child = this.#items[below]
      if (child === undefined || child.dueMs >= item.dueMs) break
      this.#place(child, index)
      index = below
    }
    this.#place(item, index)
  }

  #place(item: T, index: number): void {
    this.#items[index] = item
    item.heapIndex = index
  }
}
