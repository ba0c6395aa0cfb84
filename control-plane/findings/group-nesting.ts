// Groups within groups: which have some, and which contain each other. Linear in groups and memberships, without recursion, whatever a tenant holds. Pure.

export interface Nesting {
  /** Groups that have groups in them, with how many. */
  readonly nested: ReadonlyMap<string, number>
  /** Groups that contain each other, each by ids in order; the largest such sets there are, ordered by their first. */
  readonly cycles: readonly (readonly string[])[]
}

/** @param memberships  of groups in groups, each once: who contains whom */
export function judgeNesting(memberships: Iterable<readonly [group: string, member: string]>): Nesting {
  const index = new Map<string, number>()
  const names: string[] = []
  const inside: number[][] = []
  const numberOf = (name: string): number => {
    const known = index.get(name)
    if (known !== undefined) return known
    index.set(name, names.length)
    inside.push([])
    return names.push(name) - 1
  }
  for (const [group, member] of memberships) inside[numberOf(group)]?.push(numberOf(member))
  const nested = new Map(
    inside.flatMap((members, at) => (members.length === 0 ? [] : [[names[at] ?? '', members.length] as const])),
  )
  const cycles = components(inside)
    .map((component) => component.map((at) => names[at] ?? '').toSorted())
    .toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1))
  return { nested, cycles }
}

/** Strongly connected components that hold a cycle (Tarjan, with a stack of its own). */
function components(edges: readonly (readonly number[])[]): number[][] {
  const UNSEEN = -1
  const order = new Int32Array(edges.length).fill(UNSEEN)
  const low = new Int32Array(edges.length)
  const next = new Int32Array(edges.length)
  const isOpen = new Uint8Array(edges.length)
  const open: number[] = []
  const found: number[][] = []
  let seen = 0
  for (let root = 0; root < edges.length; root++) {
    if (order[root] !== UNSEEN) continue
    const path = [root]
    while (path.length > 0) {
      const at = path.at(-1) ?? 0
      if (order[at] === UNSEEN) {
        order[at] = low[at] = seen++
        open.push(at)
        isOpen[at] = 1
      }
      const to = edges[at]?.[next[at] ?? 0]
      if (to !== undefined) {
        next[at] = (next[at] ?? 0) + 1
        if (order[to] === UNSEEN) path.push(to)
        else if (isOpen[to] === 1) low[at] = Math.min(low[at] ?? 0, order[to] ?? 0)
        continue
      }
      path.pop()
      const above = path.at(-1)
      if (above !== undefined) low[above] = Math.min(low[above] ?? 0, low[at] ?? 0)
      if (low[at] !== order[at]) continue
      const component = open.splice(open.lastIndexOf(at))
      for (const one of component) isOpen[one] = 0
      if (component.length > 1 || edges[at]?.includes(at) === true) found.push(component)
    }
  }
  return found
}
