import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createLog } from '../../common/log.ts'
import { startControl } from '../../mta/admin/control.ts'
import { queueAtRest } from '../../mta/admin/queue-at-rest.ts'
import { spoolOperations } from '../../mta/admin/spool-operations.ts'
import { DEFAULT_LIMITS } from '../../mta/limits.ts'
import type { DeliveryState, MessageRecord } from '../../mta/message-record.ts'
import type { QueueId } from '../../mta/queue-id.ts'
import { loadSpoolKey } from '../../mta/spool/keys.ts'
import { openSpool } from '../../mta/spool/spool.ts'
import { aQueueId, aRecord } from '../mta/a-record.ts'
import { causeway, folder } from './causeway.ts'
import { sampleOf } from '../harness/thorough.ts'

const CONFIG = `listeners: [{ address: 127.0.0.1, port: 0, direction: out, tls: none }]
table: { file: table.json }
spool: { directory: spool, key: { file: spool.key } }
routes:
  owner-tenant: { kind: smart-host, host: 127.0.0.1, port: 2900, tls: none }
  mailbox: { kind: smart-host, host: 127.0.0.1, port: 2900, tls: none }
limits: { freeSpaceRatio: 0, freeSpaceMessages: 0, freeInodeRatio: 0 }
`
const limits = { ...DEFAULT_LIMITS, freeSpaceRatio: 0, freeSpaceMessages: 0, freeInodeRatio: 0 }
const reply = { code: 451, status: '4.4.2', text: '4.4.2 \u001b[31mlater' }
const waiting: DeliveryState = {
  attempts: 2,
  nextAttemptAt: Date.UTC(2026, 10, 22, 11, 0),
  isHeld: false,
  isDead: false,
  recipients: [{ kind: 'queued', lastReply: reply }],
}
const first = aQueueId('01JDA2B3C4XY5Z61')
const second = aQueueId('01JDA2B3C4XY5Z62')
const dead = aQueueId('01JDA2B3C4XY5Z63')

/** A relay's folder with three messages in its spool: one out, one in, one dead report. */
async function withSpool(context: TestContext) {
  const top = folder(context)
  const config = join(top, 'relay.yaml')
  writeFileSync(config, CONFIG)
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const directory = join(top, 'spool')
  const open = () =>
    openSpool({
      directory,
      rootKey: loadSpoolKey(join(top, 'spool.key'), directory),
      project: 'relay',
      limits,
      now: Date.now,
      log,
    })
  const spool = await open()
  const add = async (queueId: QueueId, record: Partial<MessageRecord>, state: Partial<DeliveryState>) => {
    const intake = spool.begin(queueId)
    const header = Buffer.from('Subject: x\r\n\r\n')
    await intake.write(Buffer.from('body\r\n'))
    await intake.commit(header, aRecord({ queueId, headerBytes: header.length, bodyBytes: 6, ...record }), {
      ...waiting,
      ...state,
    })
  }
  await add(first, {}, {})
  const located = { path: 'bob@contoso.example', received: 'bob@fabrikam.example', route: 'mailbox' }
  await add(second, { direction: 'in', recipients: [located] }, {})
  await add(
    dead,
    { isOwnReport: true, reversePath: '', receivedReversePath: '' },
    { isDead: true, recipients: [{ kind: 'failed', reply, remote: '', at: 1 }] },
  )
  return { config, directory, spool, open, log }
}

type Ids = { queueId: string }[]
const idsOf = (stdout: Buffer) => (JSON.parse(stdout.toString()) as Ids).map(({ queueId }) => queueId)

test('without a relay the spool itself is opened, and what was changed is there when it is opened again', async (context) => {
  const { config, spool, open } = await withSpool(context)
  await spool.close()

  const listed = await causeway(['queue', 'list', '--config', config])
  assert.deepEqual([listed.code, listed.stderr], [0, ''])
  const [head, ...rows] = listed.stdout.toString().trimEnd().split('\n')
  assert.match(head ?? '', /^ID +ACCEPTED +OCTETS +DIR +ROUTE +RCPTS +TRIES +NEXT TRY +STATE +WHY$/)
  assert.deepEqual(
    rows.map((row) => row.replace(/ +/g, ' ')),
    [
      `${first} 2026-11-22T10:00:00Z 20 out owner-tenant 1 2 2026-11-22T11:00:00Z deferred 451 4.4.2`,
      `${second} 2026-11-22T10:00:00Z 20 in mailbox 1 2 2026-11-22T11:00:00Z deferred 451 4.4.2`,
    ],
  )

  assert.deepEqual(idsOf((await causeway(['queue', 'list', '--json', '--config', config])).stdout), [first, second])
  assert.deepEqual(idsOf((await causeway(['queue', 'list', '--json', '--dead', '--config', config])).stdout), [dead])

  const held = await causeway(['queue', 'hold', '--all', '--direction', 'in', '--config', config])
  assert.deepEqual([held.code, held.stderr], [0, '1 message on hold\n'])
  const removed = await causeway(['queue', 'remove', first, '01JDA2B3C4XY5Z69', '--config', config])
  assert.deepEqual([removed.code, removed.stderr], [1, '01JDA2B3C4XY5Z69 is not in the queue\n1 message removed\n'])

  const again = await open()
  context.after(() => again.close())
  assert.deepEqual(
    [...again.entries()].map(({ queueId, state }) => [queueId, state.isHeld]),
    [
      [second, true],
      [dead, false],
    ],
  )
})

const filters: [args: string[], ids: string[]][] = [
  [[], [first, second]],
  [
    ['--next-hop', '127.0.0.1'],
    [first, second],
  ],
  [['--next-hop', '127.0.0.1:2900', '--route', 'mailbox'], [second]],
  [['--next-hop', 'elsewhere.example'], []],
  [
    ['--older-than', '1s'],
    [first, second],
  ],
  [['--older-than', '999999d'], []],
  [
    ['--sender', 'Alice@Contoso.example'],
    [first, second],
  ],
  [['--sender', '<>', '--dead'], [dead]],
  [['--sender', '@example.net'], []],
  [['--recipient', '@EXAMPLE.net'], [first]],
  [['--recipient', 'bob@contoso.example'], [second]],
  [['--recipient', '<bob@fabrikam.example>'], [second]],
  [['--deferred', '--direction', 'out'], [first]],
  [['--held'], []],
]
for (const how of ['over the socket', 'at rest'] as const) {
  test(`queue list with each filter, ${how}: what waits for whom, since when, from and to whom`, async (context) => {
    const { config, directory, spool, log } = await withSpool(context)
    await using open = new AsyncDisposableStack()
    if (how === 'over the socket') {
      open.defer(() => spool.close())
      const operations = spoolOperations(spool, queueAtRest(spool, Date.now))
      const control = await startControl({ spoolDirectory: directory, operations, log })
      open.defer(() => control.close())
    } else await spool.close()
    const tried = new Set(sampleOf(filters.length, how === 'at rest' ? 3 : 1))
    for (const [args, ids] of filters.filter((_, at) => tried.has(at))) {
      const { code, stdout, stderr } = await causeway(['queue', 'list', ...args, '--json', '--config', config])
      assert.deepEqual([code, idsOf(stdout), stderr], [0, ids, ''], args.join(' '))
    }
  })
}

test('queue summary: by next hop and age, as text and as JSON', async (context) => {
  const { config, spool } = await withSpool(context)
  await spool.close()
  const { code, stdout } = await causeway(['queue', 'summary', '--config', config])
  assert.equal(code, 0)
  const [head, ...rows] = stdout.toString().trimEnd().split('\n')
  assert.match(head ?? '', /^NEXT HOP +TOTAL +HELD +≤5min .* >1280min$/)
  assert.deepEqual(
    rows.map((line) => line.split(/ +/).slice(0, 3)),
    [
      ['TOTAL', '2', '0'],
      ['127.0.0.1:2900', '2', '0'],
    ],
  )
  const json = await causeway(['queue', 'summary', '--direction', 'in', '--json', '--config', config])
  const { lines } = JSON.parse(json.stdout.toString()) as { lines: { nextHop: string; messages: number }[] }
  assert.deepEqual(
    lines.map(({ nextHop, messages }) => [nextHop, messages]),
    [
      ['TOTAL', 1],
      ['127.0.0.1:2900', 1],
    ],
  )
})

test('filters stand in place of IDs: what matches is changed, and the journal says who did it', async (context) => {
  const { config, spool, open } = await withSpool(context)
  await spool.close()
  const removed = await causeway(['queue', 'remove', '--recipient', '@example.net', '--config', config])
  assert.deepEqual([removed.code, removed.stderr], [0, '1 message removed\n'])
  const traced = await causeway(['trace', '--id', first, '--config', config])
  assert.equal(traced.code, 0)
  assert.match(traced.stdout.toString(), new RegExp(`^\\S+ +${first} +removed$`, 'm'))
  const again = await open()
  context.after(() => again.close())
  assert.deepEqual(
    [...again.entries()].map(({ queueId }) => queueId),
    [second, dead],
  )
})

test('a running relay is asked over its socket', async (context) => {
  const { config, directory, spool, log } = await withSpool(context)
  const control = await startControl({
    spoolDirectory: directory,
    operations: spoolOperations(spool, queueAtRest(spool, Date.now)),
    log,
  })
  try {
    const shown = await causeway(['queue', 'show', second, '--config', config])
    assert.equal(shown.code, 0)
    assert.match(
      shown.stdout.toString(),
      /^recipient: <bob@contoso\.example> \(received <bob@fabrikam\.example>\) by mailbox, queued: 451 4\.4\.2 \?\[31mlater$/m,
    )

    const json = await causeway(['queue', 'show', second, first, '--json', '--config', config])
    assert.deepEqual(
      (JSON.parse(json.stdout.toString()) as { record: { queueId: string } }[]).map(({ record }) => record.queueId),
      [second, first],
    )

    const retried = await causeway(['queue', 'retry', '--all', '--dead', '--json', '--config', config])
    assert.deepEqual(
      [retried.code, JSON.parse(retried.stdout.toString())],
      [0, { changed: [dead], unknown: [], busy: [] }],
    )
    assert.equal(spool.find(dead)?.state.isDead, false)

    const unknown = await causeway(['queue', 'show', '01JDA2B3C4XY5Z69', '--config', config])
    assert.deepEqual([unknown.code, unknown.stderr], [1, '01JDA2B3C4XY5Z69 is not in the queue\n'])
  } finally {
    await control.close()
    await spool.close()
  }
})

test('a spool that is held, but not by a relay that answers, can not be used: exit code 2', async (context) => {
  const { config, spool } = await withSpool(context)
  const { code, stdout, stderr } = await causeway(['queue', 'list', '--config', config])
  await spool.close()
  assert.deepEqual([code, stdout.length], [2, 0])
  assert.match(stderr, /^causeway: the spool .* is held by another process/)
})

test('quarantine: nothing, and an entry that is not there', async (context) => {
  const { config, spool } = await withSpool(context)
  await spool.close()
  const listed = await causeway(['quarantine', 'list', '--config', config])
  assert.deepEqual([listed.code, listed.stdout.length, listed.stderr], [0, 0, 'nothing is in quarantine\n'])
  assert.equal((await causeway(['quarantine', 'list', '--json', '--config', config])).stdout.toString(), '[]\n')
  const exported = await causeway(['quarantine', 'export', 'no-such', '--config', config])
  assert.deepEqual([exported.code, exported.stderr], [1, 'no-such is not in quarantine\n'])
})

const unusable: [args: string[], says: RegExp][] = [
  [['queue'], /queue list\|summary\|show\|retry/],
  [['queue', 'burn', '--config', 'x'], /queue list\|summary\|show\|retry/],
  [['queue', 'list'], /--config FILE is needed/],
  [['queue', 'list', '--config', 'no-such.yaml'], /no-such\.yaml: can't be read \(ENOENT\)/],
  [['queue', 'list', first, '--config', 'x'], /takes no IDs/],
  [['queue', 'show', '--config', 'x'], /takes IDs/],
  [['queue', 'show', 'nonsense', '--config', 'x'], /"nonsense" is no queue id/],
  [['queue', 'remove', '--config', 'x'], /either IDs, or filters, or --all/],
  [['queue', 'remove', first, '--all', '--config', 'x'], /either IDs, or filters, or --all/],
  [['queue', 'remove', first, '--dead', '--config', 'x'], /either IDs, or filters, or --all/],
  [['queue', 'show', first, '--dead', '--config', 'x'], /takes IDs/],
  [['queue', 'list', '--older-than', 'long', '--config', 'x'], /--older-than takes a length of time/],
  [['queue', 'list', '--sender', 'contoso.com', '--config', 'x'], /--sender takes an address, or @DOMAIN, or <>/],
  [['queue', 'list', '--recipient', '<>', '--config', 'x'], /--recipient takes an address, or @DOMAIN/],
  [['queue', 'list', '--direction', 'up', '--config', 'x'], /--direction must be out or in/],
  [['quarantine', 'export', '--config', 'x'], /takes one ID/],
  [['quarantine', 'export', 'a', 'b', '--config', 'x'], /several, --all and --json go with --directory/],
  [['quarantine', 'export', '--all', '--config', 'x'], /go with --directory/],
  [['quarantine', 'export', 'a', '--output', 'f', '--directory', 'd', '--config', 'x'], /either IDs or --all/],
  [['quarantine', 'remove', '--config', 'x'], /either IDs or --all/],
  [['quarantine', 'remove', 'a', '--directory', 'd', '--config', 'x'], /go with quarantine export/],
]
for (const [args, says] of unusable) {
  test(`causeway ${args.join(' ')}: exit code 2`, async () => {
    const { code, stdout, stderr } = await causeway(args)
    assert.deepEqual([code, stdout.length], [2, 0])
    assert.match(stderr, says)
  })
}

test('a configuration whose spool is not there makes none', async (context) => {
  const config = join(folder(context), 'relay.yaml')
  writeFileSync(config, CONFIG)
  const { code, stderr } = await causeway(['queue', 'list', '--config', config])
  assert.equal(code, 2)
  assert.match(stderr, /there is no spool at /)
})
