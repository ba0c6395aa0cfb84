// The thread of large-parts.ts: one part at a time, the table's answers in small lots, so that none of them holds up the relay.
import { parentPort } from 'node:worker_threads'
import { collectQueries, finishWork } from '../../rewrite-rules/index.ts'
import type { Answer, PartWork, Query } from '../../rewrite-rules/index.ts'
import type { LargePartRequest, LargePartResponse } from './large-parts.ts'

/** Questions at a time: a few milliseconds of the relay's time. */
const LOT = 2000

const port = parentPort
if (port === null) throw new Error('unreachable: runs only as a worker thread')

let work: PartWork | undefined
let queries: Query[] = []
let answers: Answer[] = []

port.on('message', (request: LargePartRequest) => {
  if (request.kind === 'work') {
    work = request.work
    queries = collectQueries(work)
    answers = []
  } else {
    for (const answer of request.answers) answers.push(answer)
  }
  if (work !== undefined) proceed(work)
})

function proceed(current: PartWork): void {
  if (answers.length < queries.length) {
    respond({ kind: 'queries', queries: queries.slice(answers.length, answers.length + LOT) })
    return
  }
  const result = finishWork(current, answers)
  work = undefined
  queries = []
  answers = []
  respond({ kind: 'done', result })
}

function respond(response: LargePartResponse): void {
  port?.postMessage(response)
}
