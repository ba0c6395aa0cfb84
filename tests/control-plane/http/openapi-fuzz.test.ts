// Random valid and invalid requests at every operation of the API's own description: no 5xx, no undeclared status, every answer as its schema says.
// `FUZZ_RUNS` throws more; `FUZZ_SEED` the same again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { everyRoute } from '../../harness/all-routes.ts'
import { testApi } from '../../harness/api.ts'
import { AnswerJudge, operationsOf, requestsFor } from '../../harness/openapi-fuzz.ts'
import type { ApiDocument } from '../../harness/openapi-fuzz.ts'
import { isLong } from '../../harness/thorough.ts'

const RUNS = Number(process.env['FUZZ_RUNS'] ?? (isLong ? 15 : 4))
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const TIMEOUT_MS = 10_000

test(
  `whatever is sent to any operation is answered as described (seed ${SEED})`,
  { timeout: 300_000 + RUNS * 60_000 },
  async (t) => {
    const api = await testApi(t, (deps) => everyRoute(t, deps))
    const { body: document } = (await api.request('GET', '/openapi.json')) as { body: ApiDocument }
    const judge = new AnswerJudge(document)
    const operations = operationsOf(document)
    assert.ok(operations.length > 80, 'the description is not empty')
    const installation = await api.installationAdministrator()
    const { id, key } = await api.organisation()
    // Ids that exist grow as things are made: every id of an answer is used for parameters of its kind.
    const known: Record<string, string[]> = { organization: [id], project: [await api.project(id)] }
    const remember = (text: string): void => {
      for (const [, found = ''] of text.matchAll(/"([a-z]{3}_[0-9a-z]{24})"/g)) {
        const name = PARAMETERS[found.slice(0, 3)]
        if (name === undefined) continue
        const list = (known[name] ??= [])
        if (!list.includes(found) && list.length < 8) list.push(found)
      }
    }
    let answers = 0
    const statuses = new Map<number, number>()
    const send = async (operation: (typeof operations)[number]): Promise<void> => {
      await fc.assert(
        fc.asyncProperty(requestsFor(operation, document, known), async (fuzzed) => {
          const isInstallation = operation.path.includes('/installation') || operation.path === '/api/v1/organizations'
          const response = await fetch(api.url + fuzzed.url, {
            method: operation.method,
            redirect: 'manual',
            headers: {
              ...fuzzed.headers,
              ...(isInstallation ? installation.headers : { authorization: `Bearer ${key}` }),
            },
            ...(fuzzed.body === undefined ? {} : { body: fuzzed.body }),
            signal: AbortSignal.timeout(TIMEOUT_MS),
          })
          const contentType = response.headers.get('content-type') ?? ''
          if (contentType.startsWith('text/event-stream')) {
            await response.body?.cancel()
            return
          }
          const text = await response.text()
          const answer = { status: response.status, contentType, text }
          answers++
          statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
          if (response.ok) remember(text)
          const fault = judge.fault(fuzzed, answer)
          if (fault !== undefined)
            assert.fail(
              `${operation.method} ${fuzzed.url} ${fuzzed.body ?? ''}\n${fault}\n${api.lines
                .filter((line) => line.includes('"error"'))
                .slice(-1)
                .join('')}`,
            )
        }),
        { numRuns: RUNS, seed: SEED, endOnFailure: true },
      )
    }
    // What makes things first, what ends them last.
    const order = (method: string) => ['POST', 'PUT', 'GET', 'PATCH', 'DELETE'].indexOf(method)
    for (const operation of operations.toSorted((a, b) => order(a.method) - order(b.method))) {
      await t.test(operation.operationId, () => send(operation))
    }
    assert.ok(answers > operations.length * RUNS * 0.9, `${answers} answers`)
    assert.ok(
      (statuses.get(200) ?? 0) + (statuses.get(201) ?? 0) > answers / 10,
      `too few got through: ${JSON.stringify([...statuses])}`,
    )
  },
)

const PARAMETERS: Readonly<Record<string, string>> = {
  prj: 'project',
  mbr: 'member',
  rol: 'role',
  key: 'apiKey',
  tnt: 'tenant',
  rly: 'relay',
  enr: 'enrolment',
  map: 'mapping',
  rul: 'rule',
  dkm: 'dkimKey',
  crt: 'certificate',
  opr: 'operation',
  whk: 'webhook',
  sup: 'grant',
}
