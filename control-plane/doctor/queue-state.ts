// The job queue: Redis as JQ-3 wants it, or Postgres's own schema for it. (OP-5, JQ-3)
import { fault, kindOf, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import type { Log } from '../../common/log.ts'
import { openQueue } from '../jobs/queue-backend.ts'
import { judgeRedis } from '../jobs/redis-check.ts'
import type { Settings } from '../settings.ts'

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }

export async function examineQueue({ redisUrl, database, mode }: Settings): Promise<Finding[]> {
  const queue = openQueue(
    redisUrl === undefined ? { log: SILENT, connection: database.connection } : { log: SILENT, redisUrl },
  )
  try {
    await queue.ping()
    const facts = await queue.facts()
    if (facts === undefined) return [ok('queue', 'jobs wait in Postgres')]
    const judge = mode === 'production' ? fault : warning
    const faults = judgeRedis(facts).map((each) =>
      judge('queue', each, mode === 'production' ? 'api and worker do not start with it' : 'production refuses it'),
    )
    return faults.length > 0 ? faults : [ok('queue', `Redis ${facts.version}, as it should be set`)]
  } catch (error) {
    const [what, todo] =
      redisUrl === undefined
        ? ['the queue in Postgres', 'run `causeway db migrate` as the owner: it makes schema `bullmq` too']
        : [
            'Redis',
            'is it up, and are way and password of REDIS_URL right? Changes are taken meanwhile, their jobs wait',
          ]
    return [fault('queue', `${what} does not answer (${kindOf(error)})`, todo)]
  } finally {
    await queue.close()
  }
}
