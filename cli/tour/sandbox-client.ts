// The control of the simulated Microsoft 365: what its people and its administrators do. (sandbox/README.md)
import type { Fields } from './api-client.ts'

const ANSWER_WITHIN_MS = 60_000

export class SandboxClient {
  readonly #url: string

  /** @param url  `http://127.0.0.1:8084` */
  constructor(url: string) {
    this.#url = url
  }

  /** @throws with what it says when it refuses */
  async do(operation: string, fields: Fields = {}): Promise<Fields> {
    const response = await fetch(`${this.#url}/control/${operation}`, {
      method: 'POST',
      headers: { 'x-sandbox-control': '1', 'Content-Type': 'application/json' },
      body: JSON.stringify(fields),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    })
    const answer = (await response.json()) as Fields
    if (!response.ok) throw new Error(`the sandbox refused ${operation}: ${String(answer['error'])}`)
    return answer
  }
}
