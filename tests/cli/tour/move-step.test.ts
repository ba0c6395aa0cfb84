// The step in which somebody moves while mail flows: mail that can not be sent fails it, as anything else that goes wrong, and things are tidied after it.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { ApiClient } from '../../../cli/tour/api-client.ts'
import { CAROL } from '../../../cli/tour/cast.ts'
import { Mail } from '../../../cli/tour/mail.ts'
import { moveStep } from '../../../cli/tour/move-step.ts'
import { SandboxClient } from '../../../cli/tour/sandbox-client.ts'

test('people who can not write fail the step, and the process lives', async (t) => {
  const pairs = { items: [{ id: 'pair', source: { address: CAROL.mailbox } }] }
  const server = createServer((request, response) => {
    request.resume()
    const isControl = request.url?.startsWith('/control/') === true
    response.writeHead(isControl ? 400 : 200, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(isControl ? { error: 'nobody writes' } : pairs))
  })
  await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  const sandbox = new SandboxClient(url)
  const context = {
    api: new ApiClient({ url, headers: {} }),
    sandbox,
    mail: new Mail(sandbox),
    project: '/projects/p',
    connectApp: '',
    relayPort: 0,
    tenants: undefined,
    first: undefined,
    sent: [],
    letter: '',
    answer: '',
  }
  const noop = () => {}
  const step = { progress: noop, show: noop, demand: noop, demandEqual: noop }
  // One that nobody awaits ends the process, which the runner of this file tells as a failure too.
  await assert.rejects(moveStep.run(context, step), /the sandbox refused outside-send: nobody writes/)
})
