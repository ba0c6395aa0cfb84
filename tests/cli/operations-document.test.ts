// docs/operations.md answers "where is my mail?" with commands: each is run here as it stands, against a relay with mail in every such place.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { freePort } from '../harness/ports.ts'
import { startRelay } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { causeway, folder, ROOT } from './causeway.ts'
import { makeQuarantinedSpool } from './quarantined-spool.ts'

const document = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8')
const commands = [...document.matchAll(/^```sh\n([^`]*)^```$/gm)]
  .flatMap(([, block = '']) => block.trim().split('\n'))
  .map((line) => line.trim())

/** Stands for a message in the queue, and for one in quarantine. */
const QUEUED = '01JDA2B3C4XY5Z6Q'
const QUARANTINED = '01JDA2B3C4XY5Z6R'

let relay: RunningRelay
let poison: string
const queued: string[] = []

before(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-relay-'))
  ;({ poison } = await makeQuarantinedSpool(join(directory, 'spool'), join(directory, 'spool.key')))
  // Nobody listens there: what is sent waits.
  relay = await startRelay({ nextHopPort: await freePort(), table: EXAMPLE_TABLE, directory })
  for (let i = 0; i < 3; i++) {
    const reply = await sendMail(relay.outPort, {
      from: 'alice@contoso.com',
      to: ['dana@example.net'],
      data: Buffer.from('From: alice@contoso.com\r\nMessage-ID: <order-17@contoso.com>\r\n\r\nbody\r\n'),
    })
    queued.push(/queued as (\S+)/.exec(reply)?.[1] ?? '')
  }
  await eventually('the last of them in the journal', async () => {
    const { code } = await causeway(['trace', '--id', queued.at(-1) ?? '', '--config', relay.configFile])
    return code === 0 ? true : undefined
  })
})

after(async () => {
  await relay.stop()
  await relay.remove()
})

/** As a shell would split it: words, and text in single quotes. */
function argumentsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '')
}

/** Nothing was delivered by this relay: asked for it by message or address, `trace` says so with exit code 1. */
const MAY_FIND_NOTHING = /--outcome delivered/

for (const [index, command] of commands.entries()) {
  test(`${command} (${index + 1})`, async (context) => {
    const output = folder(context)
    const [program, ...args] = argumentsOf(command)
    assert.equal(program, 'bin/causeway')
    const isDoctor = args[0] === 'doctor'
    const { code, stderr } = await causeway(
      args.map((arg) =>
        arg
          .replace('/etc/causeway/relay.yaml', relay.configFile)
          .replace('/etc/causeway/table.json', join(relay.directory, 'table.json'))
          .replace('/var/tmp', output)
          .replace('mx.example', '127.0.0.1')
          .replace(QUEUED, queued[index % queued.length] ?? '')
          .replace(QUARANTINED, poison),
      ),
    )
    // The next hop is down, as in situation 1, and doctor says so.
    const allowed = isDoctor || MAY_FIND_NOTHING.test(command) ? [0, 1] : [0]
    assert.ok(allowed.includes(code ?? -1), `exit code ${code}: ${stderr}`)
  })
}

test('it answers at least ten situations, each with a command', () => {
  const situations = document.split(/^## /m).filter((part) => /^\d+\. /.test(part))
  assert.ok(situations.length >= 10)
  for (const situation of situations) assert.match(situation, /^bin\/causeway /m, situation.slice(0, 40))
})

test('its references lead to situations that are there', () => {
  const there = new Set([...document.matchAll(/^## (\d+)\. /gm)].map(([, number]) => number))
  const first = document.slice(document.indexOf('| last line'), document.indexOf('The journal keeps'))
  for (const [, list = ''] of first.matchAll(/\| ([\d, ]+)\|$/gm))
    for (const number of list.split(',')) assert.ok(there.has(number.trim()), number)
})
