// The figures of all processes of a relay as those of one. A counter never goes back because a process is gone: what it was last heard to have
// counted stays in the sum. (OP-1)
import { mergeFigures } from '../../common/metrics.ts'
import type { Figures, Metrics } from '../../common/metrics.ts'

export class RelayFigures {
  /** Counters of processes that are gone; several only until they have become one. */
  readonly #gone: Figures[] = []
  #gathering: Promise<void> | undefined
  readonly #last = new Map<object, Figures>()

  /** @param figures  as they came from the process */
  heard(process: object, figures: unknown): void {
    const parsed = parseFigures(figures)
    if (parsed !== undefined) this.#last.set(process, parsed)
  }

  /** The process is gone. Resolves when what is kept of it takes no more room than before. */
  async retire(process: object): Promise<void> {
    const last = this.#last.get(process)
    if (last === undefined) return
    this.#last.delete(process)
    this.#gone.push(counted(last))
    await (this.#gathering ??= this.#gather().finally(() => {
      this.#gathering = undefined
    }))
  }

  async #gather(): Promise<void> {
    while (this.#gone.length > 1) {
      const several = [...this.#gone]
      const one = await mergeFigures(several).getMetricsAsJSON()
      this.#gone.splice(0, several.length, one)
    }
  }

  /**
   * @param own  of the primary
   * @param answered  processes whose last figures are fresh; of the others only what was counted is told
   */
  merged(own: Figures, answered: ReadonlySet<object>): Metrics {
    const all = [...this.#last].map(([process, figures]) =>
      answered.has(process) ? figures.filter(({ aggregator }) => aggregator !== 'omit') : counted(figures),
    )
    return mergeFigures([own, ...all, ...this.#gone])
  }
}

/** Types are texts on the wire, whatever the package's declaration says. */
function counted(figures: Figures): Figures {
  return figures.filter(({ type }) => ['counter', 'histogram'].includes(String(type)))
}

function parseFigures(value: unknown): Figures | undefined {
  const isFigures =
    Array.isArray(value) &&
    value.every((each: unknown) => {
      if (typeof each !== 'object' || each === null || !('name' in each) || !('values' in each)) return false
      return typeof each.name === 'string' && Array.isArray(each.values)
    })
  return isFigures ? (value as Figures) : undefined
}
