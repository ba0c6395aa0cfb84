// Requests that a server still owes an answer: what has to be waited for before it may end. Open connections alone are nobody's loss: clients keep them
// for their next request, browsers open some in advance.
import type { Server, ServerResponse } from 'node:http'

export interface Unanswered {
  /** Resolves when none is left, at most so long after. */
  settled(timeoutMs: number): Promise<void>
}

/** From now on; before the server listens. */
export function trackUnanswered(server: Server): Unanswered {
  const answers = new Set<ServerResponse>()
  let noneIsLeft = (): void => {}
  server.on('request', (_request, response) => {
    answers.add(response)
    response.once('close', () => {
      answers.delete(response)
      if (answers.size === 0) noneIsLeft()
    })
  })
  return {
    async settled(timeoutMs) {
      if (answers.size === 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        noneIsLeft = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    },
  }
}
