// kill -9 of api and worker at random moments, while clients change and import the mapping table the way careful clients do: each request has its
// Idempotency-Key, and is sent again until it is answered, to whichever copy of the API, now and then twice at once. What was answered is remembered.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { tableFile, user } from './control-plane.ts'
import type { Answer, ControlPlane } from './control-plane.ts'

export interface KillOptions {
  readonly rounds: number
  /** In [0, 1). */
  readonly random: () => number
  /** After a worker was killed, and before it is started again. */
  readonly workerDied: () => Promise<void>
}

/** What was answered: which users are in the table since which revision. */
export interface Answered {
  readonly revision: number
  readonly names: readonly string[]
}

export interface KillReport {
  /** Single entries, several at once, files. */
  readonly created: readonly Answered[]
  readonly bulk: readonly Answered[]
  readonly imported: readonly Answered[]
  /** Sent again because nobody answered, or somebody answered "later". */
  readonly retries: number
  /** Sent twice at once. */
  readonly twins: number
  readonly kills: Readonly<Record<'api' | 'worker', number>>
}

const WRITERS = 3
const PAUSE_MS = 100
/** So many that an import of them is the worker's. */
const ROWS = 5_500
const TWINS_AMONG = 0.2
const ANSWER_MS = 120_000
/** With the lease of a worker that died, some times over. */
const OPERATION_MS = 240_000

/** Everything that was begun is answered, and every process up, when it resolves. */
export async function killControlPlane(plane: ControlPlane, options: KillOptions): Promise<KillReport> {
  const { rounds, random, workerDied } = options
  const created: Answered[] = []
  const bulk: Answered[] = []
  const imported: Answered[] = []
  const kills = { api: 0, worker: 0 }
  let [retries, twins, isOver, hasFailed] = [0, 0, false, false]
  const someApi = () => Math.floor(random() * plane.apis.length)

  /** One request, until it is answered. @throws when nobody answers in time, or another part of the load has failed */
  const persist = async (path: string, body: unknown, key: string): Promise<Answer> => {
    for (const end = performance.now() + ANSWER_MS; performance.now() < end && !hasFailed; retries++) {
      const headers = { 'Idempotency-Key': key, 'If-Match': '*' }
      const answer = await plane.ask('POST', path, body, { headers, at: someApi() }).catch(() => undefined)
      if (answer !== undefined && answer.status !== 429 && answer.status !== 503) return answer
      await sleep(PAUSE_MS)
    }
    throw new Error(`nobody answered POST ${path}`)
  }
  const change = async (path: string, body: unknown, status: number): Promise<number> => {
    const key = crypto.randomUUID()
    const isTwice = random() < TWINS_AMONG
    if (isTwice) twins++
    const answers = await Promise.all(Array.from({ length: isTwice ? 2 : 1 }, () => persist(path, body, key)))
    for (const answer of answers) {
      assert.equal(answer.status, status, JSON.stringify(answer.body))
      assert.deepEqual(answer.body, answers[0]?.body, 'one request, one answer')
    }
    return Number(answers[0]?.body.revision)
  }
  const writer = async (name: string): Promise<void> => {
    for (let count = 0; !isOver; count++) {
      const base = `${name}x${count}`
      if (random() < 0.6) {
        created.push({ revision: await change(`${plane.path}/mappings`, user(base), 201), names: [base] })
      } else {
        const names = ['a', 'b', 'c'].map((each) => base + each)
        const upsert = names.map((each) => user(each))
        bulk.push({ revision: await change(`${plane.path}/mappings/bulk`, { upsert }, 200), names })
      }
      await sleep(PAUSE_MS)
    }
  }
  const importer = async (): Promise<void> => {
    for (let count = 0; !isOver; count++) {
      const names = Array.from({ length: ROWS }, (_, each) => `file${count}x${each}`)
      const file = tableFile(names.map((each) => user(each)))
      const { status, body } = await persist(`${plane.path}/mappings/import`, file, crypto.randomUUID())
      assert.equal(status, 202, JSON.stringify(body))
      const result = await plane.succeeded(body.operation, { timeoutMs: OPERATION_MS })
      imported.push({ revision: Number(result.revision), names })
    }
  }
  const killer = async (): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await sleep(200 + random() * 1_500)
      // Both kinds in any case, all of them at the end.
      const one = round % 2 === 0 ? plane.worker : plane.apis[someApi()]
      const victims = plane.processes.filter((each) => each === one || round === rounds - 1)
      await Promise.all(victims.map((each) => each.stop('SIGKILL')))
      for (const { command } of victims) kills[command]++
      if (victims.includes(plane.worker)) await workerDied()
      await Promise.all(victims.map((each) => each.start()))
    }
    isOver = true
  }
  const writers = Array.from({ length: WRITERS }, (_, each) => writer(`writer${each}`))
  try {
    await Promise.all([killer(), importer(), ...writers])
  } catch (error) {
    isOver = hasFailed = true
    throw error
  }
  return { created, bulk, imported, retries, twins, kills }
}
